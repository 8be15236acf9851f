import Resilience
import Runtime

extension PostgresPool {
    /// As `transaction`, and runs the whole again, with everything it read, when nothing of it can have been committed:
    /// serialisation failure, deadlock, a lock not given, a connection lost before COMMIT (CHECKLIST R29, R30).
    ///
    /// An outcome that is not known is thrown as `unknownCommit`; `idempotentTransaction` finds it out.
    public nonisolated(nonsending) func retryingTransaction<R>(
        _ name: String, isolation: TransactionIsolation = .readCommitted, timeout: Duration? = nil,
        policy: RetryPolicy = .database,
        _ body: nonisolated(nonsending) (PostgresTransaction) async throws -> R
    ) async throws -> R {
        var attempt = 1
        while true {
            do {
                let result = try await transaction(name, isolation: isolation, timeout: timeout, body)
                if attempt > 1 { await countRetried(true) }
                return result
            } catch let error as PostgresError where error.permitsRetry && !Task.isCancelled {
                guard await wait(after: error, attempt, name, policy) else { throw error }
                attempt += 1
            }
        }
    }

    /// As `retryingTransaction`, for a write that carries a key of its own: when an attempt's outcome is not known,
    /// `readBack` looks for what the key stands for before anything is written again (CHECKLIST N21).
    ///
    /// The key is unique in the database, so that an attempt which the server is still busy with and its repetition
    /// cannot both be stored: the repetition waits for the key, and then finds it taken. `readBack` gives nil when
    /// nothing is stored under the key.
    public nonisolated(nonsending) func idempotentTransaction<R>(
        _ name: String, isolation: TransactionIsolation = .readCommitted, timeout: Duration? = nil,
        policy: RetryPolicy = .database,
        readBack: nonisolated(nonsending) (PostgresTransaction) async throws -> R?,
        _ body: nonisolated(nonsending) (PostgresTransaction) async throws -> R
    ) async throws -> R {
        var attempt = 1
        var isInDoubt = false
        while true {
            do {
                if isInDoubt, let stored = try await transaction("\(name): read back", timeout: timeout, readBack) {
                    await countRetried(true)
                    return stored
                }
                let result = try await transaction(name, isolation: isolation, timeout: timeout, body)
                if attempt > 1 { await countRetried(true) }
                return result
            } catch {
                let failure = error as? PostgresError
                let wasInDoubt = isInDoubt
                if failure?.code == .unknownCommit { isInDoubt = true }
                // In doubt, a taken key is the earlier attempt's: it was committed while this one ran.
                guard let failure, !Task.isCancelled,
                    failure.permitsRetry || isInDoubt && (failure.code == .unknownCommit || failure.isUniqueViolation),
                    await wait(after: failure, attempt, name, policy)
                else { throw wasInDoubt ? Self.doubtful(error, name) : error }
                attempt += 1
            }
        }
    }

    /// Whatever ended the last attempt, an earlier one may have been stored: a server that is away now, a cancelled
    /// task and the scope's own error say nothing about that.
    private static func doubtful(_ error: any Error, _ name: String) -> PostgresError {
        let last = error as? PostgresError
        if let last, last.code == .unknownCommit { return last }
        return PostgresError(
            .unknownCommit, "an earlier attempt may have been committed; \(last?.message ?? "\(error)")",
            context: last?.context ?? name, sqlState: last?.sqlState)
    }

    /// Waits for the next attempt; false when that was the last, or when the task was cancelled meanwhile.
    private nonisolated(nonsending) func wait(
        after error: PostgresError, _ attempt: Int, _ name: String, _ policy: RetryPolicy
    ) async -> Bool {
        guard let delay = random.withGenerator({ policy.delay(afterAttempt: attempt, using: &$0) }) else {
            await countRetried(false)
            return false
        }
        await countRetry()
        log.debug(
            "database transaction retried",
            metadata: ["transaction": "\(name)", "attempt": "\(attempt)", "code": "\(error.code)"])
        return (try? await clock.sleep(for: delay)) != nil
    }
}
