import Foundation
import Runtime

/// Where the server is and how to log in, as spelled by `redis://[[user]:password@]host[:port][/db]`.
///
/// `rediss://` is the same over TLS, `unix:///path/to/socket?db=1` a Unix socket. User and password are
/// percent-encoded; an IPv6 address stands in brackets.
public struct RedisEndpoint: Hashable, Sendable {
    public enum Address: Hashable, Sendable {
        case network(host: String, port: Int)
        case unixSocket(path: String)
    }

    public let address: Address
    public let usesTLS: Bool
    public let username: String?
    public let password: Secret?
    public let database: Int

    public init(
        address: Address, usesTLS: Bool = false, username: String? = nil, password: Secret? = nil, database: Int = 0
    ) {
        self.address = address
        self.usesTLS = usesTLS
        self.username = username
        self.password = password
        self.database = database
    }

    /// - Returns: nil for anything that is not such an address.
    public init?(url: String) {
        guard let endpoint = try? Self.parse(url) else { return nil }  // the reason is for the settings only
        self = endpoint
    }

    /// Reads an address strictly: what it does not understand it refuses.
    ///
    /// - Throws: which part is wrong; never the address itself, which may hold a password.
    static func parse(_ url: String) throws(RedisURLProblem) -> RedisEndpoint {
        guard url.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else { throw .characters }
        guard let separator = url.range(of: "://") else { throw .scheme }
        let scheme = url[..<separator.lowerBound].lowercased()
        var rest = url[separator.upperBound...]
        guard !rest.contains("#") else { throw .extra }
        guard ["redis", "rediss", "unix"].contains(scheme) else { throw .scheme }
        var query: Substring?
        if let mark = rest.firstIndex(of: "?") {
            query = rest[rest.index(after: mark)...]
            rest = rest[..<mark]
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        var authority = rest[..<slash]
        let path = rest[slash...]
        var login: (user: String?, password: Secret?) = (nil, nil)
        if let at = authority.lastIndex(of: "@") {
            login = try parseLogin(authority[..<at])
            authority = authority[authority.index(after: at)...]
        }
        if scheme == "unix" {
            guard authority.isEmpty, let file = path.removingPercentEncoding, file.count > 1,
                !file.contains("\0")
            else { throw .path }
            return RedisEndpoint(
                address: .unixSocket(path: file), username: login.user, password: login.password,
                database: try query.map(parseQuery) ?? 0)
        }
        guard query == nil else { throw .extra }
        let (host, port) = try parseHost(authority)
        return RedisEndpoint(
            address: .network(host: host, port: port), usesTLS: scheme == "rediss", username: login.user,
            password: login.password, database: try path.count > 1 ? parseDatabase(path.dropFirst()) : 0)
    }

    /// `user:password` or `:password`.
    private static func parseLogin(_ text: Substring) throws(RedisURLProblem) -> (user: String?, password: Secret?) {
        guard !text.contains("@") else { throw .login }
        let colon = text.firstIndex(of: ":")
        guard let user = text[..<(colon ?? text.endIndex)].removingPercentEncoding else { throw .login }
        // A user without a password would be ignored in silence.
        guard let colon else { throw .login }
        guard let password = text[text.index(after: colon)...].removingPercentEncoding else { throw .login }
        if user.isEmpty { return (nil, password.isEmpty ? nil : Secret(password)) }
        return (user, Secret(password))
    }

    private static func parseHost(_ text: Substring) throws(RedisURLProblem) -> (host: String, port: Int) {
        var host = text
        var port: Substring?
        if text.hasPrefix("[") {
            // `[::1]` is an address in a URL and `::1` to the resolver.
            guard let bracket = text.firstIndex(of: "]") else { throw .host }
            host = text[text.index(after: text.startIndex)..<bracket]
            guard host.contains(":"), host.allSatisfy({ $0.isHexDigit || ":.%".contains($0) || $0.isLetter }) else {
                throw .host
            }
            let after = text[text.index(after: bracket)...]
            guard after.isEmpty || after.hasPrefix(":") else { throw .host }
            port = after.isEmpty ? nil : after.dropFirst()
        } else if let colon = text.firstIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
        }
        guard !host.isEmpty,
            text.hasPrefix("[") || host.allSatisfy({ $0.isLetter || $0.isNumber || "-._".contains($0) })
        else { throw .host }
        return (String(host), try port.map(parsePort) ?? 6379)
    }

    private static func parsePort(_ text: Substring) throws(RedisURLProblem) -> Int {
        guard text.allSatisfy(\.isNumber), let port = Int(text), (1...65_535).contains(port) else { throw .port }
        return port
    }

    /// Servers have 16 databases by default, and rarely more; a number the server lacks is refused at the login.
    private static func parseDatabase(_ text: Substring) throws(RedisURLProblem) -> Int {
        guard text.allSatisfy(\.isNumber), let database = Int(text), database <= 65_535 else { throw .database }
        return database
    }

    /// `db=1`, and nothing else.
    private static func parseQuery(_ text: Substring) throws(RedisURLProblem) -> Int {
        guard text.hasPrefix("db=") else { throw .extra }
        return try parseDatabase(text.dropFirst(3))
    }
}

/// Which part of an address is wrong.
enum RedisURLProblem: String, Error, Hashable, Sendable, CaseIterable {
    case scheme = "does not begin with redis://, rediss:// or unix://"
    case characters = "contains a space or another character that must be percent-encoded"
    case login = "the login is not user:password or :password, percent-encoded"
    case host = "the host is missing or not a name, an IPv4 address or an IPv6 address in brackets"
    case port = "the port is not a number from 1 to 65535"
    case database = "the database is not a number from 0 to 65535"
    case path = "unix:// needs the absolute path of a socket and no host"
    case extra = "has a query or a fragment that is not understood; unix:// takes ?db=, nothing else does"
}

extension RedisEndpoint: CustomStringConvertible {
    /// Without the login.
    public var description: String {
        switch address {
        case .network(let host, let port):
            "\(usesTLS ? "rediss" : "redis")://\(host.contains(":") ? "[\(host)]" : host):\(port)/\(database)"
        case .unixSocket(let path): "unix://\(path)?db=\(database)"
        }
    }
}
