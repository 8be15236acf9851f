import Domain
import Testing

@testable import VenueSimulator

/// Our frames against the venue's own: same keys, same forms of numbers.
struct RecordedFrameTests {
    static let session = Fixture.raw("kalshi/ws_session_demo_20260701_part1.jsonl")
    static let frames = Fixture.raw("kalshi/ws_frames_demo_20260827.jsonl")
    static let absent: Comment = "the raw recordings are not beside the repository"

    /// Everything a full session sends here, by type.
    static func ours() throws -> [String: JSONObject] {
        var exchange = try Fixture.exchange()
        var session = VenueSession()
        var texts = VenueSessionTests.subscribe(&session, exchange, Fixture.home)
        texts += VenueSessionTests.subscribe(&session, exchange, Fixture.home, Fixture.away)
        texts += VenueSessionTests.command(
            #"{"id":9,"cmd":"subscribe","params":{"channels":["ticker","trade"]}}"#, &session, exchange)
        texts += VenueSessionTests.command(
            #"{"id":3,"cmd":"subscribe","params":{"channels":["ticker_v2"]}}"#, &session, exchange)
        let (_, events) = try exchange.place(Fixture.order(.bid, 80, 10)).get()
        for event in events { texts += session.publish(event, in: exchange).map(\.text) }
        let typed = texts.map { (JSONObject($0).text("type"), JSONObject($0)) }
        return Dictionary(typed, uniquingKeysWith: { first, _ in first })
    }

    @Test(
        .enabled(if: session != nil, absent),
        arguments: ["subscribed", "ok", "orderbook_snapshot", "orderbook_delta"])
    func `frames have the shape of the recorded session`(kind: String) throws {
        let recorded = try #require(Self.session).map(JSONObject.init).first { $0.text("type") == kind }
        let ours = try #require(try Self.ours()[kind])
        #expect(ours.shape == recorded?.shape)
    }

    @Test(.enabled(if: frames != nil, absent), arguments: ["subscribed", "ticker", "ok", "error"])
    func `single frames have the shape of the recorded ones`(kind: String) throws {
        let recorded = try #require(Self.frames).map(JSONObject.init).first { $0.text("type") == kind }
        let ours = try #require(try Self.ours()[kind])
        #expect(ours.shape == recorded?.shape)
    }

    @Test(.enabled(if: frames != nil, absent))
    func `an empty book has neither side and no id, as recorded`() throws {
        let recorded = try #require(Self.frames).map(JSONObject.init).last { $0.text("type") == "orderbook_snapshot" }
        let recording = try Fixture.recording()
        let exchange = SimulatedExchange(header: recording.header, balance: .dollars(1))
        let frame = JSONObject(KalshiFrames.snapshot(Fixture.home, sid: 1, sequence: 1, in: exchange).text)
        #expect(frame.object("msg").keys == recorded?.object("msg").keys)
        #expect(frame.object("msg").text("market_id") == "")
    }

    @Test(.enabled(if: Fixture.raw("kalshi/rest_orderbooks_demo_20260701.jsonl") != nil, absent))
    func `the REST book has the recorded shape`() throws {
        let line = try #require(Fixture.raw("kalshi/rest_orderbooks_demo_20260701.jsonl")?.first)
        let recorded = JSONObject(JSONObject(line).text("response_body"))
        let exchange = try Fixture.exchange()
        let body = JSONObject(KalshiBodies.orderbook(Fixture.home, in: exchange, depth: 0).text)
        #expect(body.shape == recorded.shape)
    }

    @Test(.enabled(if: Fixture.raw("orders_and_errors_quoted.json") != nil, absent))
    func `order answers and errors have the quoted keys`() throws {
        let text = try #require(Fixture.raw("orders_and_errors_quoted.json")).joined(separator: "\n")
        let quoted = JSONObject("{\"all\":\(text)}").list("all")
        func body(_ request: String) -> JSONObject? {
            quoted.first { $0.text("request").contains(request) }?.object("body")
        }
        var exchange = try Fixture.exchange()
        let (resting, _) = try exchange.place(Fixture.order(.bid, 70, 1, .goodTillCancelled)).get()
        #expect(JSONObject(PortfolioBodies.placed(resting).text).keys == body("orders (resting)")?.keys)
        let (filled, _) = try exchange.place(Fixture.order(.bid, 80, 5, id: "b")).get()
        let filledKeys = JSONObject(PortfolioBodies.placed(filled).text)
        #expect(filledKeys.keys.isSuperset(of: try #require(body("sell 5 at 40")).keys))
        #expect(filledKeys.text("average_fill_price") == "0.8000")
        #expect(filledKeys.text("fill_count") == "5.00")
        let (cancelled, reduced, _) = try exchange.cancel(resting.id).get()
        #expect(JSONObject(PortfolioBodies.cancelled(cancelled, reducedBy: reduced).text).keys == body("DELETE")?.keys)
    }
}
