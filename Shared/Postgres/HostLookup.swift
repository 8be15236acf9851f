import Glibc
import NIOPosix

/// Looks names up before libpq would: its own lookup blocks the thread that connects, for as long as a resolver likes.
@DatabaseLoop
enum HostLookup {
    /// Most addresses tried of one name.
    private nonisolated static let addressLimit = 8

    /// One lookup of one name, for everybody who waits for it: one that hangs holds one thread, not one per attempt.
    private final class Lookup {
        var addresses: Result<[String], PostgresError>?
        var waits: [LoopWait] = []
    }

    /// A resolver that is silent blocks its thread; sessions are opened and files written by others meanwhile.
    private nonisolated static let threads: NIOThreadPool = {
        let threads = NIOThreadPool(numberOfThreads: 4)
        threads.start()
        return threads
    }()

    private static var lookups: [String: Lookup] = [:]

    /// The parameters with `hostaddr` beside every `host`; sockets and numeric addresses stay as they are.
    static func resolved(_ parameters: [String: String], until deadline: LoopInstant) async throws -> [String: String] {
        guard parameters["hostaddr"] == nil, let host = parameters["host"], !host.isEmpty else { return parameters }
        let hosts = host.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        if hosts.contains(where: { $0.isEmpty || $0.hasPrefix("/") || $0.hasPrefix("@") }) { return parameters }
        if hosts.allSatisfy(isNumeric) { return parameters }
        let ports = (parameters["port"] ?? "").split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        var targets: [(host: String, address: String, port: String)] = []
        var problem: PostgresError?
        for (index, host) in hosts.enumerated() {
            let port = ports.count == hosts.count ? ports[index] : ports.first ?? ""
            do {
                let addresses = isNumeric(host) ? [host] : try await addresses(of: host, until: deadline)
                targets += addresses.map { (host, $0, port) }
            } catch {
                problem = error
            }
        }
        if targets.isEmpty, let problem { throw problem }
        var parameters = parameters
        parameters["host"] = targets.map(\.host).joined(separator: ",")
        parameters["hostaddr"] = targets.map(\.address).joined(separator: ",")
        parameters["port"] = targets.map(\.port).joined(separator: ",")
        return parameters
    }

    private static func addresses(
        of host: String, until deadline: LoopInstant
    ) async throws(PostgresError) -> [String] {
        let lookup = lookups[host] ?? begin(host)
        if lookup.addresses == nil {
            let wait = LoopWait()
            lookup.waits.append(wait)
            guard await wait.wait(until: deadline) else {
                throw PostgresError(
                    .reconnect, "the name \(host) was not resolved within the connect time-out", context: "connecting")
            }
        }
        return try lookup.addresses?.get() ?? []
    }

    private static func begin(_ host: String) -> Lookup {
        let lookup = Lookup()
        lookups[host] = lookup
        // Awaited by everybody in `waits`, each until its own deadline.
        Task { @DatabaseLoop in
            do {
                let found = try await Self.threads.runIfActive { ask(host) }
                lookup.addresses = found
            } catch {
                lookup.addresses = .failure(PostgresError(.reconnect, "\(error)", context: "connecting"))
            }
            lookups[host] = nil
            for wait in lookup.waits { wait.end() }
        }
        return lookup
    }

    private nonisolated static func isNumeric(_ host: String) -> Bool {
        var address = in6_addr()
        return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
    }

    /// Blocks for as long as the resolver does.
    private nonisolated static func ask(_ host: String) -> Result<[String], PostgresError> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &list)
        guard status == 0 else {
            let reason = String(cString: gai_strerror(status))
            return .failure(
                PostgresError(.reconnect, "the name \(host) cannot be resolved: \(reason)", context: "connecting"))
        }
        defer { freeaddrinfo(list) }
        var addresses: [String] = []
        var next = list
        while let entry = next?.pointee, addresses.count < addressLimit {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let status = getnameinfo(
                entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
            if status == 0 {
                let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                if !addresses.contains(address) { addresses.append(address) }
            }
            next = entry.ai_next
        }
        return .success(addresses)
    }
}
