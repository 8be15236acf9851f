import Logging
import Resilience
import Runtime

/// What `publish` throws for a row that can never be announced: it is put aside at once.
public struct OutboxRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    public let reason: String
    public var description: String { reason }

    public init(_ reason: String) { self.reason = reason }
}

/// Bounds of the relay.
public struct OutboxPolicy: Sendable {
    /// Rows of one batch, and among them rows that have failed before.
    public var limit = 100
    public var failedLimit = 20
    /// How long one batch may publish; at least one row of either kind is tried.
    public var timeLimit = Duration.seconds(5)
    /// The safety net when nobody nudges.
    public var sweep = Duration.seconds(1)
    /// Failures that make a row a dead letter.
    ///
    /// They count only in a batch in which another row could be published: then it is the row's fault, not the bus's.
    /// With the waits below that takes at least ten minutes.
    public var attemptLimit = 20
    /// The wait after a row's own failure: base, doubled with each, up to the cap.
    public var base = Duration.milliseconds(100)
    public var cap = Duration.seconds(60)
    /// The wait when nothing can be published: of the row and, at most, of the relay.
    public var pause = Duration.seconds(2)
    /// What is published is kept so long, and removed in pieces of `pruneLimit` every `pruneInterval`.
    public var retention = Duration.seconds(7 * 86_400)
    public var pruneInterval = Duration.seconds(60)
    public var pruneLimit = 10_000

    public init() {}

    func delay(afterAttempt attempt: Int) -> Duration {
        var delay = base
        for _ in 1..<max(attempt, 1) where delay < cap { delay = delay * 2 }
        return min(delay, cap)
    }
}

/// The relay's metrics.
struct OutboxMetrics: Sendable {
    let published: Counter
    let failures: Counter
    let deadLetters: Counter
    let pruned: Counter

    init(_ registry: MetricsRegistry) {
        published = registry.counter("outbox_published_total", "announcements published and marked")
        failures = registry.counter("outbox_failures_total", "announcements that could not be published this time")
        deadLetters = registry.counter("outbox_dead_letters_total", "announcements put aside for the operator")
        pruned = registry.counter("outbox_pruned_total", "published rows removed after their time")
    }
}

/// Publishes what waits in the outbox, at least once each, in order per key (DESIGN section 5).
///
/// Each batch is one transaction: take and lock, publish, mark, commit. A crash in between publishes again what was
/// not marked; receivers act on what the message names, or know it by `messageID`. Several relays may run at once.
///
/// A row that fails holds back its key, and nothing else: it is tried again at its own time, and rows that never failed
/// come first.
public struct OutboxRelay: Sendable {
    private let pool: PostgresPool
    private let nudge: OutboxNudge
    /// Says that announcements can be published again.
    private let revival: OutboxNudge
    private let policy: OutboxPolicy
    private let metrics: OutboxMetrics
    private let publish: @Sendable (OutboxRow) async throws -> Void
    private let buried: @Sendable (OutboxRow, String) async -> Void

    private struct Batch {
        var taken = 0
        var published: [Int64] = []
        var failed: [(row: OutboxRow, error: any Error)] = []
        var dead: [(row: OutboxRow, reason: String)] = []
    }

    /// A relay that does nothing yet.
    ///
    /// A nudge of `revival` ends a wait after failures, and has all that failed tried at once. `publish` throws when
    /// the row must be tried again, `OutboxRefusal` when that is of no use. `buried` is told of each dead letter after
    /// it was committed as one, and why.
    public init(
        pool: PostgresPool, nudge: OutboxNudge, revival: OutboxNudge = OutboxNudge(), metrics: MetricsRegistry,
        policy: OutboxPolicy = OutboxPolicy(),
        publish: @escaping @Sendable (OutboxRow) async throws -> Void,
        buried: @escaping @Sendable (OutboxRow, String) async -> Void = { _, _ in }
    ) {
        self.pool = pool
        self.nudge = nudge
        self.revival = revival
        self.policy = policy
        self.metrics = OutboxMetrics(metrics)
        self.publish = publish
        self.buried = buried
    }

    /// Runs until cancelled: at each nudge, and at each sweep as the safety net.
    public func run() async {
        var backoff = Backoff(
            base: min(policy.base, policy.pause), cap: policy.pause, jitter: 0.2, jitterOnlyShortens: true)
        var pruneAt = pool.clock.now.advanced(by: policy.pruneInterval)
        var isRevived = false
        while !Task.isCancelled {
            do {
                let takesAll = isRevived || revival.takePending()
                isRevived = false
                let batch = try await relay(takesAll: takesAll)
                await tell(batch)
                if !batch.published.isEmpty || !batch.dead.isEmpty {
                    backoff.reset()
                    // A batch holds some of those that failed; the rest need not wait either.
                    isRevived = takesAll && batch.failed.isEmpty
                } else if let failed = batch.failed.first {
                    isRevived = await pause(after: failed.error, &backoff)
                } else {
                    pruneAt = await prune(at: pruneAt)
                    await nudge.wait(atMost: policy.sweep, clock: pool.clock)
                }
            } catch {
                isRevived = await pause(after: error, &backoff)
            }
        }
    }

