import NIOConcurrencyHelpers
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

    /// Whether somebody has nudged since it was waited for, once.
    func takePending() -> Bool {
        state.withLockedValue { state in
            defer { state.isPending = false }
            return state.isPending
        }
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
