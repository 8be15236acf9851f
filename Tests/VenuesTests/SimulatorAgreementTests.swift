import Domain
import Matching
import Resilience
import Runtime
import TestKit
import Testing

@testable import VenueSimulator
@testable import Venues

/// Our clients against the simulator: each has its own encoders, so that one mistake cannot hide on both sides.
@Suite struct SimulatorAgreementTests {
    @Test func `markets, books and scores are read`() async throws {
        try await PlayedVenue.with { venue in
            let page = try await venue.rest.markets(event: "KXNBAGAME-26APR20TORCLE")
            #expect(page.refused.isEmpty && page.cursor == nil)
            #expect(Set(page.items.map(\.ticker)) == [PlayedVenue.home, PlayedVenue.away])
            #expect(page.items.allSatisfy { $0.status == .active && $0.yesValue == nil })
            let (book, at) = try await venue.rest.orderBook(PlayedVenue.home)
            #expect(book.isTwoSided && book.bestBid(.yes)?.price == .cents(60))
            #expect(book.bestAsk(.yes)?.price == .cents(61))
            #expect(at == (try VenueInstant(rfc3339: "2026-04-20T23:10:00Z")))
            let board = try await venue.scores.scoreboard(.nba)
            #expect(board.errors.isEmpty && board.games.map(\.game.home.abbreviation) == ["CLE"])
            #expect(try await venue.rest.exchangeStatus().isTradingActive)
        }
    }

    @Test func `every kind of order trades as the shared matcher says, and leaves exact fills`() async throws {
        try await PlayedVenue.with { venue in
            let gateway = KalshiGateway(rest: venue.rest, time: venue.shown.time)
            var net: Int64 = 0
            var fills: [Fill] = []
            let kinds: [(Action, Outcome, Int64)] = [
                (.buy, .yes, 70), (.buy, .no, 60), (.sell, .yes, 50), (.sell, .no, 30), (.buy, .yes, 2),
            ]
            for (index, kind) in kinds.enumerated() {
                let order = try OrderRequest(
                    id: OrderID("order-\(index)"), market: PlayedVenue.home, outcome: kind.1, action: kind.0,
                    limit: .cents(kind.2), quantity: .contracts(50), timeInForce: .immediateOrCancel)
                let (book, _) = try await venue.rest.orderBook(PlayedVenue.home)
                let expected = Matcher.match(order, against: book, fees: .kalshi)
                guard case .accepted(let receipt) = await gateway.submit(order, deadline: .seconds(60)) else {
                    Issue.record("order \(index) was not accepted")
                    continue
                }
                #expect(receipt.filled == expected.filled && receipt.remaining == expected.remaining)
                #expect(receipt.averagePrice == expected.averagePrice)
                let booked = try await gateway.fills(of: order, venueOrder: receipt.venueOrder)
                #expect(booked.map(\.price).sorted() == expected.fills.map(\.price).sorted())
                #expect(booked.reduce(Money.zero) { $0 + $1.fee } == expected.fees)
                #expect(booked.reduce(Quantity.zero) { $0 + $1.quantity } == expected.filled)
                let takesYes = (kind.1 == .yes) == (kind.0 == .buy)
                net += (takesYes ? 1 : -1) * expected.filled.hundredths
                fills += booked
                guard case .found(let found) = await gateway.find(order.id, market: order.market) else {
                    Issue.record("order \(index) was not found")
                    continue
                }
                #expect(found.venueOrder == receipt.venueOrder && found.state == .done)
                #expect(found.filled == expected.filled)
            }
            #expect(Set(fills.map(\.id)).count == fills.count)
            var position = Position(market: PlayedVenue.home)
            for fill in fills { position.apply(fill) }
            #expect(position.netHundredths == net)
            let held = try await gateway.positions().first { $0.market == PlayedVenue.home }
            #expect(held?.netHundredths ?? 0 == net)
            let cash = Money.dollars(1_000) + position.realised - position.cost - position.fees
            #expect(try await gateway.balance() == cash)
        }
    }

