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
