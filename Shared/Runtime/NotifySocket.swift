#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// Tells whoever started this process that it is ready, lives, or is stopping.
///
/// The protocol is `sd_notify`'s: a datagram to the Unix socket that `NOTIFY_SOCKET` names, so `linesman up` and a
/// systemd unit of type `notify` with `WatchdogSec` hear the same. It needs neither Redis nor the network.
public final class NotifySocket: Sendable {
    private let descriptor: Int32
    private let path: [UInt8]

    /// Nil when nobody wants to be told, or the name is none of a socket.
    public init?(environment: [String: String]) {
        guard let name = environment["NOTIFY_SOCKET"], name.hasPrefix("/") || name.hasPrefix("@") else { return nil }
        var path = Array(name.utf8)
        // A name in the abstract space begins with a zero byte.
        if path.first == UInt8(ascii: "@") { path[0] = 0 }
        guard path.count > 1, path.count < UnixAddress.pathLimit else { return nil }
        descriptor = socket(AF_UNIX, UnixAddress.datagram, 0)
        guard descriptor >= 0 else { return nil }
        self.path = path
    }

    deinit { close(descriptor) }

    /// One state a line, for example `READY=1`; never waits, and what cannot be sent is not sent.
    public func say(_ words: String) {
        UnixAddress.with(path) { address, length in
            let bytes = Array(words.utf8)
            _ = sendto(descriptor, bytes, bytes.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL), address, length)
        }
    }
}

/// The end that hears what `NotifySocket` says; asked, it never waits.
public final class NotifyListener: Sendable {
    public let path: String
    private let descriptor: Int32

    /// - `path`: of the socket file, at most 107 bytes; what is there already is replaced.
    public init?(path: String) {
        let bytes = Array(path.utf8)
        guard bytes.count < UnixAddress.pathLimit else { return nil }
        let made = socket(AF_UNIX, UnixAddress.datagram, 0)
        guard made >= 0 else { return nil }
        unlink(path)
        guard UnixAddress.with(bytes, { bind(made, $0, $1) }) == 0 else {
            close(made)
            return nil
        }
        self.path = path
        descriptor = made
    }

    deinit {
        close(descriptor)
        unlink(path)
    }

    /// Every line that has come since the last call.
    public func heard() -> [String] {
        var lines: [String] = []
        var buffer = [UInt8](repeating: 0, count: 4_096)
        // The kernel keeps no more than it has room for; the bound is against one who never stops.
        for _ in 0..<1_000 {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard count > 0 else { break }
            lines += String(decoding: buffer.prefix(count), as: UTF8.self).split(separator: "\n").map(String.init)
        }
        return lines
    }
}

/// The address of a Unix socket as C wants it.
private enum UnixAddress {
    /// Room in `sun_path`.
    static let pathLimit = 108
    static let datagram = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)

    @discardableResult
    static func with<R>(_ path: [UInt8], _ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + path.count)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
