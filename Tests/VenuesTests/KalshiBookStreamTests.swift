import Domain
import Resilience
import TestKit
import Testing

@testable import Venues

@Suite struct KalshiBookStreamTests {
    private typealias Effect = KalshiBookStream.Effect
    private let now = MachineInstant.origin

    private func book(_ cents: Int64, _ contracts: Int64) throws -> OrderBook {
        try OrderBook(yesBids: [BookLevel(price: .cents(cents), quantity: .contracts(contracts))], noBids: [])
    }

    private func delta(_ market: MarketID, _ hundredths: Int64, at cents: Int64 = 40) -> KalshiDelta {
        KalshiDelta(market: market, outcome: .yes, price: .cents(cents), hundredths: hundredths, at: nil)
    }

    /// A stream that follows A and B on sid 7; numbers 1 and 2 are used.
    private func live() throws -> KalshiBookStream {
        var stream = KalshiBookStream()
        _ = stream.setMarkets(["A", "B"], at: now)
        #expect(
            stream.connected(at: now) == [.send(.subscribe(id: 1, channel: "orderbook_delta", markets: ["A", "B"]))])
        _ = stream.handle(.subscribed(id: 1, channel: "orderbook_delta", sid: 7), at: now)
        #expect(
            stream.handle(.snapshot(sid: 7, sequence: 1, "A", try book(40, 10)), at: now) == [.changed("A", at: nil)])
        _ = stream.handle(.snapshot(sid: 7, sequence: 2, "B", try book(50, 10)), at: now)
        return stream
    }

    @Test func `deltas change the book that the snapshot began`() throws {
        var stream = try live()
        #expect(stream.handle(.delta(sid: 7, sequence: 3, delta("A", 250)), at: now) == [.changed("A", at: nil)])
        #expect(stream.books["A"]?.bestBid(.yes)?.quantity.hundredths == 1_250)
        _ = stream.handle(.delta(sid: 7, sequence: 4, delta("A", -1_250)), at: now)
        #expect(stream.books["A"] == .empty)
        #expect(stream.books["B"] == (try book(50, 10)))
    }

    @Test func `one missing number invalidates every book of the stream and asks for a new one`() throws {
        var stream = try live()
        let effects = stream.handle(.delta(sid: 7, sequence: 4, delta("A", 100)), at: now)
        #expect(
            effects == [
                .invalidated(["A", "B"], .sequenceGap), .send(.unsubscribe(id: 2, sid: 7)),
                .send(.subscribe(id: 3, channel: "orderbook_delta", markets: ["A", "B"])),
            ])
        #expect(stream.books.isEmpty)
        // What still comes of the old stream does not count, nor does it ask again.
        #expect(stream.handle(.delta(sid: 7, sequence: 5, delta("A", 100)), at: now) == [])
        _ = stream.handle(.subscribed(id: 3, channel: "orderbook_delta", sid: 8), at: now)
        _ = stream.handle(.snapshot(sid: 8, sequence: 1, "A", try book(41, 1)), at: now)
        #expect(stream.books["A"] == (try book(41, 1)))
        #expect(stream.counts[.gap] == 1 && stream.counts[.resync] == 1)
    }

    @Test func `an acknowledgement takes a number`() throws {
        var stream = try live()
        #expect(
            stream.setMarkets(["A", "B", "C"], at: now) == [.send(.addMarkets(id: 2, sid: 7, markets: ["C"]))])
        _ = stream.handle(.acknowledged(id: 2, sid: 7, sequence: 3, markets: ["A", "B", "C"]), at: now)
        #expect(
            stream.handle(.snapshot(sid: 7, sequence: 4, "C", try book(10, 1)), at: now) == [.changed("C", at: nil)])
        #expect(stream.handle(.delta(sid: 7, sequence: 5, delta("A", 100)), at: now) == [.changed("A", at: nil)])
    }

    @Test func `a snapshot with the next number replaces the book`() throws {
        var stream = try live()
        #expect(
            stream.handle(.snapshot(sid: 7, sequence: 3, "A", try book(60, 2)), at: now) == [.changed("A", at: nil)])
        #expect(stream.books["A"] == (try book(60, 2)))
    }

    @Test func `a number seen before is dropped`() throws {
        var stream = try live()
        _ = stream.handle(.delta(sid: 7, sequence: 3, delta("A", 100)), at: now)
        #expect(stream.handle(.delta(sid: 7, sequence: 3, delta("A", 100)), at: now) == [])
        #expect(stream.books["A"]?.bestBid(.yes)?.quantity.hundredths == 1_100)
        #expect(stream.counts[.duplicate] == 1)
    }

    @Test func `a level below zero is corruption`() throws {
        var stream = try live()
        let effects = stream.handle(.delta(sid: 7, sequence: 3, delta("A", -1_001)), at: now)
        #expect(effects.first == .invalidated(["A", "B"], .corruptBook))
        #expect(stream.books.isEmpty)
    }

    @Test func `a frame that cannot be read costs the books, unless it was none of theirs`() throws {
        var stream = try live()
        #expect(stream.undecodable(KalshiFrameError(.missingField, type: "ticker", field: "x"), at: now) == [])
        let effects = stream.undecodable(
            KalshiFrameError(.malformedJSON, type: "orderbook_delta", field: "x"), at: now)
        #expect(effects.first == .invalidated(["A", "B"], .malformedFrame))
    }

    @Test func `a frame of an unknown type keeps the sequence whole`() throws {
        var stream = try live()
        #expect(stream.handle(.other(type: "new", sid: 7, sequence: 3), at: now) == [])
        #expect(stream.handle(.delta(sid: 7, sequence: 4, delta("A", 100)), at: now) == [.changed("A", at: nil)])
    }

    @Test func `books are gone with the connection and come back with the next`() throws {
        var stream = try live()
        #expect(stream.disconnected() == [.invalidated(["A", "B"], .disconnected)])
        #expect(stream.books.isEmpty)
        let effects = stream.connected(at: now)
        #expect(effects == [.send(.subscribe(id: 2, channel: "orderbook_delta", markets: ["A", "B"]))])
    }

    @Test func `markets are dropped one command at a time, and the last one ends the stream`() throws {
        var stream = try live()
        #expect(stream.setMarkets(["B"], at: now) == [.send(.deleteMarkets(id: 2, sid: 7, markets: ["A"]))])
        #expect(stream.books["A"] == nil)
        #expect(stream.setMarkets([], at: now) == [])
        #expect(
            stream.handle(.acknowledged(id: 2, sid: 7, sequence: 3, markets: ["B"]), at: now)
                == [.send(.unsubscribe(id: 3, sid: 7))])
        #expect(
            stream.setMarkets(["C"], at: now)
                == [.send(.subscribe(id: 4, channel: "orderbook_delta", markets: ["C"]))])
    }

    @Test func `a market that the venue does not know does not cost the others`() throws {
        var stream = KalshiBookStream()
        _ = stream.setMarkets(["A", "X"], at: now)
        _ = stream.connected(at: now)
        #expect(
            stream.handle(.error(id: 1, code: 16, message: "market not found"), at: now)
                == [.send(.subscribe(id: 2, channel: "orderbook_delta", markets: ["A"]))])
        #expect(
            stream.handle(.subscribed(id: 2, channel: "orderbook_delta", sid: 7), at: now)
                == [.send(.addMarkets(id: 3, sid: 7, markets: ["X"]))])
        #expect(stream.handle(.error(id: 3, code: 16, message: ""), at: now) == [.invalidated(["X"], .refused)])
        #expect(stream.refused == ["X"])
        #expect(stream.tick(at: now.advanced(by: .seconds(5))) == [])
    }

    @Test func `a stream whose answer was lost is asked for anew when its frames come`() throws {
        var stream = KalshiBookStream()
        _ = stream.setMarkets(["A"], at: now)
        _ = stream.connected(at: now)
        // It may still be under way.
        #expect(stream.handle(.snapshot(sid: 7, sequence: 1, "A", try book(40, 10)), at: now) == [])
        let later = now.advanced(by: .seconds(1))
        #expect(
            stream.handle(.delta(sid: 7, sequence: 2, delta("A", 100)), at: later) == [
                .send(.unsubscribe(id: 2, sid: 7)),
                .send(.subscribe(id: 3, channel: "orderbook_delta", markets: ["A"])),
            ])
        // Once, whatever else comes of it.
        let last = later.advanced(by: .seconds(2))
        #expect(stream.handle(.delta(sid: 7, sequence: 3, delta("A", 100)), at: last) == [])
        _ = stream.handle(.subscribed(id: 3, channel: "orderbook_delta", sid: 8), at: last)
        #expect(
            stream.handle(.snapshot(sid: 8, sequence: 1, "A", try book(41, 1)), at: last) == [.changed("A", at: nil)])
    }

    @Test func `a market that changes and whose snapshot was lost has its books fetched anew`() throws {
        var stream = KalshiBookStream()
        _ = stream.setMarkets(["A", "B"], at: now)
        _ = stream.connected(at: now)
        _ = stream.handle(.subscribed(id: 1, channel: "orderbook_delta", sid: 7), at: now)
        // The first of the stream is missing, which no number tells.
        _ = stream.handle(.snapshot(sid: 7, sequence: 2, "B", try book(50, 10)), at: now)
        #expect(stream.handle(.delta(sid: 7, sequence: 3, delta("A", 100)), at: now) == [])
        let later = now.advanced(by: .seconds(1))
        #expect(
            stream.handle(.delta(sid: 7, sequence: 4, delta("A", 100)), at: later) == [
                .invalidated(["B"], .snapshotMissing), .send(.unsubscribe(id: 2, sid: 7)),
                .send(.subscribe(id: 3, channel: "orderbook_delta", markets: ["A", "B"])),
            ])
        #expect(stream.counts[.deltaWithoutBook] == 2)
    }

    @Test func `an answer that does not come ends the connection`() throws {
        var stream = KalshiBookStream(commandTimeout: .seconds(10))
        _ = stream.setMarkets(["A"], at: now)
        _ = stream.connected(at: now)
        #expect(stream.tick(at: now.advanced(by: .seconds(9))) == [])
        #expect(stream.tick(at: now.advanced(by: .seconds(10))) == [.reconnect(.commandTimeout)])
    }

    @Test func `a snapshot that does not come is asked for once more, then the market is given up`() throws {
        var stream = try live()
        _ = stream.setMarkets(["A", "B", "C"], at: now)
        _ = stream.handle(.acknowledged(id: 2, sid: 7, sequence: 3, markets: []), at: now)
        let later = now.advanced(by: .seconds(10))
        #expect(stream.tick(at: later).first == .invalidated(["A", "B"], .snapshotMissing))
        _ = stream.handle(.subscribed(id: 4, channel: "orderbook_delta", sid: 8), at: later)
        _ = stream.handle(.snapshot(sid: 8, sequence: 1, "A", try book(40, 10)), at: later)
        _ = stream.handle(.snapshot(sid: 8, sequence: 2, "B", try book(50, 10)), at: later)
        let effects = stream.tick(at: later.advanced(by: .seconds(10)))
        #expect(effects.first == .invalidated(["C"], .refused))
        #expect(stream.books.count == 2)
    }

    @Test func `resynchronising without end gives the connection up`() throws {
        var stream = KalshiBookStream(resyncs: RestartIntensity(atMost: 3, within: .seconds(60)))
        _ = stream.setMarkets(["A"], at: now)
        _ = stream.connected(at: now)
        var storms = 0
        for sid in Int64(1)...6 {
            guard case .subscribing(let id, _, _) = streamState(stream) else { break }
            _ = stream.handle(.subscribed(id: id, channel: "orderbook_delta", sid: sid), at: now)
            _ = stream.handle(.snapshot(sid: sid, sequence: 1, "A", try book(1, 1)), at: now)
            let effects = stream.handle(.delta(sid: sid, sequence: 9, delta("A", 1)), at: now)
            if effects.contains(.reconnect(.resyncStorm)) {
                storms += 1
                break
            }
        }
        #expect(storms == 1)
        #expect(stream.counts[.resync] == 4)
    }

    private func streamState(_ stream: KalshiBookStream) -> KalshiBookStream.Stream { stream.state }

    @Test(.enabled(if: SharedData.isThere, "\(SharedData.reason)"))
    func `the recorded session is followed without a gap`() throws {
        var decoder = KalshiFrameDecoder()
        var stream = KalshiBookStream()
        let markets: Set<MarketID> = [
            "KXBTCD-26JUL0317-T60499.99", "KXBTCD-26JUL0317-T60999.99", "KXNEXTTEAMNBA-26LJAM-CLE",
            "KXNEXTTEAMNBA-26LJAM-GSW", "KXNEXTTEAMNBA-26LJAM-MIA",
        ]
        _ = stream.setMarkets(markets, at: now)
        _ = stream.connected(at: now)
        var changes = 0
        for line in try Recorded.lines(Recorded.webSocketFiles[0]) {
            let frame = try decoder.decode(line)
            // The recorder's own subscribe carried another id.
            let effects: [KalshiBookStream.Effect]
            if case .subscribed(_, let channel, let sid) = frame {
                effects = stream.handle(.subscribed(id: nil, channel: channel, sid: sid), at: now)
            } else {
                effects = stream.handle(frame, at: now)
            }
            for effect in effects {
                guard case .changed = effect else {
                    Issue.record("unexpected \(effect)")
                    continue
                }
                changes += 1
            }
        }
        #expect(changes > 1_900)
        #expect(stream.counts[.gap] == nil && stream.counts[.deltaWithoutBook] == nil)
        #expect(Set(stream.books.keys) == markets)
        #expect(stream.books.values.allSatisfy { !$0.isCrossed })
    }

    @Test(.enabled(if: SharedData.isThere, "\(SharedData.reason)"))
    func `each lost frame of the recorded session is noticed`() throws {
        var decoder = KalshiFrameDecoder()
        let frames = try Recorded.lines(Recorded.webSocketFiles[0]).map { try decoder.decode($0) }
        var random = SeededGenerator(seed: 5)
        for _ in 0..<20 {
            let lost = Int.random(in: 12..<(frames.count - 2), using: &random)
            var stream = KalshiBookStream()
            _ = stream.setMarkets(["KXNEXTTEAMNBA-26LJAM-MIA"], at: now)
            _ = stream.connected(at: now)
            var invalidatedAt: Int?
            for (index, frame) in frames.enumerated() where index != lost && invalidatedAt == nil {
                var frame = frame
                if case .subscribed(_, let channel, let sid) = frame {
                    frame = .subscribed(id: nil, channel: channel, sid: sid)
                }
                let effects = stream.handle(frame, at: now)
                if effects.contains(where: { if case .invalidated(_, .sequenceGap) = $0 { true } else { false } }) {
                    invalidatedAt = index
                }
            }
            #expect(invalidatedAt == lost + 1)
        }
    }
}
