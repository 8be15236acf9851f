import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// Wakes the relay after a commit that wrote to the outbox; nudges while it works are not lost.
public final class OutboxNudge: Sendable {
    private struct State {
        var isPending = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = NIOLockedValueBox(State())

    public init() {}

    public func callAsFunction() {
        let waiter = state.withLockedValue { state in
            let waiter = state.waiter
            state.waiter = nil
            state.isPending = waiter == nil
            return waiter
        }
        waiter?.resume()
    }

    /// Returns at a nudge, when `sweep` has passed, or when the task is cancelled.
    func wait(atMost sweep: Duration, clock: MachineClock) async {
        // Ended below; what it nudges too late is one sweep more.
        let timer = Task {
            guard (try? await clock.sleep(for: sweep)) != nil else { return }  // cancelled: the nudge came first
            self()
        }
        await withTaskCancellationHandler {
            await nudged()
        } onCancel: {
            self()
        }
        timer.cancel()
    }

    private func nudged() async {
        await withCheckedContinuation { continuation in
            let isPending = state.withLockedValue { state in
                if state.isPending {
                    state.isPending = false
                    return true
                }
                state.waiter = continuation
                return false
            }
            if isPending { continuation.resume() }
        }
    }
}

/// Publishes what waits in the outbox, at least once each, in order per key (DESIGN section 5).
///
/// Each batch is one transaction: take and lock, publish, mark, commit. A crash in between publishes again what was
/// not marked; the receivers know it by `messageID`. Several relays may run at once.
public enum OutboxRelay {
    /// Bounds of one batch: rows, time, and failed keys before it stops.
    private static let limit = 100
    private static let timeLimit = Duration.seconds(5)
    private static let failureLimit = 3

    private struct Batch {
        var taken = 0
        var published: [Int64] = []
        var failures = 0
        var lastError: (any Error)?
    }

    /// Runs until cancelled: at each nudge, and each `sweep` as the safety net.
    ///
    /// `publish` throws when the row must be tried again; until it succeeds, later rows of its key wait.
    public static func run(
        pool: PostgresPool, nudge: OutboxNudge, sweep: Duration = .seconds(1),
        publish: @escaping @Sendable (OutboxRow) async throws -> Void
    ) async {
        var backoff = Backoff(base: .milliseconds(100), cap: .seconds(5), jitter: 0.2)
        while !Task.isCancelled {
            var failure: (any Error)?
            do {
                let batch = try await relay(pool, publish)
                failure = batch.lastError
                if failure == nil, batch.taken > 0 {
                    backoff.reset()
                    continue
                }
            } catch {
                failure = error
            }
            guard let failure else {
                await nudge.wait(atMost: sweep, clock: pool.clock)
                continue
            }
            if Task.isCancelled { return }
            let delay = pool.random.withGenerator { backoff.next(using: &$0) }
            pool.log.warning(
                "outbox relay failed",
                metadata: ["error": "\(failure)", "delay_ms": "\(delay.wholeMilliseconds)"])
            try? await pool.clock.sleep(for: delay)  // cancelled: the loop's condition sees it
        }
    }

    private static func relay(
        _ pool: PostgresPool, _ publish: @Sendable (OutboxRow) async throws -> Void
    ) async throws -> Batch {
        try await pool.transaction("outbox relay") { transaction in
            var batch = Batch()
            let began = pool.clock.now
            let rows = try await OutboxStore.take(limit, in: transaction)
            batch.taken = rows.count
            var blocked: Set<String> = []
            for row in rows where !blocked.contains(row.key) {
                if batch.failures >= failureLimit || pool.clock.now.since(began) >= timeLimit { break }
                do {
                    try await publish(row)
                    batch.published.append(row.id)
                } catch {
                    blocked.insert(row.key)
                    batch.failures += 1
                    batch.lastError = error
                }
            }
            try await OutboxStore.markPublished(batch.published, in: transaction)
            return batch
        }
    }
}
