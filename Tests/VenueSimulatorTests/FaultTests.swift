import Domain
import Foundation
import Testing

@testable import VenueSimulator

/// Each fault, as a client meets it.
struct FaultTests {
    static func arm(_ venue: RunningSimulator, _ body: String) async throws {
        let answer = try await venue.post("/control/faults", body)
        try #require(answer.status == 201 || answer.status == 200)
    }

    static func struck(_ venue: RunningSimulator) async throws -> JSONObject {
        try await venue.get("/control/stats").json.object("faults")
    }

    /// A socket that follows one market, with the fault armed after its snapshot and one order that makes a delta.
    static func frames(_ fault: String, orders: Int = 3, isDelayed: Bool = false) async throws -> [JSONObject] {
        try await RunningSimulator.with { venue in
            let socket = try await TestSocket.connect(port: venue.webSocket)
            socket.subscribe(Fixture.home.rawValue)
            try await eventually { socket.texts("orderbook_snapshot").count == 1 }
            try await arm(venue, fault)
            for number in 1...orders { _ = try await venue.order("bid", "0.8000", "1.00", id: "\(number)") }
            _ = try await venue.delete("/control/faults")
            _ = try await venue.order("bid", "0.8000", "1.00", id: "last")
            // Its answer comes behind every frame that is not delayed.
            socket.send(#"{"id":99,"cmd":"list_subscriptions"}"#)
            try await eventually { socket.objects.contains { $0.integer("id") == 99 } }
            if isDelayed { try await eventually { socket.objects.last?.integer("id") != 99 } }
            socket.close()
            return socket.texts.dropFirst(2).map { JSONObject($0) }.filter { $0.integer("id") == nil }
        }
    }

    @Test func `a dropped frame leaves a hole in the sequence`() async throws {
        let frames = try await Self.frames(#"{"kind":"drop","target":"orderbook_delta"}"#)
        #expect(frames.map { $0.integer("seq") } == [3, 4, 5])
    }

    @Test func `a duplicated frame comes twice`() async throws {
        let frames = try await Self.frames(#"{"kind":"duplicate"}"#, orders: 1)
        #expect(frames.prefix(2).map { $0.integer("seq") } == [2, 2])
    }

    @Test func `a reordered frame comes after the next one`() async throws {
        let frames = try await Self.frames(#"{"kind":"reorder","target":"orderbook_delta"}"#)
        #expect(frames.prefix(3).map { $0.integer("seq") } == [3, 2, 4])
    }

    @Test func `a sequence gap leaves out a number and no frame`() async throws {
        let frames = try await Self.frames(#"{"kind":"sequenceGap","target":"orderbook_delta"}"#)
        #expect(frames.map { $0.integer("seq") } == [3, 4, 5, 6])
    }

    @Test func `a garbage frame comes ahead of a good one`() async throws {
        let frames = try await Self.frames(#"{"kind":"garbageFrame"}"#, orders: 1)
        #expect(frames.first?.keys.isEmpty == true)
        #expect(frames.dropFirst().first?.integer("seq") == 2)
    }

    @Test func `a muted venue says nothing and stays connected`() async throws {
        let frames = try await Self.frames(#"{"kind":"mute"}"#)
        #expect(frames.map { $0.integer("seq") } == [5])
    }

    @Test func `a delayed frame comes late`() async throws {
        let frames = try await Self.frames(#"{"kind":"delay","delay_ms":4000}"#, orders: 2, isDelayed: true)
        #expect(frames.map { $0.integer("seq") } == [3, 4, 2])
    }

    @Test func `a reset closes every socket`() async throws {
        try await RunningSimulator.with { venue in
            let socket = try await TestSocket.connect(port: venue.webSocket)
            try await eventually { venue.simulator.state.withLockedValue { $0.connectionCount } == 1 }
            #expect(try await venue.post("/control/faults", #"{"kind":"reset"}"#).json.integer("closed") == 1)
            try await eventually { socket.isClosed }
        }
    }

    @Test func `a request too many is refused, with a time when one was asked for, and nothing is done`() async throws {
        try await RunningSimulator.with { venue in
            try await Self.arm(venue, #"{"kind":"rateLimit","target":"POST","delay_ms":1500}"#)
            #expect(try await venue.order("bid", "0.8000", "1.00", id: "one").status == 429)
            #expect(try await venue.get("/trade-api/v2/portfolio/orders").json.list("orders").isEmpty)
            #expect(try await Self.struck(venue).integer("rateLimit") == 1)
        }
    }

    @Test func `the account can be made to differ from what its client knows`() async throws {
        try await RunningSimulator.with { venue in
            func plant(_ body: String) async throws -> Int { try await venue.post("/control/account", body).status }
            let market = Fixture.home.rawValue
            #expect(try await plant(#"{"market":"\#(market)","contracts":"-1.50","cash":"-2.25"}"#) == 200)
            let positions = try await venue.get("/trade-api/v2/portfolio/positions").json.list("market_positions")
            #expect(positions.map { $0.text("position_fp") } == ["-1.50"])
            let balance = try await venue.get("/trade-api/v2/portfolio/balance").json
            #expect(balance.text("balance_dollars") == "997.750000")
            for nonsense in [#"{"contracts":"1"}"#, #"{"market":"M"}"#, #"{"cash":"x"}"#, #"{"cash":"-99999"}"#, "["] {
                #expect(try await plant(nonsense) == 400, "\(nonsense)")
            }
        }
    }

    @Test func `a lost acknowledgement has still traded`() async throws {
        try await RunningSimulator.with { venue in
            try await Self.arm(venue, #"{"kind":"lostAcknowledgement"}"#)
            await #expect(throws: (any Error).self) { _ = try await venue.order("bid", "0.8000", "1.00", id: "one") }
            let orders = try await venue.get("/trade-api/v2/portfolio/orders?client_order_id=one").json.list("orders")
            #expect(orders.first?.text("fill_count_fp") == "1.00")
            let again = try await venue.order("bid", "0.8000", "1.00", id: "one")
            #expect(again.status == 409)
            #expect(try await Self.struck(venue).integer("lostAcknowledgement") == 1)
        }
    }

    @Test func `refused and wrongly answered orders have not traded`() async throws {
        try await RunningSimulator.with { venue in
            try await Self.arm(venue, #"{"kind":"refuse"}"#)
            #expect(try await venue.order("bid", "0.8000", "1.00", id: "one").status == 503)
            try await Self.arm(venue, #"{"kind":"wrongStatus","target":"portfolio/events/orders"}"#)
            let wrong = try await venue.order("bid", "0.8000", "1.00", id: "one")
            #expect(wrong.status == 200)
            #expect(wrong.json.object("error").text("code") == "internal_error")
            #expect(try await venue.get("/trade-api/v2/portfolio/fills").json.list("fills").isEmpty)
            #expect(try await venue.order("bid", "0.8000", "1.00", id: "one").status == 201)
        }
    }

    @Test func `a request can be cut off unanswered`() async throws {
        try await RunningSimulator.with { venue in
            try await Self.arm(venue, #"{"kind":"reset","target":"POST /trade-api"}"#)
            await #expect(throws: (any Error).self) { _ = try await venue.order("bid", "0.8000", "1.00", id: "one") }
            #expect(try await venue.get("/trade-api/v2/portfolio/orders").json.list("orders").isEmpty)
        }
    }

    @Test func `the score feed goes down and comes back`() async throws {
        try await RunningSimulator.with { venue in
            let path = "/apis/site/v2/sports/basketball/nba/scoreboard"
            try await Self.arm(venue, #"{"kind":"scoreFeedDown"}"#)
            #expect(try await venue.get(path).status == 503)
            #expect(try await venue.get(path).status == 503)
            #expect(try await venue.get("/trade-api/v2/markets").status == 200)
            _ = try await venue.delete("/control/faults")
            #expect(try await venue.get(path).status == 200)
        }
    }

    @Test func `a slow answer comes all the same`() async throws {
        try await RunningSimulator.with { venue in
            try await Self.arm(venue, #"{"kind":"slowHTTP","delay_ms":50}"#)
            #expect(try await venue.get("/trade-api/v2/markets").status == 200)
            #expect(try await Self.struck(venue).integer("slowHTTP") == 1)
        }
    }

    @Test func `faults are listed, deleted and checked`() async throws {
        try await RunningSimulator.with { venue in
            try await Self.arm(venue, #"{"kind":"drop","count":5,"target":"ticker"}"#)
            let armed = try await venue.get("/control/faults").json.list("armed")
            #expect(armed.map { $0.text("kind") } == ["drop"])
            #expect(armed.first?.integer("left") == 5)
            try await Self.arm(venue, #"{"kind":"mute","for_venue_seconds":10}"#)
            let lasting = try await venue.get("/control/faults").json.list("armed").last
            #expect(lasting?.integer("expires") == (try Fixture.recording()).start.microseconds + 10_000_000)
            #expect(try await venue.delete("/control/faults/1").status == 200)
            #expect(try await venue.delete("/control/faults/1").status == 404)
            #expect(try await venue.post("/control/faults", #"{"kind":"explode"}"#).status == 400)
            #expect(try await venue.post("/control/faults", #"{"kind":"drop","probability":2}"#).status == 400)
        }
    }
}
