import CLibPQ
import NIOPosix

/// Asks the server to end the statement that runs on a connection.
@DatabaseLoop
protocol Canceller: AnyObject, Sendable {
    /// Returns when the server has taken the request, or when it cannot be delivered.
    func cancel(_ backend: Int32) async
}

/// A cancel request in the clear, as libpq sends it; for sessions that are in the clear themselves.
final class PlainCanceller: Canceller {
    /// Invariant of the unchecked conformance: immutable; libpq allows sending it from any thread.
    private final class Request: @unchecked Sendable {
        private let pointer: OpaquePointer

        init?(_ handle: ConnectionHandle) {
            guard let pointer = PQgetCancel(handle.pointer) else { return nil }
            self.pointer = pointer
        }

        deinit { PQfreeCancel(pointer) }

        /// Blocks until the server has taken it.
        func send() {
            var message = [CChar](repeating: 0, count: 256)
            _ = PQcancel(pointer, &message, Int32(message.count))
        }
    }

    /// A request whose server is silent blocks its thread; sessions are opened by others meanwhile.
    private nonisolated static let threads: NIOThreadPool = {
        let threads = NIOThreadPool(numberOfThreads: 2)
        threads.start()
        return threads
    }()

    private let request: Request

    init?(_ handle: ConnectionHandle) {
        guard let request = Request(handle) else { return nil }
        self.request = request
    }

    func cancel(_ backend: Int32) async {
        // Lost: the caller's grace ends the statement then.
        try? await Self.threads.runIfActive { [request] in request.send() }
    }
}

/// Cancels through a second session with the same TLS settings and login.
///
/// libpq's own request (before version 17) goes out unencrypted with the session's cancel key in it, so whoever listens
/// could cancel later statements of the session. `pg_cancel_backend` needs no key, only the same user.
final class EncryptedCanceller: Canceller {
    private let parameters: [String: String]

    init(_ parameters: [String: String]) { self.parameters = parameters }

    func cancel(_ backend: Int32) async {
        let timeout = Connection.cancelGrace
        // Any failure: the caller's grace ends the statement then.
        guard
            let handle = try? await Connection.session(parameters, until: LoopInstant.now.advanced(by: timeout))
        else { return }
        let connection = Connection(handle: handle, id: 0, expiresAt: .origin, canceller: NoCanceller())
        let request = Operation(
            .batch(Batch(statements: Few("SELECT pg_cancel_backend(\(backend))"))), phase: .harmless, name: "cancel",
            deadline: LoopInstant.now.advanced(by: timeout))
        _ = try? await request.run(on: connection)
        connection.close()
    }
}

/// For the session that cancels: it is ended by its own grace.
private final class NoCanceller: Canceller {
    func cancel(_ backend: Int32) async {}
}
