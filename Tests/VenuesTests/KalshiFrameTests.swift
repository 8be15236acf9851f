import Domain
import Foundation
import TestKit
import Testing

@testable import Venues

@Suite struct KalshiFrameTests {
    private func decode(_ text: String) throws(KalshiFrameError) -> KalshiFrame {
        var decoder = KalshiFrameDecoder()
        return try decoder.decode(Array(text.utf8))
    }

    private func refusal(_ text: String) -> KalshiFrameError? {
        do {
            _ = try decode(text)
            return nil
        } catch {
            return error
        }
    }

    private func delta(_ members: String) -> String {
        #"{"type":"orderbook_delta","sid":1,"seq":1,"msg":{\#(members)}}"#
    }

    private func snapshot(_ members: String) -> String {
        #"{"type":"orderbook_snapshot","sid":1,"seq":1,"msg":{\#(members)}}"#
    }

    private func level(_ tenThousandths: Int64, _ hundredths: Int64) throws -> BookLevel {
        try BookLevel(price: Price(tenThousandths: tenThousandths), quantity: Quantity(hundredths: hundredths))
    }

    @Test func `a delta is a signed increment of one side`() throws {
        let frame = try decode(
            """
            {"type":"orderbook_delta","sid":2,"seq":9,"msg":{"market_ticker":"M","market_id":"i",
            "price_dollars":"0.9400","delta_fp":"-15.82","side":"no",
            "ts":"2026-08-22T18:01:26.758621Z","ts_ms":1787421686758}}
            """)
        let expected = KalshiDelta(
            market: "M", outcome: .no, price: .cents(94), hundredths: -1_582,
            at: try VenueInstant(microseconds: 1_787_421_686_758_000))
        #expect(frame == .delta(sid: 2, sequence: 9, expected))
    }

