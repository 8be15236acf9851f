import Domain
import Foundation
import Runtime
import Testing

@testable import VenueSimulator

struct VenueHTTPTests {
    @Test func `markets are filtered and paged`() async throws {
        try await RunningSimulator.with { venue in
            let all = try await venue.get("/trade-api/v2/markets?series_ticker=KXNBAGAME&status=open")
            #expect(all.status == 200)
            #expect(all.json.list("markets").map { $0.text("ticker") } == [Fixture.home, Fixture.away].map(\.rawValue))
            #expect(all.json.text("cursor") == "")
            let first = all.json.list("markets")[0]
            #expect(first.text("yes_bid_dollars") == "0.7900")
            #expect(first.text("yes_ask_dollars") == "0.8000")
            #expect(first.text("no_bid_dollars") == "0.2000")
            #expect(first.text("yes_sub_title") == "B")
            #expect(first.text("status") == "active")
            let page = try await venue.get("/trade-api/v2/markets?limit=1").json
            #expect(page.list("markets").count == 1)
            let rest = try await venue.get("/trade-api/v2/markets?limit=1&cursor=\(page.text("cursor"))").json
            #expect(rest.list("markets").map { $0.text("ticker") } == [Fixture.away.rawValue])
            #expect(rest.text("cursor") == "")
            #expect(try await venue.get("/trade-api/v2/markets?status=settled").json.list("markets").isEmpty)
            let one = try await venue.get("/trade-api/v2/markets?tickers=\(Fixture.away)").json
            #expect(one.list("markets").count == 1)
            #expect(try await venue.get("/trade-api/v2/markets?event_ticker=NONE").json.list("markets").isEmpty)
            #expect(try await venue.get("/trade-api/v2/markets/NONE").status == 404)
            #expect(try await venue.get("/trade-api/v2/markets?limit=zero").status == 400)
            let event = try await venue.get("/trade-api/v2/events/KXNBAGAME-26APR20TORCLE").json
            #expect(event.object("event").text("title") == "A vs B")
            #expect(event.list("markets").count == 2)
            #expect(try await venue.get("/trade-api/v2/exchange/status").json.flag("trading_active"))
        }
    }

    @Test func `every answer carries the venue time`() async throws {
        try await RunningSimulator.with { venue in
            let start = try Fixture.recording().start.microseconds
            for path in ["/trade-api/v2/markets", "/control/clock", "/apis/site/v2/sports/basketball/nba/scoreboard"] {
                #expect(try await venue.get(path).venueTime == start)
            }
            #expect(try await venue.order("bid", "0.8000", "1.00", id: "a").venueTime == start)
        }
    }

    @Test func `an order of today's shape trades and moves the balance`() async throws {
        try await RunningSimulator.with { venue in
            let placed = try await venue.order("bid", "0.8000", "150.00", id: "one")
            #expect(placed.status == 201)
            #expect(placed.json.text("fill_count") == "100.00")
            #expect(placed.json.text("remaining_count") == "50.00")
            #expect(placed.json.text("average_fill_price") == "0.8000")
            let book = try await venue.get("/trade-api/v2/markets/\(Fixture.home)/orderbook").json
            #expect((book.object("orderbook_fp").values["no_dollars"] as? [[String]])?.last == ["0.1900", "130.00"])
            let fee = FeeSchedule.kalshi.fee(.contracts(100), at: .cents(80))
            let balance = try await venue.get("/trade-api/v2/portfolio/balance").json
            #expect(balance.text("balance_dollars") == (Money.dollars(920) - fee).description)
            let fills = try await venue.get("/trade-api/v2/portfolio/fills").json.list("fills")
            #expect(fills.count == 1)
            #expect(fills.first?.text("fee_cost") == fee.description)
            #expect(fills.first?.text("client_order_id") == "one")
            let positions = try await venue.get("/trade-api/v2/portfolio/positions").json
            #expect(positions.list("market_positions").first?.text("position_fp") == "100.00")
            let orders = try await venue.get("/trade-api/v2/portfolio/orders").json.list("orders")
            #expect(orders.first?.text("status") == "canceled")
            #expect(orders.first?.text("fill_count_fp") == "100.00")
        }
    }

    @Test func `a repeated order is refused and a wrong one says why`() async throws {
        try await RunningSimulator.with { venue in
            _ = try await venue.order("bid", "0.8000", "1.00", id: "one")
            let again = try await venue.order("bid", "0.8000", "1.00", id: "one")
            #expect(again.status == 409)
            #expect(again.json.object("error").text("code") == "order_already_exists")
            for (side, price, count, code) in [
                ("buy", "0.8000", "1.00", "invalid_order"), ("bid", "0.8050", "1.00", "invalid_price"),
                ("bid", "1.0000", "1.00", "invalid_price"), ("bid", "0.8000", "0.00", "invalid_order"),
                ("bid", "0.9900", "5000.00", "insufficient_balance"),
            ] {
                let answer = try await venue.order(side, price, count, id: "\(side)\(price)\(count)")
                #expect(answer.status == 400)
                #expect(answer.json.object("error").text("code") == code)
            }
            let broken = try await venue.post("/trade-api/v2/portfolio/events/orders", "{\"ticker\":1}")
            #expect(broken.status == 400)
            let stats = try await venue.get("/control/stats").json
            #expect(stats.object("orders").integer("accepted") == 1)
            #expect(stats.object("orders").integer("rejected") == 7)
        }
    }

