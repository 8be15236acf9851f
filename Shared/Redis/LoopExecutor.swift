import NIOCore

/// Runs tasks that prefer it on the thread of an event loop.
///
/// A continuation is resumed on the executor that its task prefers, and on the runtime's own threads if it prefers
/// none: for an actor pinned to the loop, which has to come back, these are two changes of thread for each wait.
final class LoopExecutor: TaskExecutor {
    let loop: any EventLoop

    init(_ loop: any EventLoop) {
        self.loop = loop
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }

    /// Resumes what waits in `body` on the loop if its caller runs there.
    func keeping<R>(
        isolation actor: isolated (any Actor)? = #isolation, _ body: () async throws -> R
    ) async rethrows -> R {
        guard loop.inEventLoop, !isPreferred else { return try await body() }
        return try await withTaskExecutorPreference(self, isolation: actor, operation: body)
    }

    private var isPreferred: Bool {
        withUnsafeCurrentTask { $0?.unownedTaskExecutor == asUnownedTaskExecutor() }
    }
}
