import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// TCP keep-alive, for what PING cannot see: a socket that nobody watches any more, or a process that hangs.
///
/// The kernel asks after 15 s of silence, every 5 s, and gives up after 3 questions; on Linux also 30 s after data that
/// nobody acknowledges. The PING with its deadline is far ahead of it (PITFALLS 5.15, 5.16).
enum KeepAlive {
    struct Option {
        let level: NIOBSDSocket.OptionLevel
        let name: NIOBSDSocket.Option
        let value: Int
    }

    static let options: [Option] =
        [
            Option(level: .socket, name: .so_keepalive, value: 1), tcp(idleOption, 15), tcp(TCP_KEEPINTVL, 5),
            tcp(TCP_KEEPCNT, 3),
        ] + userTimeout

    #if canImport(Glibc)
    private static let idleOption = TCP_KEEPIDLE
    private static let userTimeout = [tcp(TCP_USER_TIMEOUT, 30_000)]
    #else
    private static let idleOption = TCP_KEEPALIVE
    private static let userTimeout: [Option] = []
    #endif

    private static func tcp(_ name: CInt, _ value: Int) -> Option {
        Option(level: .tcp, name: NIOBSDSocket.Option(rawValue: name), value: value)
    }
}