    @Test func `any order of keys will do, and unknown ones are passed over`() throws {
        let frame = try decode(
            """
            {"msg":{"side":"yes","extra":{"a":[1,{"b":null}]},"delta_fp":"1.00","price_dollars":"0.5",
             "market_ticker":"M"},"future":[[]],"seq":1,"sid":1,"type":"orderbook_delta"}
            """)
        #expect(
            frame
                == .delta(
                    sid: 1, sequence: 1,
                    KalshiDelta(market: "M", outcome: .yes, price: .cents(50), hundredths: 100, at: nil)))
    }

    @Test func `the older era spoke of cents and whole contracts`() throws {
        let delta = try decode(
            delta(#""market_ticker":"M","price":96,"delta":-54,"side":"yes""#)
        )
        #expect(
            delta
                == .delta(
                    sid: 1, sequence: 1,
                    KalshiDelta(market: "M", outcome: .yes, price: .cents(96), hundredths: -5_400, at: nil)))
        let snapshot = try decode(
            snapshot(#""market_ticker":"M","yes":[[8,300],[22,333]],"no":null"#)
        )
        #expect(
            snapshot
                == .snapshot(
                    sid: 1, sequence: 1, "M",
                    try OrderBook(yesBids: [level(800, 30_000), level(2_200, 33_300)], noBids: [])))
    }

    @Test func `of two spellings of a side the newest counts, in either order`() throws {
        let newest = #""yes_dollars_fp":[["0.0800","3.50"]]"#
        let oldest = #""yes":[[9,4]]"#
        let book = try OrderBook(yesBids: [level(800, 350)], noBids: [])
        for pair in ["\(newest),\(oldest)", "\(oldest),\(newest)"] {
            let frame = try decode(
                #"{"type":"orderbook_snapshot","sid":1,"seq":1,"msg":{"market_ticker":"M",\#(pair)}}"#)
            #expect(frame == .snapshot(sid: 1, sequence: 1, "M", book))
        }
    }

    @Test func `an empty book has neither side and no market id`() throws {
        let frame = try decode(
            #"{"type":"orderbook_snapshot","sid":1,"seq":1,"msg":{"market_ticker":"M","market_id":""}}"#)
        #expect(frame == .snapshot(sid: 1, sequence: 1, "M", .empty))
    }

    @Test func `answers to commands are read`() throws {
        #expect(
            try decode(#"{"type":"subscribed","id":2,"msg":{"channel":"orderbook_delta","sid":1}}"#)
                == .subscribed(id: 2, channel: "orderbook_delta", sid: 1))
        #expect(
            try decode(#"{"type":"ok","id":6,"sid":1,"seq":1,"msg":{"market_tickers":["A","B"]}}"#)
                == .acknowledged(id: 6, sid: 1, sequence: 1, markets: ["A", "B"]))
        #expect(
            try decode(#"{"type":"unsubscribed","id":3,"sid":1,"seq":7}"#)
                == .unsubscribed(id: 3, sid: 1, sequence: 7))
        #expect(
            try decode(#"{"type":"error","id":3,"msg":{"code":8,"msg":"Unknown channel name"}}"#)
                == .error(id: 3, code: 8, message: "Unknown channel name"))
    }

    @Test func `a type that is new keeps its place in the sequence`() throws {
        #expect(
            try decode(#"{"type":"brand_new","sid":1,"seq":5,"msg":"anything"}"#)
                == .other(type: "brand_new", sid: 1, sequence: 5))
    }

    @Test(arguments: ["market_ticker", "price_dollars", "delta_fp", "side"])
    func `a missing field is named`(_ field: String) {
        let members = [
            #""market_ticker":"M""#, #""price_dollars":"0.5""#, #""delta_fp":"1""#, #""side":"yes""#,
        ].filter { !$0.contains(field) }
        #expect(refusal(delta(members.joined(separator: ",")))?.code == .missingField)
        #expect(refusal(delta(members.joined(separator: ",")))?.field == field)
    }

    @Test func `a missing number, stream or type is named`() {
        let body = #""msg":{"market_ticker":"M","price_dollars":"0.5","delta_fp":"1","side":"yes"}"#
        #expect(refusal(#"{"type":"orderbook_delta","sid":1,\#(body)}"#)?.field == "seq")
        #expect(refusal(#"{"type":"orderbook_delta","seq":1,\#(body)}"#)?.field == "sid")
        #expect(refusal(#"{"sid":1,"seq":1,\#(body)}"#)?.field == "type")
    }

    @Test(arguments: [
        (#""price_dollars":"1.5""#, "price_dollars"), (#""price_dollars":"0.53001""#, "price_dollars"),
        (#""price_dollars":true"#, "price_dollars"), (#""side":"maybe""#, "side"), (#""delta_fp":"1.005""#, "delta_fp"),
        (#""ts_ms":-1"#, "ts_ms"), (#""ts":"yesterday""#, "ts"), (#""market_ticker":"a b""#, "Market"),
    ])
    func `a field that makes no sense is named`(_ member: String, _ field: String) {
        let text = delta(
            #""market_ticker":"M","price_dollars":"0.5","delta_fp":"1","side":"yes",\#(member)"#)
        #expect(refusal(text)?.code == .invalidField)
        #expect(refusal(text)?.type == "orderbook_delta")
        #expect(refusal(text)?.field.contains(field) == true, "\(String(describing: refusal(text)))")
    }

    @Test func `a price that stands twice on a side is refused`() {
        let text = snapshot(#""market_ticker":"M","yes_dollars_fp":[["0.1","1"],["0.10","2"]]"#)
        #expect(refusal(text)?.code == .invalidField)
    }

    @Test(.enabled(if: SharedData.isThere, "\(SharedData.reason)"))
    func `every recorded frame is decoded`() throws {
        var decoder = KalshiFrameDecoder()
        var kinds: [String: Int] = [:]
        for line in try Recorded.frames() {
            let frame = try decoder.decode(line)
            let kind = "\(frame)".prefix { $0 != "(" }
            kinds[String(kind), default: 0] += 1
        }
        #expect(kinds["delta"] ?? 0 > 1_900)
        #expect(kinds["snapshot"] == 7)
        #expect(kinds["ticker"] == 8)
        #expect(kinds["trade"] == 7)
        #expect(kinds["other"] == nil)
    }

    @Test(.enabled(if: SharedData.isThere, "\(SharedData.reason)"))
    func `recorded deltas say what Foundation reads in them`() throws {
        var decoder = KalshiFrameDecoder()
        for line in try Recorded.frames() {
            guard case .delta(let sid, let sequence, let delta) = try decoder.decode(line) else { continue }
            let root = try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]
            let message = root?["msg"] as? [String: Any]
            #expect(root?["sid"] as? Int64 == sid && root?["seq"] as? Int64 == sequence)
            #expect(message?["market_ticker"] as? String == delta.market.rawValue)
            #expect(message?["side"] as? String == delta.outcome.rawValue)
            #expect(message?["price_dollars"] as? String == delta.price.description)
            #expect(message?["delta_fp"] as? String == FixedPoint.format(delta.hundredths, scale: 2))
            #expect(message?["ts_ms"] as? Int64 == delta.at.map { $0.microseconds / 1_000 })
        }
    }

    @Test(.enabled(if: SharedData.isThere, "\(SharedData.reason)"))
    func `frames quoted from production are decoded as far as they are whole`() throws {
        var decoder = KalshiFrameDecoder()
        let lines = try Recorded.lines("kalshi/ws_frames_prod_quoted_2026.jsonl")
        let lifecycle = lines.compactMap { line -> KalshiLifecycle? in
            guard case .lifecycle(_, let lifecycle)? = try? decoder.decode(line) else { return nil }
            return lifecycle
        }
        #expect(lifecycle.map(\.event) == [.metadataUpdated])
        let trade = lines.compactMap { line -> KalshiTrade? in
            guard case .trade(_, _, let trade)? = try? decoder.decode(line) else { return nil }
            return trade
        }
        #expect(trade.map(\.quantity.hundredths) == [2_256])
    }
}
