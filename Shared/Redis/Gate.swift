import NIOConcurrencyHelpers

/// Where one task waits until another thread lets it through.
///
/// Who comes back from an actor goes straight to its own executor. A continuation is resumed on the executor that its
/// task prefers, and on the runtime's own threads if it prefers none: for an actor pinned to an event loop, which has
/// to come back, these are two changes of thread for each wait. So this is an actor whose executor holds its one job
/// back.
actor Gate {
    private nonisolated let executor = GateExecutor()

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Waits until it is open, and closes it behind the caller; one at a time.
    func pass() { executor.close() }

    /// Lets one through: who waits, or else who comes next.
    nonisolated func open() { executor.open() }
}

private final class GateExecutor: SerialExecutor {
    private struct State {
        var isOpen = false
        var waiting: UnownedJob?
    }

    private let state = NIOLockedValueBox(State())

    /// Runs the job where the gate is opened: it only passes, and its task goes on elsewhere.
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let isOpen = state.withLockedValue { state in
            precondition(state.waiting == nil, "a gate lets one through at a time")
            if !state.isOpen { state.waiting = job }
            return state.isOpen
        }
        if isOpen { job.runSynchronously(on: asUnownedSerialExecutor()) }
    }

    func open() {
        let job = state.withLockedValue { state in
            state.isOpen = true
            return state.waiting.take()
        }
        job?.runSynchronously(on: asUnownedSerialExecutor())
    }

    func close() {
        state.withLockedValue { $0.isOpen = false }
    }
}
