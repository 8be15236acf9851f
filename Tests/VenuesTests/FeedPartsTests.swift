import Domain
import NIOConcurrencyHelpers
import Resilience
import Runtime
import TestKit
import Testing

@testable import Venues

@Suite struct MarketEventsTests {
    private let at = ShownTime.start

    private func book(_ cents: Int64) throws -> OrderBook {
        try OrderBook(yesBids: [Fixture.level(cents, 1)], noBids: [])
    }

    @Test func `of each market only the newest book waits`() async throws {
        let queue = MarketEventQueue()
        for cents in Int64(1)...50 {
            queue.push([.book("A", try book(cents), at: at), .book("B", try book(cents), at: at)])
        }
        #expect(await queue.next() == [.book("A", try book(50), at: at), .book("B", try book(50), at: at)])
    }

    @Test func `an invalidation stays behind what it invalidates and before what comes after`() async throws {
        let queue = MarketEventQueue()
        queue.push([.book("A", try book(1), at: at), .invalidated(["A"], .sequenceGap)])
        queue.push([.book("A", try book(2), at: at)])
        #expect(await queue.next() == [.invalidated(["A"], .sequenceGap), .book("A", try book(2), at: at)])
    }

    @Test func `a consumer that never comes costs a bounded amount`() async throws {
        let queue = MarketEventQueue(capacity: 10)
        let trade = MarketEvent.trade(
            KalshiTrade(
                market: "A", id: "t", yesPrice: .cents(1), quantity: .contracts(1), taker: nil, at: nil))
        for _ in 0..<1_000 {
            queue.push([.book("A", try book(1), at: at), .confirmed(at: at), .arrived(upTo: at), trade])
        }
        #expect(queue.dropped == 990)
        #expect(await queue.next()?.count == 13)
    }

    @Test func `a waiting consumer is woken, and let go when cancelled`() async throws {
        let queue = MarketEventQueue()
        let waiting = Task { await queue.next() }
        queue.push([.connected])
        #expect(await waiting.value == [.connected])
        let cancelled = Task { await queue.next() }
        cancelled.cancel()
        #expect(await cancelled.value == nil)
    }

    @Test func `a full mailbox says so and ends with the reason`() async throws {
        let mailbox = Mailbox<Int>(itemBound: 3, byteBound: 10)
        #expect(mailbox.push([1, 2], bytes: 5))
        #expect(!mailbox.push([3], bytes: 6))
        #expect(!mailbox.push([3, 4], bytes: 0))
        mailbox.replace(with: 99)
        #expect(mailbox.push([5], bytes: 0))
        #expect(await mailbox.next() == [99])
    }
}

@Suite struct KalshiBookPollerTests {
    /// A venue with one book that the test changes.
    private final class Source: BookSource {
        let answer = NIOLockedValueBox<Result<OrderBook, VenueError>>(.success(.empty))
        let reads = NIOLockedValueBox(0)

        func orderBook(_ market: MarketID) async throws(VenueError) -> (book: OrderBook, at: VenueInstant) {
            reads.withLockedValue { $0 += 1 }
            return (try answer.withLockedValue { $0 }.get(), ShownTime.start)
        }
    }

    @Test func `every read is a book, failures are told`() async throws {
        let source = Source()
        let time = ManualTime()
        let poller = KalshiBookPoller(
            source: source, interval: .seconds(2), clock: .manual(time), log: Fixture.log)
        poller.setMarkets(["M-1"])
        let running = Task { try await poller.run() }
        let events = poller.events.makeAsyncIterator()
        #expect(await events.next() == [.connected, .book("M-1", .empty, at: ShownTime.start)])
        await time.untilSleepers(1)
        time.advance(by: .seconds(2))
        #expect(await events.next() == [.book("M-1", .empty, at: ShownTime.start)])

        source.answer.withLockedValue { $0 = .failure(VenueError(.timeout)) }
        await time.untilSleepers(1)
        time.advance(by: .seconds(2))
        #expect(await events.next() == [.disconnected(.pollFailed)])

        source.answer.withLockedValue { $0 = .failure(VenueError(.marketNotFound, status: 404)) }
        await time.untilSleepers(1)
        time.advance(by: .seconds(2))
        #expect(await events.next() == [.invalidated(["M-1"], .refused)])
        #expect(poller.status.errors == ["timeout": 1, "market_not_found": 1])
        #expect(source.reads.withLockedValue { $0 } == 4)
        running.cancel()
        _ = await running.result
    }
}

@Suite struct WebSocketURLTests {
    @Test func `addresses are taken apart`() throws {
        let secure = try #require(WebSocketURL("wss://a.example.com/trade-api/ws/v2"))
        #expect(secure.isSecure && secure.host == "a.example.com" && secure.port == 443)
        #expect(secure.path == "/trade-api/ws/v2")
        let plain = try #require(WebSocketURL("ws://127.0.0.1:8080"))
        #expect(!plain.isSecure && plain.port == 8_080 && plain.path == "/")
        for bad in ["http://a", "ws://", "ws://a:0/", "ws://a:x/", "ws://u@a/", ""] {
            #expect(WebSocketURL(bad) == nil, "\(bad)")
        }
    }
}
