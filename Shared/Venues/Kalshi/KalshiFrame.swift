import Domain

/// A frame of the Kalshi WebSocket, decoded (WIRE 1.5); fields that we do not use are not kept.
public enum KalshiFrame: Hashable, Sendable {
    /// The answer to a subscription; `sid` names the stream from now on.
    case subscribed(id: Int64?, channel: String, sid: Int64)
    /// The answer to an update. It consumes a sequence number of its stream.
    case acknowledged(id: Int64?, sid: Int64, sequence: Int64?, markets: [MarketID])
    case unsubscribed(id: Int64?, sid: Int64, sequence: Int64?)
    case snapshot(sid: Int64, sequence: Int64, MarketID, OrderBook)
    case delta(sid: Int64, sequence: Int64, KalshiDelta)
    /// Best prices only; not part of any sequence.
    case ticker(sid: Int64, KalshiTicker)
    case trade(sid: Int64, sequence: Int64?, KalshiTrade)
    case lifecycle(sid: Int64?, KalshiLifecycle)
    case fill(sid: Int64?, KalshiFillNotice)
    case error(id: Int64?, code: Int64, message: String)
    /// A type that we do not know: counted, and its sequence number still counts.
    case other(type: String, sid: Int64?, sequence: Int64?)
}

/// A signed change of the bids for one outcome.
public struct KalshiDelta: Hashable, Sendable {
    public let market: MarketID
    public let outcome: Outcome
    /// Of that outcome, not of YES.
    public let price: Price
    public let hundredths: Int64
    public let at: VenueInstant?

    public init(market: MarketID, outcome: Outcome, price: Price, hundredths: Int64, at: VenueInstant?) {
        self.market = market
        self.outcome = outcome
        self.price = price
        self.hundredths = hundredths
        self.at = at
    }
}

/// The best prices of a market; zero bid or one-dollar ask is an empty side.
public struct KalshiTicker: Hashable, Sendable {
    public let market: MarketID
    public let yesBid: Price?
    public let yesAsk: Price?
    public let last: Price?
    public let at: VenueInstant?
}

/// A trade between any two parties.
public struct KalshiTrade: Hashable, Sendable {
    public let market: MarketID
    public let id: String
    public let yesPrice: Price
    public let quantity: Quantity
    /// What the taker bought; nil when the venue did not say.
    public let taker: Outcome?
    public let at: VenueInstant?
}

/// A change in the life of a market.
public struct KalshiLifecycle: Hashable, Sendable {
    public enum Event: String, Hashable, Sendable, CaseIterable {
        case created
        case activated
        case deactivated
        case closeDateUpdated = "close_date_updated"
        case determined
        case settled
        case metadataUpdated = "metadata_updated"
        /// One that we do not know; counted, and otherwise left alone.
        case other
    }

    public let market: MarketID
    public let event: Event
    /// Which side was paid, once determined; nil also for a scalar result.
    public let result: Outcome?
    public let at: VenueInstant?
}

/// One of our own fills, as the private channel tells it.
public struct KalshiFillNotice: Hashable, Sendable {
    public let market: MarketID
    public let trade: String
    public let order: String
    public let yesPrice: Price
    public let quantity: Quantity
    public let fee: Money?
    public let at: VenueInstant?
}

/// Why a frame could not be used: counted by code, and never the end of the connection.
public struct KalshiFrameError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A bounded set, safe as a metric label.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        case malformedJSON = "malformed_json"
        case tooDeep = "too_deep"
        case missingField = "missing_field"
        case invalidField = "invalid_field"
    }

    public let code: Code
    /// The frame's own type, as far as it was read.
    public let type: String
    /// The field at fault, or what is wrong with the text.
    public let field: String

    public init(_ code: Code, type: String, field: String) {
        self.code = code
        self.type = String(type.prefix(64))
        self.field = String(field.prefix(160))
    }

    public var description: String { "\(type) frame: \(code.rawValue) \(field)" }
}
