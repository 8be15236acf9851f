import Domain
import Foundation
import Testing

@testable import VenueSimulator

struct VenueSessionTests {
    static func command(_ text: String, _ session: inout VenueSession, _ exchange: SimulatedExchange) -> [String] {
        session.handle(SocketCommand.decode(text), in: exchange).map(\.text)
    }

    static func subscribe(
        _ session: inout VenueSession, _ exchange: SimulatedExchange, _ markets: MarketID...
    ) -> [String] {
        let tickers = markets.map { "\"\($0)\"" }.joined(separator: ",")
        return command(
            #"{"id":1,"cmd":"subscribe","params":{"channels":["orderbook_delta"],"market_tickers":[\#(tickers)]}}"#,
            &session, exchange)
    }

    @Test func `a subscription answers with a snapshot of sequence one`() throws {
        let exchange = try Fixture.exchange()
        var session = VenueSession()
        let frames = Self.subscribe(&session, exchange, Fixture.home)
        #expect(frames.count == 2)
        #expect(frames[0] == #"{"type":"subscribed","id":1,"msg":{"channel":"orderbook_delta","sid":1}}"#)
        #expect(
            frames[1]
                == #"{"type":"orderbook_snapshot","sid":1,"seq":1,"#
                + #""msg":{"market_ticker":"KXNBAGAME-26APR20TORCLE-CLE","#
                + #""market_id":"4d41524b-0000-4000-8000-000000000001","#
                + #""yes_dollars_fp":[["0.7700","120.00"],["0.7800","90.00"],["0.7900","60.00"]],"#
                + #""no_dollars_fp":[["0.1800","160.00"],["0.1900","130.00"],["0.2000","100.00"]]}}"#)
    }

    @Test func `sequence numbers are contiguous per sid, acknowledgements included`() throws {
        var exchange = try Fixture.exchange()
        var session = VenueSession()
        var frames = Self.subscribe(&session, exchange, Fixture.home)
        frames += Self.command(
            #"{"id":2,"cmd":"update_subscription","params":{"sids":[1],"action":"add_markets","#
                + #""market_tickers":["\#(Fixture.away)"]}}"#,
            &session, exchange)
        frames += Self.subscribe(&session, exchange, Fixture.home)
        let (_, events) = try exchange.place(Fixture.order(.bid, 80, 10)).get()
        for event in events { frames += session.publish(event, in: exchange).map(\.text) }
        frames += Self.command(
            #"{"id":3,"cmd":"update_subscription","params":{"sid":1,"action":"get_snapshot"}}"#, &session, exchange)
        frames += Self.command(
            #"{"id":4,"cmd":"update_subscription","params":{"sids":[1],"action":"delete_markets","#
                + #""market_tickers":["\#(Fixture.home)"]}}"#,
            &session, exchange)
        frames += Self.command(#"{"id":5,"cmd":"unsubscribe","params":{"sids":[1]}}"#, &session, exchange)
        let objects = frames.map(JSONObject.init)
        #expect(
            objects.map { $0.text("type") } == [
                "subscribed", "orderbook_snapshot", "ok", "orderbook_snapshot", "ok", "orderbook_delta", "ok",
                "orderbook_snapshot", "orderbook_snapshot", "ok", "unsubscribed",
            ])
        #expect(objects.compactMap { $0.integer("seq") } == Array(1...10))
        #expect(session.subscriptions.isEmpty)
    }

    @Test func `subscribing to a subscribed ticker gives no snapshot`() throws {
        let exchange = try Fixture.exchange()
        var session = VenueSession()
        _ = Self.subscribe(&session, exchange, Fixture.home)
        let again = Self.subscribe(&session, exchange, Fixture.home)
        #expect(
            again == [
                #"{"type":"ok","id":1,"sid":1,"seq":2,"msg":{"market_tickers":["KXNBAGAME-26APR20TORCLE-CLE"]}}"#
            ])
    }

    static let mistakes: [(String, Int)] = [
        ("not json", 1), (#"{"id":3,"cmd":"subscribe"}"#, 2), (#"{"id":3,"cmd":"subscribe","params":{}}"#, 3),
        (#"{"id":3,"cmd":"unsubscribe","params":{}}"#, 4), (#"{"id":3,"cmd":"dance"}"#, 5),
        (#"{"id":3,"cmd":"unsubscribe","params":{"sids":[9]}}"#, 7),
        (#"{"id":3,"cmd":"subscribe","params":{"channels":["ticker_v2"]}}"#, 8),
        (#"{"id":3,"cmd":"update_subscription","params":{"sids":[1,2],"action":"add_markets"}}"#, 12),
        (#"{"id":3,"cmd":"update_subscription","params":{"sids":[1],"action":"paint"}}"#, 13),
        (#"{"id":3,"cmd":"subscribe","params":{"channels":["orderbook_delta"]}}"#, 14),
        (#"{"id":3,"cmd":"update_subscription","params":{"sids":[1]}}"#, 15),
        (#"{"id":3,"cmd":"subscribe","params":{"channels":["orderbook_delta"],"market_ticker":"NONE"}}"#, 16),
    ]

    @Test(arguments: mistakes.indices)
    func `a mistake gets the venue's error code`(index: Int) throws {
        let (text, code) = Self.mistakes[index]
        let exchange = try Fixture.exchange()
        var session = VenueSession()
        let frames = Self.command(text, &session, exchange).map(JSONObject.init)
        #expect(frames.count == 1)
        #expect(frames.first?.text("type") == "error")
        #expect(frames.first?.object("msg").integer("code") == Int64(code))
    }

    @Test func `subscriptions are listed`() throws {
        let exchange = try Fixture.exchange()
        var session = VenueSession()
        _ = Self.command(
            #"{"id":1,"cmd":"subscribe","params":{"channels":["trade","ticker","market_lifecycle_v2","fill"]}}"#,
            &session, exchange)
        let frames = Self.command(#"{"id":7,"cmd":"list_subscriptions"}"#, &session, exchange)
        #expect(
            frames == [
                #"{"type":"ok","id":7,"msg":[{"channel":"trade","sid":1},{"channel":"ticker","sid":2},"#
                    + #"{"channel":"market_lifecycle_v2","sid":3},{"channel":"fill","sid":4}]}"#
            ])
    }
}
