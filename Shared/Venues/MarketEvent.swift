import Domain

/// Why a book that was handed out must no longer be used.
public enum Invalidation: String, Hashable, Sendable, CaseIterable {
    case disconnected
    case sequenceGap = "sequence_gap"
    /// A level would have fallen below zero.
    case corruptBook = "corrupt_book"
    case malformedFrame = "malformed_frame"
    case snapshotMissing = "snapshot_missing"
    /// The venue does not know the stream any more.
    case unknownStream = "unknown_stream"
    /// The venue does not serve this market.
    case refused
}

/// What a market feed tells, in the order in which it happened.
public enum MarketEvent: Hashable, Sendable {
    /// The book as it stands; it replaces any earlier one.
    case book(MarketID, OrderBook, at: VenueInstant)
    /// These books must not be used until the next `.book`.
    case invalidated([MarketID], Invalidation)
    /// Every book that stands was right at this instant: nothing was missed and the other side is alive.
    case confirmed(at: VenueInstant)
    /// Everything that the venue had sent at this instant has been told: a PING of that moment was answered.
    case arrived(upTo: VenueInstant)
    case trade(KalshiTrade)
    case lifecycle(KalshiLifecycle)
    case connected
    case disconnected(FeedFailure.Code)
}

/// Why a connection of a feed ended or could not be made.
public struct FeedFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// A bounded set, safe as a metric label.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        case connectFailed = "connect_failed"
        case handshakeTimeout = "handshake_timeout"
        case handshakeRefused = "handshake_refused"
        case authentication
        case closedByVenue = "closed_by_venue"
        case connectionReset = "connection_reset"
        case pongTimeout = "pong_timeout"
        case writeTimeout = "write_timeout"
        case frameTooLarge = "frame_too_large"
        case protocolViolation = "protocol_violation"
        case consumerTooSlow = "consumer_too_slow"
        case commandTimeout = "command_timeout"
        case commandRefused = "command_refused"
        case resyncStorm = "resync_storm"
        case pollFailed = "poll_failed"
        case stopped
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String = "") {
        self.code = code
        self.message = String(message.prefix(256))
    }

    public var description: String { message.isEmpty ? code.rawValue : "\(code.rawValue): \(message)" }
}

/// How a feed is doing, for heartbeats and metrics.
public struct MarketFeedStatus: Hashable, Sendable {
    public var isConnected = false
    /// Successful connects after the first.
    public var reconnects = 0
    /// Failed attempts and connections lost before they were stable.
    public var failures = 0
    public var breakerState = "closed"
    public var markets = 0
    /// How many of them have a book now.
    public var books = 0
    public var frames = 0
    public var lastFailure: FeedFailure.Code?
    /// Counts by code: frame errors, venue errors (`venue_16`), gaps, resyncs, dropped events.
    public var errors: [String: Int] = [:]

    public init() {}
}

/// Market data of some venue: books by market, and every reason not to trust them.
public protocol MarketFeed: Sendable {
    /// Works until the task is cancelled.
    func run() async throws
    /// What to follow from now on; may be called at any time, before `run` too.
    func setMarkets(_ markets: Set<MarketID>)
    /// For one consumer; what it has not taken yet is coalesced, the newest book of each market stays.
    var events: MarketEvents { get }
    var status: MarketFeedStatus { get }
    /// Asks the venue at once whether all has arrived; the answer comes as `arrived`, with the present instant.
    ///
    /// - Returns: false when this feed cannot ask, or has no connection.
    func probe() -> Bool
}

extension MarketFeed {
    public func probe() -> Bool { false }
}
