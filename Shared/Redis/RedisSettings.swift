import Foundation
import Resilience
import Runtime

/// How to reach Redis, how long to wait for it, and how much may be queued (DESIGN section 7).
public struct RedisSettings: Sendable {
    public let endpoint: RedisEndpoint
    /// A PEM file of the authority to trust for `rediss://`; the system's own when nil.
    public let certificateAuthority: String?
    public let backoff: Backoff
    public let breaker: CircuitBreaker
    /// For the connection, TLS, login and the first PONG together.
    public let connectTimeout: Duration
    /// On each of the two connections.
    ///
    /// A PING is 14 bytes, its PONG 7, or 20 beside subscriptions, in about three packets with 52 bytes of headers.
    /// At the default of 1 s a process spends 143 MB a month on both, 951 MB with the headers (PITFALLS 5.28).
    public let pingInterval: Duration
    public let pongTimeout: Duration
    public let commandTimeout: Duration
    public let maximumInFlight: Int
    public let maximumInFlightBytes: Int
    public let maximumReplyBytes: Int
    /// Messages that one subscription may hold before it overflows.
    public let queueLimit: Int
    public let queueByteLimit: Int

    /// Unread bytes a server should keep for a subscriber before it cuts it off; less is warned of (PITFALLS 5.35).
    public let minimumPubsubBuffer: Int
    /// The largest message to publish; a server with small output buffers lowers it (PITFALLS 5.33).
    public let maximumMessageBytes: Int
    /// After how many PINGs the server is asked whether it is still a master.
    public let roleCheckPings: Int

    public init(_ reader: SettingsReader) {
        endpoint = Self.endpoint(reader)
        certificateAuthority = Self.certificateAuthority(reader)
        backoff = Self.backoff(reader)
        breaker = Self.breaker(reader)
        let wait = Duration.milliseconds(10)...Duration.seconds(600)
        connectTimeout = reader.milliseconds(
            "REDIS_CONNECT_TIMEOUT_MS", default: .seconds(1), in: wait, "connection, TLS and login together")
        pingInterval = reader.milliseconds(
            "REDIS_PING_INTERVAL_MS", default: .seconds(1), in: wait,
            "between two PINGs on each connection; one costs 21 bytes, 34 with subscriptions, and three packets")
        pongTimeout = reader.milliseconds(
            "REDIS_PONG_TIMEOUT_MS", default: .milliseconds(1500), in: wait,
            "silence after a PING that counts as a dead connection")
        commandTimeout = reader.milliseconds(
            "REDIS_COMMAND_TIMEOUT_MS", default: .seconds(2), in: wait, "default time-out of a command")
        roleCheckPings = reader.integer(
            "REDIS_ROLE_CHECK_PINGS", default: 10, in: 1...1_000_000,
            "PINGs between two looks at whether the server is still a master")
        let gigabytes = 4 << 30
        maximumInFlight = reader.integer(
            "REDIS_MAX_IN_FLIGHT", default: 65_536, in: 1...10_000_000, "commands waiting for a reply")
        maximumInFlightBytes = reader.integer(
            "REDIS_MAX_IN_FLIGHT_BYTES", default: 64 << 20, in: 1024...gigabytes, "bytes of those commands")
        maximumReplyBytes = reader.integer(
            "REDIS_MAX_REPLY_BYTES", default: 64 << 20, in: 1024...gigabytes, "largest reply")
        queueLimit = reader.integer(
            "REDIS_QUEUE_MAX_MESSAGES", default: 65_536, in: 1...10_000_000, "messages one subscription may hold")
        queueByteLimit = reader.integer(
            "REDIS_QUEUE_MAX_BYTES", default: 32 << 20, in: 1024...gigabytes, "bytes one subscription may hold")
        minimumPubsubBuffer = reader.integer(
            "REDIS_MIN_PUBSUB_BUFFER_BYTES", default: 32 << 20, in: 0...gigabytes,
            "warn when the server's client-output-buffer-limit for pubsub is below this")
        maximumMessageBytes = reader.integer(
            "REDIS_MAX_MESSAGE_BYTES", default: 2 << 20, in: Self.smallestMessageLimit...(512 << 20),
            "largest message to publish; a quarter of the server's pubsub limit where that is less")
    }

    /// No limit for messages is below this, whatever the server keeps: most need not be looked at.
    static let smallestMessageLimit = 1024

    private static let day = Duration.seconds(86_400)

    private static func backoff(_ reader: SettingsReader) -> Backoff {
        let base = reader.milliseconds(
            "REDIS_RECONNECT_BASE_DELAY_MS", default: .seconds(1), in: .milliseconds(1)...day,
            "first delay before a reconnect")
        let cap = reader.milliseconds(
            "REDIS_RECONNECT_MAX_DELAY_MS", default: .seconds(60), in: .milliseconds(1)...day,
            "longest delay before a reconnect")
        reader.require(
            base <= cap, ["REDIS_RECONNECT_BASE_DELAY_MS", "REDIS_RECONNECT_MAX_DELAY_MS"],
            "the base delay must not exceed the maximum delay")
        return Backoff(
            base: min(base, cap), cap: cap,
            jitter: reader.number(
                "REDIS_RECONNECT_JITTER_PCT", default: 0.1, in: 0...1, "spread of the delays, as a share"),
            jitterOnlyShortens: reader.flag(
                "REDIS_RECONNECT_JITTER_ONLY_SHORTENS", default: false, "never wait longer than the delay itself"),
            resetAfter: reader.seconds(
                "REDIS_RECONNECT_RESET_SECS", default: .seconds(60), in: .zero...day,
                "how long a connection must hold before the delays start again from the base"))
    }

    private static func breaker(_ reader: SettingsReader) -> CircuitBreaker {
        CircuitBreaker(
            failureThreshold: reader.integer(
                "REDIS_RECONNECT_MAX_FAILURES", default: 10, in: 1...100_000,
                "consecutive failures that open the circuit breaker"),
            cooldown: reader.milliseconds(
                "REDIS_BREAKER_COOLDOWN_MS", default: .seconds(60), in: .milliseconds(1)...day,
                "wait before a probe while the circuit breaker is open"))
    }

    private static func certificateAuthority(_ reader: SettingsReader) -> String? {
        let file = reader.optionalText("REDIS_CA_FILE", "PEM file to trust for rediss://")
        if let file {
            reader.require(
                FileManager.default.isReadableFile(atPath: file), ["REDIS_CA_FILE"], "is not a readable file")
        }
        return file
    }

    private static func endpoint(_ reader: SettingsReader) -> RedisEndpoint {
        let fallback = RedisEndpoint(address: .network(host: "127.0.0.1", port: 6379))
        guard let url = reader.secret("REDIS_URL", "redis://[[user]:password@]host[:port][/db], rediss:// for TLS")
        else { return fallback }
        do {
            return try RedisEndpoint.parse(url.value)
        } catch {
            reader.require(false, ["REDIS_URL"], error.rawValue)
            return fallback
        }
    }
}
