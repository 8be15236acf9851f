import Foundation
import Resilience
import Runtime

/// Where Kalshi is and how patiently it is spoken to; read once at start.
public struct KalshiSettings: Sendable {
    public enum Environment: String, CaseIterable, Sendable {
        case prod
        case demo
    }

    /// With `/trade-api/v2` and without a slash at the end.
    public let baseURL: String
    public let webSocketURL: String
    public let keyID: Secret?
    /// The PEM text, from the setting or from the file that it names.
    public let privateKey: Secret?
    public let pollInterval: Duration
    public let pingInterval: Duration
    public let pongTimeout: Duration
    public let connectTimeout: Duration
    public let requestTimeout: Duration
    public let handshakeTimeout: Duration
    public let frameBytes: Int
    public let messageBytes: Int
    public let reconnectBase: Duration
    public let reconnectCap: Duration
    public let reconnectJitter: Double
    public let maxFailures: Int
    public let breakerCooldown: Duration
    public let backoffReset: Duration
    public let clockBound: Duration

    /// Whether this is the venue itself, whose WebSocket answers only to a key (WIRE 1.2).
    public var isRealHost: Bool { Self.isReal(address: webSocketURL) }

    /// Whether an http(s) or ws(s) address is one of the venue's own hosts; one that cannot be read counts as real.
    public static func isReal(address: String) -> Bool {
        guard let scheme = address.range(of: "://") else { return true }
        let authority = address[scheme.upperBound...].prefix { !"/?#".contains($0) }
        let host = (authority.split(separator: "@").last ?? "").prefix { $0 != ":" }.lowercased()
        if host.isEmpty { return true }
        return ["kalshi.com", "kalshi.co", "polymarket.com"].contains { host == $0 || host.hasSuffix("." + $0) }
    }

    public init(_ reader: SettingsReader) {
        let environment = reader.choice(
            "KALSHI_ENV", default: Environment.prod, "which Kalshi: prod or demo; their keys are separate")
        let base = reader.optionalText("KALSHI_BASE_URL", "REST address with /trade-api/v2; empty: that of KALSHI_ENV")
        let socket = reader.optionalText("KALSHI_WS_URL", "WebSocket address; empty: derived from the REST address")
        let demo = environment == .demo
        let standard = "https://external-api.\(demo ? "demo.kalshi.co" : "kalshi.com")/trade-api/v2"
        baseURL = Self.trimmed(base ?? standard)
        webSocketURL =
            socket
            ?? (base.map(Self.derived)
                ?? "wss://external-api-ws.\(demo ? "demo.kalshi.co" : "kalshi.com")/trade-api/ws/v2")
        reader.require(
            WebSocketURL(webSocketURL) != nil, ["KALSHI_WS_URL"], "must be a ws:// or wss:// address")
        reader.require(
            baseURL.hasPrefix("http://") || baseURL.hasPrefix("https://"), ["KALSHI_BASE_URL"],
            "must be an http:// or https:// address")

        keyID = reader.secret("KALSHI_API_KEY", "key id; without one only public data is read")
        let inline = reader.secret("KALSHI_PRIVATE_KEY", "RSA private key, PEM text")
        let path = reader.optionalText("KALSHI_PRIVATE_KEY_PATH", "file with the RSA private key")
        var file: Secret?
        if let path {
            file = (try? String(contentsOfFile: path, encoding: .utf8)).map(Secret.init)  // reported right below
            reader.require(file != nil, ["KALSHI_PRIVATE_KEY_PATH"], "cannot be read")
        }
        privateKey = inline ?? file
        reader.require(
            (keyID == nil) == (privateKey == nil),
            ["KALSHI_API_KEY", "KALSHI_PRIVATE_KEY", "KALSHI_PRIVATE_KEY_PATH"],
            "a key id needs a private key and the other way round")

        pollInterval = reader.milliseconds(
            "KALSHI_POLL_INTERVAL_MS", default: .milliseconds(2_000), in: .milliseconds(10)...(.seconds(600)),
            "how often each order book is read when there is no WebSocket")
        pingInterval = reader.milliseconds(
            "KALSHI_PING_INTERVAL_MS", default: .milliseconds(5_000), in: .milliseconds(10)...(.seconds(60)),
            "how often a PING is sent")
        pongTimeout = reader.milliseconds(
            "KALSHI_PONG_TIMEOUT_MS", default: .milliseconds(5_000), in: .milliseconds(10)...(.seconds(60)),
            "how long its PONG may take")
        connectTimeout = reader.milliseconds(
            "KALSHI_CONNECT_TIMEOUT_MS", default: .milliseconds(2_000), in: .milliseconds(10)...(.seconds(60)),
            "to connect")
        requestTimeout = reader.milliseconds(
            "KALSHI_REQUEST_TIMEOUT_MS", default: .milliseconds(5_000), in: .milliseconds(10)...(.seconds(60)),
            "for a whole answer")
        handshakeTimeout = reader.milliseconds(
            "KALSHI_HANDSHAKE_TIMEOUT_MS", default: .milliseconds(10_000), in: .milliseconds(10)...(.seconds(60)),
            "to open the WebSocket, the upgrade included")
        frameBytes = reader.integer(
            "KALSHI_MAX_FRAME_BYTES", default: 1 << 20, in: 1_024...(64 << 20), "the largest WebSocket frame")
        messageBytes = reader.integer(
            "KALSHI_MAX_MESSAGE_BYTES", default: 4 << 20, in: 1_024...(64 << 20), "the largest message in parts")

        reconnectBase = reader.milliseconds(
            "VENUE_RECONNECT_BASE_DELAY_MS", default: .milliseconds(1_000), in: .milliseconds(1)...(.seconds(600)),
            "first delay")
        reconnectCap = reader.milliseconds(
            "VENUE_RECONNECT_MAX_DELAY_MS", default: .milliseconds(60_000), in: .milliseconds(1)...(.seconds(3600)),
            "longest delay")
        reconnectJitter = reader.number("VENUE_RECONNECT_JITTER_PCT", default: 0.1, in: 0...1, "spread as a share")
        maxFailures = reader.integer(
            "VENUE_RECONNECT_MAX_FAILURES", default: 10, in: 1...1_000, "failures in a row that open the breaker")
        breakerCooldown = reader.seconds(
            "VENUE_BREAKER_COOLDOWN_SECS", default: .seconds(300), in: .milliseconds(10)...(.seconds(3_600)),
            "how long it stays open")
        backoffReset = reader.seconds(
            "VENUE_BACKOFF_RESET_SECS", default: .seconds(60), in: .zero...(.seconds(3_600)),
            "how long a connection must hold before delays start over")
        clockBound = reader.milliseconds(
            "KALSHI_MAX_CLOCK_OFFSET_MS", default: .milliseconds(2_000), in: .milliseconds(100)...(.seconds(60)),
            "no order is sent while this machine's clock is certainly further from the venue's")
        reader.require(
            reconnectCap >= reconnectBase, ["VENUE_RECONNECT_BASE_DELAY_MS", "VENUE_RECONNECT_MAX_DELAY_MS"],
            "the longest delay must not be below the first")
    }

