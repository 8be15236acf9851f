import CLibPQ
import Foundation
import NIOPosix
import Resilience

extension Connection {
    /// Opens a session, or throws `reconnect`, `wait` or `permanent` with the server's reason.
    ///
    /// All of it is bounded by `timeout`: the lookup of the name, the connect, TLS and the login.
    static func open(
        _ parameters: [String: String], id: Int, timeout: Duration, expiresAt: MachineInstant
    ) async throws -> Connection {
        let handle = try await session(parameters, until: LoopInstant.now.advanced(by: timeout))
        let isEncrypted = PQsslInUse(handle.pointer) == 1
        let canceller: any Canceller =
            (isEncrypted ? nil : PlainCanceller(handle)) ?? EncryptedCanceller(parameters)
        return Connection(handle: handle, id: id, expiresAt: expiresAt, canceller: canceller)
    }

    /// A session of libpq's, non-blocking and in pipeline mode.
    static func session(
        _ parameters: [String: String], until deadline: LoopInstant
    ) async throws -> ConnectionHandle {
        let sorted = try await HostLookup.resolved(parameters, until: deadline).sorted { $0.key < $1.key }
        // It reads files: the password file, certificates.
        let started = try await NIOThreadPool.singleton.runIfActive { start(sorted) }
        guard let handle = started else { throw PostgresError(.reconnect, "out of memory", context: "connecting") }
        var isKept = false
        defer { if !isKept { PQfinish(handle.pointer) } }
        // From the start: libpq would print on the standard error what a server says while it ends a new session.
        PQsetNoticeReceiver(handle.pointer, { _, _ in }, nil)
        // The SQLSTATE of a refused connection is only to be had in the verbose message.
        PQsetErrorVerbosity(handle.pointer, PQERRORS_VERBOSE)
        try await establish(handle, until: deadline)
        PQsetErrorVerbosity(handle.pointer, PQERRORS_DEFAULT)
        PQsetnonblocking(handle.pointer, 1)
        giveRoom(PQsocket(handle.pointer))
        guard PQenterPipelineMode(handle.pointer) == 1 else {
            throw PostgresError(.reconnect, "no pipeline mode: \(handle.message)", context: "connecting")
        }
        isKept = true
        return handle
    }

    /// A local socket's usual buffer is told to be free only when the server is about to run out of work (COPY); over
    /// the network, the kernel finds the size itself.
    private static func giveRoom(_ socket: Int32) {
        var address = sockaddr()
        var length = socklen_t(MemoryLayout<sockaddr>.size)
        guard getsockname(socket, &address, &length) == 0, address.sa_family == sa_family_t(AF_UNIX) else { return }
        var size: Int32 = 1 << 20
        // Refused or cut, it only stays slower.
        setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func establish(_ handle: ConnectionHandle, until deadline: LoopInstant) async throws {
        var step = PGRES_POLLING_WRITING
        let ready = LoopWait()
        while PQstatus(handle.pointer) != CONNECTION_BAD {
            let socket = PQsocket(handle.pointer)
            guard socket >= 0 else { break }
            guard await ready.wait(for: step == PGRES_POLLING_READING ? .read : .write, on: socket, until: deadline)
            else {
                throw PostgresError(.reconnect, "no session within the connect time-out", context: "connecting")
            }
            step = PQconnectPoll(handle.pointer)
            if step == PGRES_POLLING_OK { return }
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
