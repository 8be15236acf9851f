import Resilience

/// Every bound of alerting.
public struct AlertPolicy: Hashable, Sendable {
    /// A repeat of a fingerprint is told at most once in this time (`ALERT_RATE_LIMIT_SECS`).
    public var rateLimit = Duration.seconds(300)
    /// New firings of one fingerprint, each after a recovery, that are told within the rate limit; then it flaps, and
    /// is held back as a repeat is.
    public var firingsPerWindow = 3
    /// More waiting alerts than this become one message.
    public var groupThreshold = 5
    /// The most alerts in one message: a name of 100 characters each still fits into Slack's 50 sections.
    public var groupLimit = 1_000
    /// After a group only a new critical kind is told before this has passed, so that a storm is few messages.
    public var groupInterval = Duration.seconds(30)
    /// Between the answer to a message and the next one: Slack takes about one in a second.
    public var messageInterval = Duration.seconds(1)
    /// Failures in a row until a sink is reported on the others.
    public var failuresToReport = 3
    /// How long a sink may ask for patience, and nothing else, until it is reported: without an orchestrator every
    /// service tells its own, and one of them may lose the turn several times to the others.
    public var throttledToReport = Duration.seconds(30)
    /// Between two attempts at a sink that refuses everything, in case a person has mended it.
    public var refusedRetry = Duration.seconds(300)
    /// The longest wait that a sink may ask for.
    public var retryAfterLimit = Duration.seconds(3_600)
    /// At the start of a life alerts wait for what earlier ones left at most for so long.
    public var readPatience = Duration.seconds(5)
    /// How long the file may hold up delivery.
    public var storeTimeout = Duration.seconds(1)
    /// Between two attempts to write down what the file did not take.
    public var storeRetry = Duration.seconds(5)
    /// Alerts that wait for one sink, or for the file; the oldest of the least severity go first.
    public var waitingLimit = 10_000
    /// Causes that are remembered; those heard of longest ago go first.
    public var causeLimit = 10_000
    /// A message to show that the way is open, when none was delivered for this long; zero sends none.
    public var canaryInterval = Duration.zero

    public init() {}
}

/// How far a sink has come in the alert file.
public struct SinkCursor: Hashable, Sendable, Codable {
    /// A firing that was delivered and whose recovery was not.
    public struct Open: Hashable, Sendable, Codable {
        public let kind: String
        public let severity: AlertSeverity
        public let source: String
        /// Wall time of the firing in microseconds since 1970.
        public let at: Int64

        init(_ request: AlertRequest) {
            (kind, severity, source, at) = (request.kind, request.severity, request.source, request.at)
        }

        init(_ alert: Alert) {
            (kind, severity, source, at) = (alert.kind, alert.severity, alert.source, alert.at)
        }
    }

    /// Everything up to this record was delivered, or is not for this sink.
    public var sequence: Int64
    /// By fingerprint.
    public var open: [String: Open]
    /// Wall time of the last delivery; nil before the first.
    public var deliveredAt: Int64?

    public init(sequence: Int64, open: [String: Open] = [:], deliveredAt: Int64? = nil) {
        self.sequence = sequence
        self.open = open
        self.deliveredAt = deliveredAt
    }

    private enum CodingKeys: String, CodingKey {
        case sequence, open
        case deliveredAt = "delivered_at"
    }
}

/// What one request to a sink says: one alert or a group; the same at every attempt.
public struct AlertMessage: Hashable, Sendable {
    /// Says the same thing at every attempt, so that a receiver can drop a repetition.
    public let id: String
    public let alerts: [Alert]
    /// Alerts that there was no room for; the file has them.
    public let omitted: Int
    /// Without blocks: they were refused.
    public internal(set) var isTextOnly = false

    public var isGroup: Bool { alerts.count > 1 || omitted > 0 }

    init(id: String, alerts: [Alert], omitted: Int = 0) {
        self.id = id
        self.alerts = alerts
        self.omitted = omitted
    }
}

/// What became of a message.
public enum SinkAnswer: Hashable, Sendable {
    case delivered
    /// Not now: `after` is what the sink asked for.
    case later(AlertError, after: Duration?)
    /// Never: the message, or the address, is refused.
    case refused(AlertError)
}
