import Domain
import Foundation
import Testing

@testable import VenueSimulator

struct VenueSocketTests {
    /// The book that the frames of a market add up to; throws when a sequence number is missing.
    static func book(_ market: MarketID, from frames: [JSONObject]) throws -> OrderBook {
        var book = OrderBook.empty
        var last: Int64 = 0
        for frame in frames {
            guard let sequence = frame.integer("seq") else { continue }
            try #require(sequence == last + 1)
            last = sequence
            let msg = frame.object("msg")
            guard msg.text("market_ticker") == market.rawValue else { continue }
            switch frame.text("type") {
            case "orderbook_snapshot":
                func levels(_ key: String) throws -> [BookLevel] {
                    try (msg.values[key] as? [[String]] ?? []).map {
                        try BookLevel(price: Price(dollars: $0[0]), quantity: Quantity(contracts: $0[1]))
                    }
                }
                book = try OrderBook(yesBids: levels("yes_dollars_fp"), noBids: levels("no_dollars_fp"))
            case "orderbook_delta":
                try book.apply(
                    FixedPoint.parse(msg.text("delta_fp"), scale: 2, field: "delta"),
                    to: msg.text("side") == "yes" ? .yes : .no, at: Price(dollars: msg.text("price_dollars")))
            default: break
            }
        }
        return book
    }

    @Test func `a client that follows the frames has the exchange's book`() async throws {
        try await RunningSimulator.with(["SIMULATOR_SPEED": "1000", "SIMULATOR_SETTLE_MS": "0"]) { venue in
            let socket = try await TestSocket.connect(port: venue.webSocket)
            socket.subscribe(Fixture.home.rawValue, Fixture.away.rawValue)
            try await eventually { socket.texts("orderbook_snapshot").count == 2 }
            _ = try await venue.order("bid", "0.8000", "70.00", id: "one")
            _ = try await venue.order("bid", "0.7000", "5.00", id: "two", force: "good_till_canceled")
            _ = try await venue.post("/control/start")
            try await venue.untilFinished()
            let (expected, published) = venue.simulator.state.withLockedValue {
                ($0.exchange.publishedBook(Fixture.home), $0.statistics.published["orderbook_delta"] ?? 0)
            }
            // What came before the subscription is in its snapshots.
            let before = 12
            try await eventually { socket.texts("orderbook_delta").count == published - before }
            #expect(try Self.book(Fixture.home, from: socket.objects) == expected)
            let own = socket.texts("orderbook_delta").filter { $0.object("msg").text("client_order_id") == "two" }
            #expect(own.map { $0.object("msg").text("delta_fp") } == ["5.00", "-5.00"])
            socket.close()
        }
    }

    @Test func `fills, trades, tickers and settlement are announced`() async throws {
        try await RunningSimulator.with(["SIMULATOR_SPEED": "1000", "SIMULATOR_SETTLE_MS": "0"]) { venue in
            let socket = try await TestSocket.connect(port: venue.webSocket)
            socket.send(
                #"{"id":1,"cmd":"subscribe","params":{"channels":["trade","fill","ticker","market_lifecycle_v2"]}}"#)
            try await eventually { socket.texts("subscribed").count == 4 }
            _ = try await venue.order("ask", "0.7900", "10.00", id: "one")
            _ = try await venue.post("/control/start")
            try await venue.untilFinished()
            try await eventually { socket.texts("market_lifecycle_v2").count == 4 }
            let trade = try #require(socket.texts("trade").first).object("msg")
            let fill = try #require(socket.texts("fill").first).object("msg")
            #expect(trade.text("trade_id") == fill.text("trade_id"))
            #expect(trade.text("taker_side") == "no")
            #expect(fill.text("book_side") == "ask")
            #expect(fill.text("post_position_fp") == "-10.00")
            #expect(!socket.texts("ticker").isEmpty)
            #expect(
                socket.texts("market_lifecycle_v2").map { $0.object("msg").text("event_type") } == [
                    "determined", "determined", "settled", "settled",
                ])
            socket.close()
        }
    }

    @Test func `the server pings with the venue's body`() async throws {
        try await RunningSimulator.with(["SIMULATOR_SPEED": "1000"]) { venue in
            let socket = try await TestSocket.connect(port: venue.webSocket)
            try await eventually { socket.pings.count >= 3 }
            #expect(Set(socket.pings) == ["heartbeat"])
            socket.close()
        }
    }

    @Test func `another path is not upgraded`() async throws {
        try await RunningSimulator.with { venue in
            let socket = try? await TestSocket.connect(port: venue.webSocket, path: "/other")
            #expect(socket == nil)
        }
    }
}