    public var webSocketLimits: WebSocketLimits {
        var limits = WebSocketLimits()
        limits.connectTimeout = connectTimeout
        limits.handshakeTimeout = handshakeTimeout
        limits.pingInterval = pingInterval
        limits.pongTimeout = pongTimeout
        limits.frameBytes = frameBytes
        limits.messageBytes = messageBytes
        return limits
    }

    public var httpLimits: VenueHTTPLimits {
        VenueHTTPLimits(connectTimeout: connectTimeout, requestTimeout: requestTimeout)
    }

    public var reconnection: Reconnection {
        Reconnection(
            backoff: Backoff(
                base: reconnectBase, cap: max(reconnectBase, reconnectCap), jitter: reconnectJitter,
                resetAfter: backoffReset),
            breaker: CircuitBreaker(failureThreshold: maxFailures, cooldown: breakerCooldown))
    }

    /// Nil unless it is the venue itself that is asked: a simulator's time may be a recording's.
    ///
    /// Where orders are real whatever is asked is the venue, under whatever name.
    public func watch(
        isLive: Bool = false, wall: WallClock, clock: MachineClock, changed: @escaping @Sendable (Int64) -> Void
    ) -> VenueClockWatch? {
        guard isLive || Self.isReal(address: baseURL) else { return nil }
        return VenueClockWatch(wall: wall, clock: clock, bound: clockBound, changed: changed)
    }

    /// Nil without a key.
    public func signer(wall: WallClock) throws(VenueError) -> KalshiSigner? {
        guard let keyID, let privateKey else { return nil }
        return try KalshiSigner(keyID: keyID, privateKeyPEM: privateKey, wall: wall)
    }

    private static func trimmed(_ url: String) -> String {
        var url = Substring(url)
        while url.hasSuffix("/") { url = url.dropLast() }
        return String(url)
    }

    /// `http://host:port/trade-api/v2` speaks WebSocket at `ws://host:port/trade-api/ws/v2`.
    private static func derived(_ base: String) -> String {
        let base = trimmed(base)
        let scheme = base.hasPrefix("https://") ? "wss://" : "ws://"
        let rest = base.drop { $0 != "/" }.dropFirst(2)
        let host = rest.prefix { $0 != "/" }
        return "\(scheme)\(host)/trade-api/ws/v2"
    }
}
