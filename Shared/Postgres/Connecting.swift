import CLibPQ
import Foundation
import NIOPosix
import Resilience

extension Connection {
    /// Opens a session, or throws `reconnect`, `wait` or `permanent` with the server's reason.
    ///
    /// The name is looked up by libpq with blocking calls, so the start runs off this thread; its time is the
    /// resolver's, the rest is bounded by `timeout`.
    static func open(
        _ parameters: [String: String], id: Int, timeout: Duration, now: MachineInstant, expiresAt: MachineInstant
    ) async throws -> Connection {
        let sorted = parameters.sorted { $0.key < $1.key }
        let started = try await NIOThreadPool.singleton.runIfActive { start(sorted) }
        guard let handle = started else { throw PostgresError(.reconnect, "out of memory", context: "connecting") }
        var isKept = false
        defer { if !isKept { PQfinish(handle.pointer) } }
        // The SQLSTATE of a refused connection is only to be had in the verbose message.
        PQsetErrorVerbosity(handle.pointer, PQERRORS_VERBOSE)
        try await establish(handle, until: LoopInstant.now.advanced(by: timeout))
        PQsetErrorVerbosity(handle.pointer, PQERRORS_DEFAULT)
        PQsetNoticeReceiver(handle.pointer, { _, _ in }, nil)
        PQsetnonblocking(handle.pointer, 1)
        isKept = true
        return Connection(handle: handle, id: id, openedAt: now, expiresAt: expiresAt)
    }

    private static func establish(_ handle: ConnectionHandle, until deadline: LoopInstant) async throws {
        var step = PGRES_POLLING_WRITING
        while PQstatus(handle.pointer) != CONNECTION_BAD {
            let socket = PQsocket(handle.pointer)
            guard socket >= 0 else { break }
            let wake = await LoopExecutor.shared.wait(
                for: step == PGRES_POLLING_READING ? .read : .write, on: socket, until: deadline, isFresh: true)
            if case .deadline = wake {
                LoopExecutor.shared.forget(socket)
                throw PostgresError(.reconnect, "no session within the connect time-out", context: "connecting")
            }
            if case .interrupted = wake { continue }
            step = PQconnectPoll(handle.pointer)
            if step == PGRES_POLLING_OK { return }
            if step == PGRES_POLLING_FAILED || PQsocket(handle.pointer) != socket {
                LoopExecutor.shared.forget(socket)
            }
            if step == PGRES_POLLING_FAILED { break }
        }
        let words = handle.message
        let sqlState = sqlState(in: words)
        let message = words.range(of: " LOCATION:").map { String(words[..<$0.lowerBound]) } ?? words
        var code = Classifier.code(sqlState: sqlState, phase: .harmless)
        // A starting or stopping server and a network say no today and yes tomorrow; a wrong password does not.
        if sqlState == nil { code = .reconnect }
        throw PostgresError(code, message, context: "connecting", sqlState: sqlState)
    }

    /// The state in a verbose message: `… FATAL:  53300: sorry, too many clients already …`.
    nonisolated static func sqlState(in message: String) -> String? {
        let words = message.split(separator: " ")
        for (word, next) in zip(words, words.dropFirst()) where word.hasSuffix(":") && next.hasSuffix(":") {
            let state = next.dropLast()
            // The severity before it has five letters too; every state has a digit.
            if state.utf8.count == 5, state.contains(where: \.isNumber),
                state.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) }),
                word.dropLast().allSatisfy({ $0.isLetter })
            {
                return String(state)
            }
        }
        return nil
    }

    private nonisolated static func start(_ parameters: [(key: String, value: String)]) -> ConnectionHandle? {
        let keys = parameters.map { $0.key.utf8CString }
        let values = parameters.map { $0.value.utf8CString }
        // One flat copy of all texts, so that the pointers stay valid together.
        var storage: [CChar] = []
        var offsets: [(key: Int, value: Int)] = []
        for (key, value) in zip(keys, values) {
            offsets.append((storage.count, storage.count + key.count))
            storage.append(contentsOf: key)
            storage.append(contentsOf: value)
        }
        return storage.withUnsafeBufferPointer { texts -> ConnectionHandle? in
            let base = texts.baseAddress
            let keywords = offsets.map { base?.advanced(by: $0.key) } + [nil]
            let contents = offsets.map { base?.advanced(by: $0.value) } + [nil]
            return PQconnectStartParams(keywords, contents, 0).map { ConnectionHandle(pointer: $0) }
        }
    }
}
