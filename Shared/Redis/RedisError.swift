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
        case busyScript = "busy"
        case masterDown = "masterdown"
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
        } else {
            self.init(.server, reply)
        }
    }

    private static let prefixes: [String: Code] = [
        "NOAUTH": .authenticationRequired, "WRONGPASS": .wrongPassword, "NOPERM": .permissionDenied,
        "LOADING": .loading, "READONLY": .readOnly, "MISCONF": .misconfigured, "OOM": .outOfMemory,
        "NOSCRIPT": .noScript, "BUSY": .busyScript, "MASTERDOWN": .masterDown, "WRONGTYPE": .wrongType,
    ]

    /// Whether waiting may help without anybody changing anything.
    public var isTransient: Bool {
        switch code {
        case .notConnected, .connectFailed, .connectTimedOut, .connectionLost, .pongTimedOut, .commandTimedOut,
            .overloaded, .notAcknowledged, .loading, .readOnly, .misconfigured, .outOfMemory, .maximumClients,
            .busyScript, .masterDown, .protocolViolation:
            true
        case .tlsFailed, .unexpectedReply, .cancelled, .authenticationRequired, .wrongPassword, .permissionDenied,
            .noScript,
            .wrongType, .databaseOutOfRange, .server:
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

    public var description: String { "redis \(code.rawValue): \(message)" }
}
