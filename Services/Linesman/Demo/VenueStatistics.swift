/// What the simulator counts, as `GET /control/stats` tells it.
struct VenueStatistics: Decodable, Sendable {
    struct Orders: Decodable, Sendable {
        let accepted: Int
        let rejected: Int
        let rejectedByCode: [String: Int]

        enum CodingKeys: String, CodingKey {
            case accepted
            case rejected
            case rejectedByCode = "rejected_by_code"
        }
    }

    let finished: Bool
    /// Who sets the pace of the replay.
    let readers: [String]
    /// Microseconds since 1970.
    let venueTime: Int64
    /// What was published for the recording and the trades, by frame type, however many listened.
    let published: [String: Int]
    /// What left on sockets, by frame type.
    let framesSent: [String: Int]
    let orders: Orders
    let fills: Int
    /// How often each deliberate fault struck.
    let faults: [String: Int]

    enum CodingKeys: String, CodingKey {
        case finished
        case readers
        case venueTime = "venue_time"
        case published
        case framesSent = "frames_sent"
        case orders
        case fills
        case faults
    }

    /// Snapshots and deltas of order books that were published.
    var bookFrames: Int { (published["orderbook_delta"] ?? 0) + (published["orderbook_snapshot"] ?? 0) }
}

/// The top of every market's book, as the venue's own market list shows it.
struct VenueQuotes: Decodable, Sendable {
    struct Quote: Decodable, Sendable {
        let ticker: String
        let yesBid: String
        let yesAsk: String

        enum CodingKeys: String, CodingKey {
            case ticker
            case yesBid = "yes_bid_dollars"
            case yesAsk = "yes_ask_dollars"
        }
    }

    let markets: [Quote]

    /// For example `CLE 0.8300/0.8400  TOR 0.1600/0.1700`, by the last part of each ticker.
    var line: String {
        markets.map { "\($0.ticker.split(separator: "-").last ?? "") \($0.yesBid)/\($0.yesAsk)" }
            .joined(separator: "  ")
    }
}
