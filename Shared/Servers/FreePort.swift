import NIOConcurrencyHelpers

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Free TCP ports on loopback, none given twice within one process.
///
/// They lie below the ports that the kernel gives out by itself (32768 and up by default), so that no connection and no
/// server that asks for any port can take one before it is bound.
public enum FreePort {
    private static let range = 12_000..<32_000
    /// Processes begin at different places, and one that begins anew not where its last life did.
    private static let next = NIOLockedValueBox(Int(getpid()) &* 37)

    /// A port that was free a moment ago; whoever binds it must be ready to ask for another.
    public static func find() throws(ServersError) -> Int {
        for _ in 0..<range.count {
            let offset = next.withLockedValue { next in
                next += 1
                return next % range.count
            }
            if isFree(range.lowerBound + offset) { return range.lowerBound + offset }
        }
        throw ServersError(.noFreePort, "no free port on 127.0.0.1")
    }

    private static func isFree(_ port: Int) -> Bool {
        guard let socket = LoopbackSocket.open() else { return false }
        defer { close(socket) }
        var address = LoopbackSocket.address(port: port)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}

/// The few socket calls that a readiness probe needs.
enum LoopbackSocket {
    static func open() -> Int32? {
        #if canImport(Glibc)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        #else
        let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        return descriptor >= 0 ? descriptor : nil
    }

    static func address(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    /// Sends `request` and returns the first bytes of the answer; nil without one within `timeout` seconds.
    ///
    /// Blocks the thread.
    static func ask(port: Int, _ request: String, timeout: Int) -> String? {
        guard let socket = open() else { return nil }
        defer { close(socket) }
        var limit = timeval(tv_sec: timeout, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        var address = address(port: port)
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else { return nil }
        let bytes = Array(request.utf8)
        guard send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return nil }
        var answer = [UInt8](repeating: 0, count: 256)
        let count = recv(socket, &answer, answer.count, 0)
        return count > 0 ? String(decoding: answer.prefix(count), as: UTF8.self) : nil
    }
}
