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
    private let core: PoolCore
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
                healthBox.succeeded(at: clock.now, took: clock.now.since(began), log: log)
            } catch let error where !Task.isCancelled {
                healthBox.failed(error, threshold: settings.healthAlertThreshold, log: log)
            } catch {
                return
            }
            // A fixed rate; a check that took longer than the interval skips what it missed.
            while next <= clock.now { next = next.advanced(by: settings.healthCheckInterval) }
            try? await clock.sleep(until: next)  // cancelled: the loop's condition sees it
        }
    }

    /// Asks the server one thing.
    public func ping(timeout: Duration = .seconds(5)) async throws {
        _ = try await query("SELECT 1", timeout: timeout)
    }

    // MARK: Statements on their own

    public func query(_ sql: SQL, timeout: Duration?) async throws -> [Row] {
        try await perform(sql, timeout).rows
    }

    @discardableResult
    public func execute(_ sql: SQL, timeout: Duration?) async throws -> Int {
        try await perform(sql, timeout).affected
    }

    @DatabaseLoop
    private func perform(_ sql: SQL, _ timeout: Duration?) async throws -> ResultSet {
        let summary = sql.summary
        let timeout = timeout ?? settings.queryTimeout
        let deadline = LoopInstant.now.advanced(by: timeout)
        let connection = try await core.acquire(summary, timeout: timeout)
        defer { core.release(connection) }
        return try await connection.perform(
            Connection.Request(
                body: .statement(sql), phase: sql.onlyReads ? .harmless : .autocommit, context: summary,
                deadline: deadline))
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

    /// As `transaction`, and runs the whole again, with everything it read, when nothing of it can have been committed:
    /// serialisation failure, deadlock, a lock not given, a connection lost before COMMIT (CHECKLIST R29, R30).
    public nonisolated(nonsending) func retryingTransaction<R>(
        _ name: String, isolation: TransactionIsolation = .readCommitted, timeout: Duration? = nil,
        policy: RetryPolicy = .database,
        _ body: nonisolated(nonsending) (PostgresTransaction) async throws -> R
    ) async throws -> R {
        var attempt = 1
        while true {
            do {
                return try await transaction(name, isolation: isolation, timeout: timeout, body)
            } catch let error as PostgresError where error.permitsRetry && !Task.isCancelled {
                let failed = attempt
                guard let delay = random.withGenerator({ policy.delay(afterAttempt: failed, using: &$0) }) else {
                    throw error
                }
                await core.countRetry()
                log.debug(
                    "database transaction retried",
                    metadata: ["transaction": "\(name)", "attempt": "\(attempt)", "code": "\(error.code)"])
                try await clock.sleep(for: delay)
                attempt += 1
            }
        }
    }

    @DatabaseLoop
    private func begin(
        _ name: String, _ isolation: TransactionIsolation, _ timeout: Duration
    ) async throws -> PostgresTransaction {
        let deadline = LoopInstant.now.advanced(by: timeout)
        let connection = try await core.acquire(name, timeout: timeout)
        let transaction = PostgresTransaction(name: name, connection: connection, core: core, deadline: deadline)
        try await transaction.begin(isolation)
        return transaction
    }
}
