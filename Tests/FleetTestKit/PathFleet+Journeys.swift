import Domain
import Postgres
import TestKit

/// When an order passed each point of its way, microseconds since 1970 by the one clock of the machine.
public struct Journey: Hashable, Sendable {
    /// The venue wrote the price that led to it.
    public var tick: Int64
    /// The shard made the signal.
    public var decided: Int64
    /// The signal-processor began its transaction.
    public var taken: Int64
    /// That transaction was committed.
    public var approved: Int64
    /// The execution-service began the transaction that stored the order, or that commit came later: it waits for it.
    public var claimed: Int64
    /// It began the one that marks it as sent; the same one where one does both.
    public var marked: Int64
    /// The head of the order's request was read by the venue.
    public var arrived: Int64

    /// Milliseconds from the tick to the order.
    public var milliseconds: Double { Double(arrived - tick) / 1_000 }

    /// The parts that make up the whole, in order, in milliseconds.
    public var parts: [(name: String, milliseconds: Double)] {
        let points = [
            ("shard", tick, decided), ("hop_1", decided, taken), ("signal_transaction", taken, approved),
            ("hop_2", approved, claimed), ("claim", claimed, marked), ("mark_and_send", marked, arrived),
        ]
        return points.map { ($0.0, Double($0.2 - $0.1) / 1_000) }
    }
}

extension PathFleet {
    /// What the venue has done so far.
    public struct VenueCounts: Decodable, Sendable {
        private let facts: Int
        private let framesSent: [String: Int]

        private enum CodingKeys: String, CodingKey {
            case facts
            case framesSent = "frames_sent"
        }

        /// Price changes that became true.
        public var changes: Int { facts }
        /// Frames with a change of a book that were written.
        public var deltas: Int { framesSent["orderbook_delta"] ?? 0 }
    }

    private struct Times: Decodable {
        struct Move: Decodable {
            let market: String
            let at: Int64
        }

        struct Order: Decodable {
            let clientOrderID: String
            let at: Int64

            private enum CodingKeys: String, CodingKey {
                case clientOrderID = "client_order_id"
                case at
            }
        }

        let moves: [Move]
        let orders: [Order]
        let dropped: Int
    }

    public func counts() async throws -> VenueCounts { try await venue.control("stats") }

    /// Every order that reached the venue, with its way there.
    ///
    /// - Throws: `NotInTime` when the venue saw an order twice, or one that the database does not know.
    public func journeys() async throws -> [Journey] {
        let times: Times = try await venue.control("order-times")
        guard times.dropped == 0 else { throw NotInTime(description: "\(times.dropped) times were not kept") }
        let moves = Dictionary(grouping: times.moves, by: \.market)
        let rows = try await database.query(
            """
            SELECT o.order_id, o.market_id, s.venue_created_at AS decided, s.received_at AS taken,
                pg_xact_commit_timestamp(s.xmin) AS approved, o.stored_at AS claimed, o.sent_at AS marked
            FROM orders o JOIN intents i USING (intent_id) JOIN signals s USING (signal_id)
            WHERE o.sent_at IS NOT NULL
            """)
        var stored: [String: Row] = [:]
        for row in rows { stored[try row.text("order_id")] = row }
        return try times.orders.map { order in
            guard let row = stored.removeValue(forKey: order.clientOrderID) else {
                throw NotInTime(description: "the venue saw \(order.clientOrderID) twice, or nobody stored it")
            }
            let decided = try row.int64("decided")
            // Later moves cannot have led to it.
            let tick = moves[try row.text("market_id")]?.last { $0.at <= decided }
            guard let tick else { throw NotInTime(description: "nothing moved before \(order.clientOrderID)") }
            let approved = try row.timestampMicros("approved")
            return Journey(
                tick: tick.at, decided: decided, taken: try row.timestampMicros("taken"), approved: approved,
                // Who began before the commit waited for it.
                claimed: max(approved, try row.timestampMicros("claimed")),
                marked: max(approved, try row.timestampMicros("marked")), arrived: order.at)
        }
    }
}