    @Test func `refusals are proof, a key used before is not`() async throws {
        try await PlayedVenue.with { venue in
            let gateway = KalshiGateway(rest: venue.rest, time: venue.shown.time)
            func submit(
                _ id: OrderID, _ market: MarketID, _ contracts: Int64, _ force: TimeInForce = .immediateOrCancel
            ) async throws -> SubmitOutcome {
                await gateway.submit(
                    try OrderRequest(
                        id: id, market: market, outcome: .yes, action: .buy, limit: .cents(61),
                        quantity: .contracts(contracts), timeInForce: force), deadline: .seconds(60))
            }
            func refusal(_ outcome: SubmitOutcome) -> VenueError.Code? {
                if case .refused(let error) = outcome { error.code } else { nil }
            }
            #expect(refusal(try await submit("a", "NO-SUCH-MARKET", 1)) == .marketNotFound)
            #expect(refusal(try await submit("b", PlayedVenue.home, 1_000_000, .fillOrKill)) == .fillOrKillUnfilled)
            guard case .accepted = try await submit("c", PlayedVenue.home, 1) else {
                Issue.record("a good order was not accepted")
                return
            }
            guard case .unknown(let error) = try await submit("c", PlayedVenue.home, 1) else {
                Issue.record("the same key again must be unknown")
                return
            }
            #expect(error.code == .duplicateOrder)
            #expect(await gateway.find("never-sent", market: PlayedVenue.home) == .absent)
        }
    }

    @Test func `an order that rests is found, taken back, and then gone`() async throws {
        try await PlayedVenue.with { venue in
            let gateway = KalshiGateway(rest: venue.rest, time: venue.shown.time)
            let order = try OrderRequest(
                id: "rests", market: PlayedVenue.home, outcome: .no, action: .buy, limit: .cents(20),
                quantity: .contracts(5), timeInForce: .goodTillCancelled)
            guard case .accepted(let receipt) = await gateway.submit(order, deadline: .seconds(60)) else {
                Issue.record("not accepted")
                return
            }
            #expect(receipt.filled == .zero && receipt.remaining == .contracts(5))
            guard case .found(let found) = await gateway.find("rests", market: PlayedVenue.home) else {
                Issue.record("not found")
                return
            }
            #expect(found.state == .resting)
            let cancelled = await gateway.cancel(receipt.venueOrder, deadline: .seconds(60))
            #expect(cancelled == .cancelled(stillOpen: .contracts(5)))
            #expect(await gateway.cancel(receipt.venueOrder, deadline: .seconds(60)) == .gone)
        }
    }

    @Test func `the stream follows the books to the end without a gap, and the market settles`() async throws {
        var random = SeededGenerator(seed: 3)
        let quotes = (0..<60).map { _ in Int.random(in: 5...90, using: &random) }
        try await PlayedVenue.with(quotes: quotes, speed: 2_000) { venue in
            let feed = KalshiMarketFeed(
                url: try #require(WebSocketURL(venue.webSocketURL)), signer: nil, time: venue.shown.time,
                clock: .real, random: .seeded(1), log: Fixture.log)
            feed.setMarkets([PlayedVenue.home, PlayedVenue.away])
            let running = Task { try await feed.run() }
            let books = BooksSeen()
            let listening = Task { for await batch in feed.events { await books.take(batch) } }
            try await eventually(within: .seconds(60), "both books") { feed.status.books == 2 }
            try await venue.start()
            try await venue.untilFinished()
            for market in [PlayedVenue.home, PlayedVenue.away] {
                let (book, _) = try await venue.rest.orderBook(market)
                try await eventually(within: .seconds(60), "the last book of \(market)") {
                    await books.latest[market] == book
                }
            }
            #expect(feed.status.frames > 120)
            #expect(await books.invalidations == 0)
            let errors = feed.status.errors.filter { $0.value > 0 }
            #expect(errors.isEmpty, "\(errors)")
            let home = try await venue.rest.venueMarket(PlayedVenue.home)
            let away = try await venue.rest.venueMarket(PlayedVenue.away)
            #expect(home.status == .settled && home.yesValue == .one && away.yesValue == .zero)
            let board = try await venue.scores.scoreboard(.nba)
            #expect(board.games.first?.state.status == .final)
            running.cancel()
            listening.cancel()
            _ = await running.result
        }
    }

    private actor BooksSeen {
        var latest: [MarketID: OrderBook] = [:]
        var invalidations = 0

        func take(_ batch: [MarketEvent]) {
            for event in batch {
                switch event {
                case .book(let market, let book, _):
                    latest[market] = book
                case .invalidated: invalidations += 1
                default: break
                }
            }
        }
    }
}
