import Wire

/// How the bus of one process does, as its last heartbeat tells, and by which flags it trades.
///
/// What is counted begins with the process.
public struct BusReport: Codable, Hashable, Sendable {
    /// What the process can say and hear.
    public enum State: String, Codable, Hashable, Sendable, CaseIterable {
        /// Both connections are up, and what it publishes comes back to it.
        case live
        /// A connection is down or being replaced.
        case interrupted
        /// Both connections are up, and nothing comes back.
        case deaf
        /// Its heartbeat says nothing of it.
        case unknown
    }

    public let service: String
    public let instance: String
    public let state: State
    /// The worse of its two circuit breakers: `closed`, `half-open` or `open`.
    public let breaker: String
    /// Of both connections, without the first of each (CHECKLIST R8).
    public let reconnects: Int
    /// Handed to its consumers.
    public let gaps: Int
    /// Messages that came in and fell out of a full or interrupted queue.
    public let dropped: Int
    /// Hints it could not send.
    public let unsent: Int
    /// Messages it could not decode.
    public let deadLetters: Int
    /// Journaled messages that wait for the server now.
    public let waiting: Int
    /// Whether both flags of live trading are set there; nil where its heartbeat does not say.
    public let isLive: Bool?

    /// Reads the metrics that `Redis` and `Bus` put into every heartbeat.
    public init(_ heartbeat: Heartbeat) {
        let metrics = heartbeat.metrics
        /// The sum over all label sets, nil without any.
        func figure(_ name: String) -> Int? {
            let values = metrics.filter { $0.key == name || $0.key.hasPrefix(name + "{") }.values
            return values.isEmpty ? nil : Int(clamping: values.reduce(0, +))
        }
        service = heartbeat.service
        instance = heartbeat.instance
        state =
            switch (figure("redis_connected"), figure("bus_canary_healthy")) {
            case (nil, _), (_, nil): .unknown
            case (2, 1): .live
            case (2, _): .deaf
            default: .interrupted
            }
        let breakers = metrics.filter { $0.key.hasPrefix("redis_breaker_state") }.values
        breaker = breakers.max().map { $0 >= 2 ? "open" : $0 >= 1 ? "half-open" : "closed" } ?? "closed"
        reconnects = figure("redis_reconnects_total") ?? 0
        gaps = figure("bus_gaps_total") ?? 0
        dropped = figure("redis_messages_dropped_total") ?? 0
        unsent = figure("bus_hints_dropped_total") ?? 0
        deadLetters = figure("bus_dead_letters_total") ?? 0
        waiting = figure("bus_outbox_messages") ?? 0
        isLive = figure(ServiceHost.liveMetric).map { $0 == 1 }
    }
}

extension Int {
    /// A number from elsewhere: what is no whole number is cut off, what is none at all is zero.
    fileprivate init(clamping value: Double) {
        self = value.isNaN ? 0 : Int(exactly: value.rounded(.towardZero)) ?? (value < 0 ? .min : .max)
    }
}
