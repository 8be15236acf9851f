import Dispatch
import Foundation

/// Ctrl-C and SIGTERM as cancellation, so that what was started is ended and what was written is removed.
enum Interruption {
    /// Runs `body` in a task that these signals cancel; a second one ends the process at once, as it would have before.
    static func endsCleanly<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) async throws -> R {
        let task = Task(operation: body)
        let sources = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler {
                signal(number, SIG_DFL)
                FileHandle.standardError.write(Data("linesman-bench: stopping\n".utf8))
                task.cancel()
            }
            source.resume()
            return source
        }
        defer {
            for source in sources { source.cancel() }
            for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
        }
        do {
            return try await task.value
        } catch  where task.isCancelled {
            throw BenchError(.failure, "interrupted; what was started has ended")
        }
    }
}
