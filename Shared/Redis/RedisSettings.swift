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
    public let pingInterval: Duration
    public let pongTimeout: Duration
    public let commandTimeout: Duration
    public let maximumInFlight: Int
    public let maximumInFlightBytes: Int
    public let maximumReplyBytes: Int
    /// Messages that one subscription may hold before it overflows.
    public let queueLimit: Int
    public let queueByteLimit: Int

    public init(_ reader: SettingsReader) {
        let day = Duration.seconds(86_400)
        endpoint = Self.endpoint(reader)
        certificateAuthority = reader.optionalText("REDIS_CA_FILE", "PEM file to trust for rediss://")
        let base = reader.milliseconds(
            "REDIS_RECONNECT_BASE_DELAY_MS", default: .seconds(1), in: .milliseconds(1)...day,
            "first delay before a reconnect")
        let cap = reader.milliseconds(
            "REDIS_RECONNECT_MAX_DELAY_MS", default: .seconds(60), in: .milliseconds(1)...day,
            "longest delay before a reconnect")
        reader.require(
            base <= cap, ["REDIS_RECONNECT_BASE_DELAY_MS", "REDIS_RECONNECT_MAX_DELAY_MS"],
            "the base delay must not exceed the maximum delay")
        backoff = Backoff(
            base: min(base, cap), cap: cap,
            jitter: reader.number(
                "REDIS_RECONNECT_JITTER_PCT", default: 0.1, in: 0...1, "spread of the delays, as a share"),
            jitterOnlyShortens: reader.flag(
                "REDIS_RECONNECT_JITTER_ONLY_SHORTENS", default: false, "never wait longer than the delay itself"),
            resetAfter: reader.seconds(
                "REDIS_RECONNECT_RESET_SECS", default: .seconds(60), in: .zero...day,
                "how long a connection must hold before the delays start again from the base"))
        breaker = CircuitBreaker(
            failureThreshold: reader.integer(
                "REDIS_RECONNECT_MAX_FAILURES", default: 10, in: 1...100_000,
                "consecutive failures that open the circuit breaker"),
            cooldown: reader.milliseconds(
                "REDIS_BREAKER_COOLDOWN_MS", default: .seconds(60), in: .milliseconds(1)...day,
                "wait before a probe while the circuit breaker is open"))
        let wait = Duration.milliseconds(10)...Duration.seconds(600)
        connectTimeout = reader.milliseconds(
            "REDIS_CONNECT_TIMEOUT_MS", default: .seconds(1), in: wait, "connection, TLS and login together")
        pingInterval = reader.milliseconds(
            "REDIS_PING_INTERVAL_MS", default: .seconds(1), in: wait, "between two PINGs on each connection")
        pongTimeout = reader.milliseconds(
            "REDIS_PONG_TIMEOUT_MS", default: .milliseconds(1500), in: wait,
            "silence after a PING that counts as a dead connection")
        commandTimeout = reader.milliseconds(
            "REDIS_COMMAND_TIMEOUT_MS", default: .seconds(2), in: wait, "default time-out of a command")
        maximumInFlight = reader.integer(
            "REDIS_MAX_IN_FLIGHT", default: 65_536, in: 1...10_000_000, "commands waiting for a reply")
        maximumInFlightBytes = reader.integer(
            "REDIS_MAX_IN_FLIGHT_BYTES", default: 64 << 20, in: 1024...(4 << 30), "bytes of those commands")
        maximumReplyBytes = reader.integer(
            "REDIS_MAX_REPLY_BYTES", default: 64 << 20, in: 1024...(4 << 30), "largest reply")
        queueLimit = reader.integer(
            "REDIS_QUEUE_MAX_MESSAGES", default: 65_536, in: 1...10_000_000, "messages one subscription may hold")
        queueByteLimit = reader.integer(
            "REDIS_QUEUE_MAX_BYTES", default: 32 << 20, in: 1024...(4 << 30), "bytes one subscription may hold")
    }

    private static func endpoint(_ reader: SettingsReader) -> RedisEndpoint {
        let fallback = RedisEndpoint(address: .network(host: "127.0.0.1", port: 6379))
        guard let url = reader.secret("REDIS_URL", "redis://[user[:password]@]host[:port][/db], rediss:// for TLS")
        else { return fallback }
        let endpoint = RedisEndpoint(url: url.value)
        reader.require(endpoint != nil, ["REDIS_URL"], "not a redis://, rediss:// or unix:// address")
        return endpoint ?? fallback
    }
}
