import NIOCore

/// Runs tasks that prefer it on the thread of an event loop.
///
/// A continuation is resumed on the executor that its task prefers, and on the runtime's own threads if it prefers
/// none: for an actor pinned to the loop, which has to come back, these are two changes of thread for each wait.
final class LoopExecutor: TaskExecutor {
    let loop: any EventLoop
    private let returning: ReturningExecutor

    init(_ loop: any EventLoop) {
        self.loop = loop
        returning = ReturningExecutor(loop)
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
        let executor: any TaskExecutor = actor == nil ? self : returning
        return try await withTaskExecutorPreference(executor, isolation: actor, operation: body)
    }

    private var isPreferred: Bool {
        withUnsafeCurrentTask { $0?.unownedTaskExecutor == asUnownedTaskExecutor() }
    }
}

/// Runs what an actor pinned to the loop has waited for, as that actor's executor does: it is where it belongs, and
/// need not be enqueued again.
private final class ReturningExecutor: TaskExecutor {
    private let loop: any EventLoop

    init(_ loop: any EventLoop) {
        self.loop = loop
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute {
            job.runSynchronously(
                isolatedTo: self.loop.executor.asUnownedSerialExecutor(), taskExecutor: self.asUnownedTaskExecutor())
        }
    }
}
