import Foundation
import Runtime

/// Where the server is and how to log in, as spelled by `redis://[user[:password]@]host[:port][/db]`.
///
/// `rediss://` is the same over TLS, `unix:///path/to/socket?db=1` a Unix socket.
public struct RedisEndpoint: Sendable {
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
        guard let parts = URLComponents(string: url), let scheme = parts.scheme?.lowercased() else { return nil }
        let login = (parts.user.flatMap { $0.isEmpty ? nil : $0 }, parts.password.map { Secret($0) })
        switch scheme {
        case "redis", "rediss":
            guard let host = parts.host, !host.isEmpty else { return nil }
            let path = parts.path.drop { $0 == "/" }
            guard let database = path.isEmpty ? 0 : Int(path), database >= 0 else { return nil }
            // `[::1]` is an address in a URL and `::1` to the resolver.
            let name = host.trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
            self.init(
                address: .network(host: name, port: parts.port ?? 6379), usesTLS: scheme == "rediss",
                username: login.0, password: login.1, database: database)
        case "unix":
            guard !parts.path.isEmpty else { return nil }
            let number = parts.queryItems?.first { $0.name == "db" }?.value
            let database = number.map { Int($0) ?? -1 } ?? 0
            guard database >= 0 else { return nil }
            self.init(
                address: .unixSocket(path: parts.path), username: login.0, password: login.1, database: database)
        default:
            return nil
        }
    }
}

extension RedisEndpoint: CustomStringConvertible {
    /// Without the login.
    public var description: String {
        switch address {
        case .network(let host, let port): "\(usesTLS ? "rediss" : "redis")://\(host):\(port)/\(database)"
        case .unixSocket(let path): "unix://\(path)?db=\(database)"
        }
    }
}