    private func tell(_ batch: Batch) async {
        metrics.published.increment(by: batch.published.count)
        metrics.failures.increment(by: batch.failed.count)
        metrics.deadLetters.increment(by: batch.dead.count)
        for (row, reason) in batch.dead {
            pool.log.error(
                "outbox row put aside", metadata: ["row": "\(row.id)", "key": "\(row.key)", "reason": "\(reason)"])
            await buried(row, reason)
        }
        guard let failed = batch.failed.first else { return }
        pool.log.warning(
            "outbox rows not published",
            metadata: [
                "count": "\(batch.failed.count)", "row": "\(failed.row.id)", "key": "\(failed.row.key)",
                "reason": "\(failed.error)",
            ])
    }

    /// - Returns: whether it ended because announcements can be published again.
    private func pause(after error: any Error, _ backoff: inout Backoff) async -> Bool {
        if Task.isCancelled { return false }
        let delay = pool.random.withGenerator { backoff.next(using: &$0) }
        pool.log.warning(
            "outbox relay failed", metadata: ["error": "\(error)", "delay_ms": "\(delay.wholeMilliseconds)"])
        let end = pool.clock.now.advanced(by: delay)
        // Cancelled: the loop's condition sees it.
        await revival.wait(atMost: delay, clock: pool.clock)
        return pool.clock.now < end
    }

    private func prune(at due: MachineInstant) async -> MachineInstant {
        guard pool.clock.now >= due else { return due }
        do {
            let removed = try await OutboxStore.prune(
                olderThan: policy.retention, limit: policy.pruneLimit, pool)
            metrics.pruned.increment(by: removed)
        } catch {
            pool.log.warning("outbox not pruned", metadata: ["error": "\(error)"])
        }
        return pool.clock.now.advanced(by: policy.pruneInterval)
    }

    // MARK: One batch

    private func relay(takesAll: Bool) async throws -> Batch {
        try await pool.transaction("outbox relay") { transaction in
            var batch = Batch()
            // Rows that never failed first: those that fail for ever must not use up the batch.
            let fresh = try await OutboxStore.take(policy.limit, in: transaction)
            await announce(fresh, &batch)
            let failed = try await OutboxStore.takeFailed(policy.failedLimit, evenEarly: takesAll, in: transaction)
            await announce(failed, &batch)
            try await OutboxStore.markPublished(batch.published, in: transaction)
            try await note(&batch, transaction)
            return batch
        }
    }

    private func announce(_ rows: [OutboxRow], _ batch: inout Batch) async {
        batch.taken += rows.count
        let began = pool.clock.now
        var blocked: Set<String> = []
        for row in rows where !blocked.contains(row.key) {
            do {
                try await publish(row)
                batch.published.append(row.id)
            } catch let refusal as OutboxRefusal {
                blocked.insert(row.key)
                batch.dead.append((row, refusal.reason))
            } catch {
                blocked.insert(row.key)
                batch.failed.append((row, error))
            }
            if Task.isCancelled || pool.clock.now.since(began) >= policy.timeLimit { break }
        }
    }

    /// A failure counts against the row only when another row could be published: else the bus may be away.
    private func note(_ batch: inout Batch, _ transaction: PostgresTransaction) async throws {
        for (row, reason) in batch.dead {
            try await OutboxStore.bury(row, attempts: row.attempts + 1, failure: reason, in: transaction)
        }
        guard !batch.published.isEmpty else {
            for (row, _) in batch.failed {
                try await OutboxStore.postpone(row, attempts: row.attempts, by: policy.pause, in: transaction)
            }
            return
        }
        var waiting: [(row: OutboxRow, error: any Error)] = []
        for (row, error) in batch.failed {
            let attempts = row.attempts + 1
            if attempts >= policy.attemptLimit {
                batch.dead.append((row, "\(error)"))
                try await OutboxStore.bury(row, attempts: attempts, failure: "\(error)", in: transaction)
            } else {
                waiting.append((row, error))
                try await OutboxStore.postpone(
                    row, attempts: attempts, by: policy.delay(afterAttempt: attempts), in: transaction)
            }
        }
        batch.failed = waiting
    }
}
