/// A failure of the connection or an error reply of the server, classified where it is first seen.
public struct RedisError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A closed set, safe as a metric label.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        // The connection.
        case notConnected = "not_connected"
        case connectFailed = "connect_failed"
        case connectTimedOut = "connect_timed_out"
        /// The connection ended under the command: whether the server carried it out is unknown.
        case connectionLost = "connection_lost"
        /// The server did not answer a PING in time.
        case pongTimedOut = "pong_timed_out"
        /// No reply in time: whether the server carried it out is unknown.
        case commandTimedOut = "command_timed_out"
        /// Bytes that are not RESP2, a reply nobody asked for, or one larger than the bound.
        case protocolViolation = "protocol_violation"
        /// Too many commands or bytes are waiting already; this one was not sent.
        case overloaded
        case tlsFailed = "tls_failed"
        /// A subscription was not acknowledged in time.
        case notAcknowledged = "not_acknowledged"
        case unexpectedReply = "unexpected_reply"
        /// The caller was cancelled: whether the server carries it out is unknown.
        case cancelled
        /// The server lacks a command this client needs.
        case serverTooOld = "server_too_old"
        /// The other connection leads to another server by now.
        case differentServer = "different_server"
        /// A message larger than the server's output buffers bear; it was not sent.
        case messageTooLarge = "message_too_large"

        // Error replies.
        case authenticationRequired = "noauth"
        case wrongPassword = "wrongpass"
        case permissionDenied = "noperm"
        case loading
        case readOnly = "readonly"
        case misconfigured = "misconf"
        case outOfMemory = "oom"
        case noScript = "noscript"
        case maximumClients = "maxclients"
        /// Protected mode: the server takes no connections from elsewhere.
        case denied
        case busyScript = "busy"
        case masterDown = "masterdown"
        case noReplicas = "noreplicas"
        case clusterDown = "clusterdown"
        /// The key belongs to another node: a cluster, which this client does not serve.
        case moved
        case tryAgain = "tryagain"
        case wrongType = "wrongtype"
        case databaseOutOfRange = "db_out_of_range"
        /// Any other error reply.
        case server
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// The typed form of an error reply, told by its first word.
    public init(reply: String) {
        let prefix = reply.prefix { $0 != " " }
        if let code = Self.prefixes[String(prefix)] {
            self.init(code, reply)
        } else if reply.hasPrefix("ERR max number of clients") {
            self.init(.maximumClients, reply)
        } else if reply.hasPrefix("ERR DB index") || reply.hasPrefix("ERR invalid DB index") {
            self.init(.databaseOutOfRange, reply)
        } else if reply.hasPrefix("ERR AUTH ") || reply.hasPrefix("ERR Client sent AUTH, but no password is set") {
            // A password for a server that wants none.
            self.init(.wrongPassword, reply)
        } else {
            self.init(.server, reply)
        }
    }

    private static let prefixes: [String: Code] = [
        "NOAUTH": .authenticationRequired, "WRONGPASS": .wrongPassword, "NOPERM": .permissionDenied,
        "LOADING": .loading, "READONLY": .readOnly, "MISCONF": .misconfigured, "OOM": .outOfMemory,
        "NOSCRIPT": .noScript, "BUSY": .busyScript, "MASTERDOWN": .masterDown, "WRONGTYPE": .wrongType,
        "NOREPLICAS": .noReplicas, "CLUSTERDOWN": .clusterDown, "MOVED": .moved, "ASK": .moved, "TRYAGAIN": .tryAgain,
        "DENIED": .denied,
    ]

    /// Whether waiting may help without anybody changing anything.
    public var isTransient: Bool {
        switch code {
        case .notConnected, .connectFailed, .connectTimedOut, .connectionLost, .pongTimedOut, .commandTimedOut,
            .overloaded, .notAcknowledged, .loading, .readOnly, .misconfigured, .outOfMemory, .maximumClients,
            .busyScript, .masterDown, .noReplicas, .clusterDown, .tryAgain, .differentServer, .protocolViolation:
            true
        case .tlsFailed, .unexpectedReply, .cancelled, .authenticationRequired, .wrongPassword, .permissionDenied,
            .denied, .noScript, .moved, .wrongType, .databaseOutOfRange, .serverTooOld, .messageTooLarge, .server:
            false
        }
    }

    /// Whether the server may have carried the command out although no reply came.
    public var isOutcomeUnknown: Bool {
        switch code {
        case .connectionLost, .pongTimedOut, .commandTimedOut, .protocolViolation, .cancelled: true
        default: false
        }
    }

    /// What a connection does when the server answers with this error.
    enum Reaction: Hashable, Sendable {
        /// It goes on; the caller gets the error.
        case stay
        /// It goes on; what the client itself asked is asked again on it until the server is ready.
        case wait
        /// It is closed: the next one asks anew where the server is, and logs in anew.
        case leave
    }

    var reaction: Reaction {
        switch code {
        case .loading, .busyScript, .tryAgain: .wait
        case .readOnly, .masterDown, .authenticationRequired, .differentServer: .leave
        default: .stay
        }
    }

    /// Whether an operator wants to hear of it: the server, its settings or our login are not as they should be.
    var concernsOperator: Bool {
        switch code {
        case .authenticationRequired, .wrongPassword, .permissionDenied, .readOnly, .misconfigured, .outOfMemory,
            .maximumClients, .denied, .masterDown, .noReplicas, .clusterDown, .moved:
            true
        default: false
        }
    }

    /// Whether waiting alone does not help: somebody has to change a setting.
    var needsOperator: Bool {
        switch code {
        case .wrongPassword, .authenticationRequired, .permissionDenied, .tlsFailed, .serverTooOld,
            .databaseOutOfRange, .denied, .moved:
            true
        default: false
        }
    }

    public var description: String { "redis \(code.rawValue): \(message)" }
}