    @Test func `a resting order is listed and cancelled once`() async throws {
        try await RunningSimulator.with { venue in
            let placed = try await venue.order("bid", "0.7000", "3.00", id: "r", force: "good_till_canceled").json
            #expect(placed.text("fill_count") == "0.00")
            let id = placed.text("order_id")
            let resting = try await venue.get("/trade-api/v2/portfolio/orders?status=resting").json.list("orders")
            #expect(resting.map { $0.text("order_id") } == [id])
            let cancelled = try await venue.delete("/trade-api/v2/portfolio/events/orders/\(id)")
            #expect(cancelled.status == 200)
            #expect(cancelled.json.text("reduced_by") == "3.00")
            #expect(try await venue.delete("/trade-api/v2/portfolio/events/orders/\(id)").status == 404)
        }
    }

    @Test func `the removed order endpoint says so`() async throws {
        try await RunningSimulator.with { venue in
            let answer = try await venue.post("/trade-api/v2/portfolio/orders", "{}")
            #expect(answer.status == 410)
            #expect(answer.json.object("error").text("code") == "deprecated_v1_order_endpoint")
        }
    }

    @Test func `the scoreboard shows the game as the recording has it`() async throws {
        try await RunningSimulator.with(["SIMULATOR_SPEED": "1000", "SIMULATOR_SETTLE_MS": "0"]) { venue in
            let path = "/apis/site/v2/sports/basketball/nba/scoreboard"
            let before = try await venue.get(path + "?dates=20260420").json.list("events")
            #expect(before.first?.text("id") == "401869369")
            #expect(before.first?.text("date") == "2026-04-20T23:00Z")
            #expect(before.first?.object("status").object("type").text("name") == "STATUS_SCHEDULED")
            #expect(try await venue.get(path + "?dates=20260419").json.list("events").isEmpty)
            #expect(try await venue.get("/apis/site/v2/sports/hockey/nhl/scoreboard").json.list("events").isEmpty)
            #expect(try await venue.post("/control/start").status == 200)
            #expect(try await venue.post("/control/start").status == 409)
            try await venue.untilFinished()
            let event = try #require(try await venue.get(path).json.list("events").first)
            #expect(event.object("status").object("type").text("state") == "post")
            let competitors = event.list("competitions")[0].list("competitors")
            #expect(competitors.map { $0.text("homeAway") } == ["home", "away"])
            #expect(competitors.map { $0.text("score") } == ["5", "3"])
        }
    }

    @Test func `a live game has its last play and the source's probability`() throws {
        let recording = try Fixture.recording()
        var board = Scoreboard(game: recording.game)
        for moment in recording.moments where moment.at <= recording.start.advanced(by: .seconds(31)) {
            for fact in moment.facts { board.apply(fact) }
        }
        let event = JSONObject(ScoreboardBody.body([board], isListed: true).text).list("events")[0]
        #expect(event.object("status").text("displayClock") == "45.5")
        #expect(event.object("status").integer("period") == 1)
        let play = event.list("competitions")[0].object("situation").object("lastPlay")
        #expect(play.text("id") == "401869369-2")
        #expect(play.object("probability").values["homeWinPercentage"] as? Double == 0.601)
    }

    @Test func `markets settle at the end and the winner is paid`() async throws {
        try await RunningSimulator.with(["SIMULATOR_SPEED": "1000", "SIMULATOR_SETTLE_MS": "0"]) { venue in
            _ = try await venue.order("bid", "0.8000", "10.00", id: "one")
            _ = try await venue.post("/control/start")
            try await venue.untilFinished()
            let market = try await venue.get("/trade-api/v2/markets/\(Fixture.home)").json.object("market")
            #expect(market.text("status") == "finalized")
            #expect(market.text("result") == "yes")
            #expect(market.text("settlement_value_dollars") == "1.0000")
            let fee = FeeSchedule.kalshi.fee(.contracts(10), at: .cents(80))
            let stats = try await venue.get("/control/stats").json
            #expect(stats.flag("finished"))
            #expect(stats.object("account").text("profit") == (Money.dollars(2) - fee).description)
            let late = try await venue.order("bid", "0.8000", "10.00", id: "two")
            #expect(late.json.object("error").text("code") == "MARKET_INACTIVE")
        }
    }

    @Test func `moves of a market and arrivals of orders are told by one clock`() async throws {
        try await RunningSimulator.with { venue in
            let before = WallClock.real.microseconds
            for _ in 0..<2 { _ = try await venue.order("bid", "0.8000", "1.00", id: "first") }
            let times = try await venue.get("/control/order-times").json
            // The quotes of the start; a refused order arrived too.
            let moves = times.list("moves")
            #expect(moves.map { $0.text("market") } == [Fixture.home, Fixture.away].map(\.rawValue))
            #expect(moves.allSatisfy { ($0.integer("at") ?? .max) <= before })
            let orders = times.list("orders")
            #expect(orders.map { $0.text("client_order_id") } == ["first", "first"])
            #expect(orders.allSatisfy { ($0.integer("at") ?? 0) >= before })
            #expect(times.integer("dropped") == 0)
        }
    }
    @Test func `orders that were taken are told by their own names, from any one on`() async throws {
        try await RunningSimulator.with { venue in
            for name in ["one", "one", "two"] { _ = try await venue.order("bid", "0.8000", "1.00", id: name) }
            for (after, names) in [("", ["one", "two"]), ("?after=1", ["two"]), ("?after=9", [])] {
                let answer = try await venue.get("/control/orders\(after)").json
                #expect(answer.integer("total") == 2, "the second of one name was refused")
                #expect(answer.values["client_order_ids"] as? [String] == names)
            }
            #expect(try await venue.get("/control/orders?after=-1").status == 400)
        }
    }
}
