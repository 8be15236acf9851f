import Logging
import Resilience
import Runtime

/// Connections to the database, lent per call or per transaction, never longer.
///
/// Works without `run`, which keeps the minimum open, retires connections and checks the health, and closes the pool
/// when it is cancelled.
public final class PostgresPool: PostgresQuerying {
    public let settings: PostgresSettings
    let clock: MachineClock
    let log: Logger
    let random: RandomSource
    let core: PoolCore
    private let healthBox = PoolHealthBox()

    /// A pool whose sessions call themselves `application` in `pg_stat_activity`; opens nothing yet.
    public init(
        settings: PostgresSettings, application: String, clock: MachineClock, random: RandomSource, log: Logger,
        metrics: MetricsRegistry
    ) {
        self.settings = settings
        self.clock = clock
        self.log = log
        self.random = random
        core = PoolCore(
            settings: settings, application: application, clock: clock, random: random, log: log,
            metrics: PoolMetrics(metrics))
    }

    /// The thread that drives the connections of all pools, for `withTaskExecutorPreference`.
    ///
    /// What runs there calls the pool without changing threads, which is most of a short statement's cost. It must not
    /// block or compute for long.
    public static var executor: any TaskExecutor { LoopTaskExecutor.shared }

    public var statistics: PoolStatistics { core.published.withLockedValue { $0 } }

    /// The outcome of the checks that `run` makes at a fixed rate.
    public var health: PoolHealth { healthBox.current }

    /// Keeps the pool until it is cancelled, then closes it within `closeGrace`.
    public func run(closeGrace: Duration = .seconds(5)) async {
        await core.keepMinimum(true)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.maintain() }
            group.addTask { await self.checkHealth() }
        }
        await close(grace: closeGrace)
    }

    /// Fails who waits, closes what is idle, and what is lent once given back or when the grace has passed.
    public func close(grace: Duration = .seconds(5)) async { await core.close(grace: grace) }

    private func maintain() async {
        while !Task.isCancelled {
            await core.maintain()
            try? await clock.sleep(for: .seconds(1))  // cancelled: the loop's condition sees it
        }
    }

    private func checkHealth() async {
        var next = clock.now
        while !Task.isCancelled {
            let began = clock.now
            do {
                try await ping()
                try checkStorage()
                healthBox.succeeded(at: clock.now, took: clock.now.since(began), log: log)
            } catch let error where !Task.isCancelled {
                healthBox.failed(error, since: began, threshold: settings.healthAlertThreshold, log: log)
            } catch {
                return
            }
            // A fixed rate; a check that took longer than the interval skips what it missed.
            while next <= clock.now { next = next.advanced(by: settings.healthCheckInterval) }
            try? await clock.sleep(until: next)  // cancelled: the loop's condition sees it
        }
    }

    /// Asks the server one thing; nil stands for the health check's time-out.
    public func ping(timeout: Duration? = nil) async throws {
        _ = try await query("SELECT 1", timeout: timeout ?? settings.healthCheckTimeout)
    }

    /// A statement that failed so long ago says nothing of the server's disk any more.
    static let storageFaultLasts = Duration.seconds(5)

    /// Whether the server can store: one whose disk is full answers every question, and refuses only what needs room.
    ///
    /// - Throws: `PostgresError` for 5 s after a statement of this pool failed for want of room, or of a disk that
    ///   works.
    public func checkStorage() throws(PostgresError) {
        guard let fault = core.storageFault.withLockedValue({ $0 }), clock.now.since(fault.at) < Self.storageFaultLasts
        else { return }
        throw PostgresError(.permanent, "the server cannot store: \(fault.message)", context: "storage")
    }

    // MARK: Statements on their own

    public nonisolated(nonsending) func query(_ sql: SQL, timeout: Duration?) async throws -> [Row] {
        try await perform(Few(sql), timeout).last?.rows ?? []
    }

    @discardableResult
    public nonisolated(nonsending) func execute(_ sql: SQL, timeout: Duration?) async throws -> Int {
        try await perform(Few(sql), timeout).last?.affected ?? 0
    }

    /// Runs several statements in one round trip as one transaction: all of them, or none.
    @discardableResult
    public nonisolated(nonsending) func batch(_ statements: [SQL], timeout: Duration?) async throws -> [PostgresAnswer]
    {
        try await perform(Few(statements), timeout).map { PostgresAnswer(result: $0) }
    }

    private nonisolated(nonsending) func perform(
        _ statements: Few<SQL>, _ timeout: Duration?
    ) async throws -> Few<StatementResult> {
        let call = StatementCall(statements, timeout: timeout ?? settings.queryTimeout, on: core)
        return try await call.wait { LoopExecutor.shared.execute(call) }
    }

    // MARK: Transactions

    /// Runs `body` in one transaction: commits when it returns, rolls back when it throws or the task is cancelled.
    ///
    /// The name appears in errors and in the acquire time-out's list of holders. The time-out is of the whole, from the
    /// acquire to the commit; nil stands for the setting.
    public nonisolated(nonsending) func transaction<R>(
        _ name: String, isolation: TransactionIsolation = .readCommitted, timeout: Duration? = nil,
        _ body: nonisolated(nonsending) (PostgresTransaction) async throws -> R
    ) async throws -> R {
        let transaction = try await begin(name, isolation, timeout ?? settings.transactionTimeout)
        let value: R
        do {
            value = try await body(transaction)
        } catch {
            await transaction.rollBack()
            throw error
        }
        try await transaction.commit()
        return value
    }

    private nonisolated(nonsending) func begin(
        _ name: String, _ isolation: TransactionIsolation, _ timeout: Duration
    ) async throws -> PostgresTransaction {
        try await onLoop { [core] reply in
            let deadline = LoopInstant.now.advanced(by: timeout)
            guard !reply.isCancelled else {
                return reply(.failure(PostgresError(.cancelled, "the task was cancelled", context: name)))
            }
            let ticket = core.acquire(.named(name), timeout: timeout) { outcome in
                reply(
                    outcome.map { connection in
                        PostgresTransaction(
                            name: name, connection: connection, core: core, isolation: isolation, deadline: deadline)
                    })
            }
            reply.whenCancelled = { core.cancel(ticket) }
        }
    }

    func countRetry() async { await core.countRetry() }
    func countRetried(_ succeeded: Bool) async { await core.countRetried(succeeded) }
}
