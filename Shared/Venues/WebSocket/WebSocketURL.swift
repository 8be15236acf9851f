/// Where a WebSocket is: `ws://host[:port]/path` or `wss://…`.
public struct WebSocketURL: Hashable, Sendable, CustomStringConvertible {
    public let isSecure: Bool
    public let host: String
    public let port: Int
    public let path: String

    /// Nil for any other scheme, an empty host or a bad port.
    public init?(_ text: String) {
        let lowered = text.lowercased()
        let rest: Substring
        if lowered.hasPrefix("wss://") {
            isSecure = true
            rest = text.dropFirst(6)
        } else if lowered.hasPrefix("ws://") {
            isSecure = false
            rest = text.dropFirst(5)
        } else {
            return nil
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash].split(separator: ":", omittingEmptySubsequences: false)
        guard let name = authority.first, !name.isEmpty, authority.count <= 2, !name.contains("@") else { return nil }
        host = String(name)
        path = slash == rest.endIndex ? "/" : String(rest[slash...])
        if authority.count == 2 {
            guard let number = Int(authority[1]), (1...65_535).contains(number) else { return nil }
            port = number
        } else {
            port = isSecure ? 443 : 80
        }
    }

    public var description: String { "\(isSecure ? "wss" : "ws")://\(host):\(port)\(path)" }
}
