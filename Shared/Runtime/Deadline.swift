import NIOConcurrencyHelpers
import Resilience

/// The operation did not finish within its time-out.
public struct DeadlineExceeded: Error, Hashable, Sendable, CustomStringConvertible {
    public let after: Duration

    public init(after: Duration) {
        self.after = after
    }

    public var description: String { "no answer within \(after)" }
}

/// Runs `operation` and returns at the deadline at the latest, with `DeadlineExceeded`, or at once when cancelled.
///
/// At the deadline the operation is cancelled but not waited for: one that ignores cancellation goes on as a detached
/// remainder whose result is dropped, so it must not hold anything that others wait for. It runs on a task of its own,
/// which takes no executor from its caller: `executor` says which it prefers.
public func withDeadline<R: Sendable>(
    _ duration: Duration, clock: MachineClock, on executor: (any TaskExecutor)? = nil,
    operation: @escaping @Sendable () async throws -> R
) async throws -> R {
    let outcome = Promise<Result<R, any Error>>()
    // Both tasks are ended by the time this returns, except a remainder of the operation (see above).
    let work = Task(executorPreference: executor) {
        do {
            outcome.fulfil(.success(try await operation()))
        } catch {
            outcome.fulfil(.failure(error))
        }
    }
    let timer = Task(executorPreference: executor) {
        do {
            try await clock.sleep(for: duration)
            outcome.fulfil(.failure(DeadlineExceeded(after: duration)))
        } catch {
            // Cancelled: the operation was faster, or the caller left.
        }
    }
    return try await withTaskCancellationHandler {
        defer {
            work.cancel()
            timer.cancel()
        }
        return try await outcome.value().get()
    } onCancel: {
        work.cancel()
        timer.cancel()
        outcome.fulfil(.failure(CancellationError()))
    }
}

/// A value that comes once; the first to fulfil it wins, the others are ignored.
public final class Promise<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiters: [CheckedContinuation<Value, Never>] = []
    }

    private let state = NIOLockedValueBox(State())

    public init() {}

    /// - Returns: whether this was the first.
    @discardableResult
    public func fulfil(_ value: Value) -> Bool {
        let waiters = state.withLockedValue { state -> [CheckedContinuation<Value, Never>]? in
            guard state.value == nil else { return nil }
            state.value = value
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters ?? [] { waiter.resume(returning: value) }
        return waiters != nil
    }

    /// The value if it is there.
    public var current: Value? { state.withLockedValue { $0.value } }

    /// Waits for the value, cancellation or not: whoever waits arranges that it comes.
    public func value() async -> Value {
        await withCheckedContinuation { continuation in
            let value = state.withLockedValue { state in
                if state.value == nil { state.waiters.append(continuation) }
                return state.value
            }
            if let value { continuation.resume(returning: value) }
        }
    }
}
