import Domain
import ExecutionServiceEngine
import Hosting
import Runtime
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor

extension VenueReadings {
    /// Nothing that speaks against an order.
    static let clear = VenueReadings(isReconciled: true)
}

/// What is looked at in the transaction that stores an order (CHECKLIST R86, R87).
@Suite struct ClaimTests {
    private struct Desk {
        let rig: Rig
        let store: OrderStore

        init() async throws {
            rig = try await Rig()
            try await rig.addGame()
            store = OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        }

        /// An approved intent to buy; 96 contracts at 50 cents.
        func entry(_ id: SignalID = "s1", game: GameID = "game-1") async throws -> IntentID {
            let signals = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
            _ = try await signals.process(
                try rig.signal(id, game: game), trace: nil, engine: .init(limits: .init()),
                marks: rig.mark(50, of: "game-1"), at: tipOff)
            return try #require(try await store.waitingIntents().last)
        }

        /// An approved intent to sell some of what was bought first.
        func exit(_ id: IntentID, contracts: Int64) async throws -> IntentID {
            try await rig.addExit(id, contracts: contracts)
        }

        func claim(
            _ intent: IntentID, _ safeguards: Safeguards = Safeguards(), seen: VenueReadings = .clear
        ) async throws -> IntentClaim {
            try await store.claim(
                intent, engine: ExecutionServiceEngine(safeguards: safeguards), seen: seen, at: tipOff)
        }

        /// Sends an order to a venue that fills it.
        func fill(_ order: OrderRecord) async throws {
            _ = try await store.book(order.request.id, .sent, at: tipOff)
            let news = await FakeVenue().submit(order.request, deadline: .origin)
            _ = try await store.book(order.request.id, news, at: tipOff)
        }

        func state(_ intent: IntentID) async throws -> String? {
            try await rig.text("SELECT state AS t FROM intents WHERE intent_id = \(intent.rawValue)")
        }
    }

    private func withDesk(_ body: (Desk) async throws -> Void) async throws {
        let desk = try await Desk()
        try await body(desk)
        await desk.rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `exits are counted apart from entries, and one too many waits`() async throws {
        try await withDesk { desk in
            var tight = Safeguards()
            (tight.ordersPerMinute, tight.ordersPerHour, tight.exitsPerMinute) = (1, 1, 1)
            try await desk.fill(try #require(try await desk.claim(desk.entry(), tight).claimed).order)
            let first = try await desk.claim(desk.exit("exit-1", contracts: 40), tight)
            #expect(first.decision == .send(attempt: 1))
            try await desk.fill(try #require(first.claimed).order)
            #expect(try await desk.rig.number("SELECT count(*) AS n FROM orders WHERE reduces") == 1)
            let second = try await desk.claim(desk.exit("exit-2", contracts: 40), tight)
            #expect(second.decision == .wait && second.claimed == nil)
            #expect(try await desk.state("exit-2") == "approved")
            try await desk.rig.addGame("game-2")
            let entry = try await desk.entry("s2", game: "game-2")
            tight.ordersPerMinute = 2
            tight.ordersPerHour = 2
            #expect(try await desk.claim(entry, tight).decision == .send(attempt: 1), "the exit was not counted")
        }
    }

    // CHECKLIST S20.
    @Test func `a day's orders used up end the entries of one account at one venue, and nothing else`() async throws {
        try await withDesk { desk in
            var tight = Safeguards()
            tight.ordersPerDay = 2
            try await desk.fill(try #require(try await desk.claim(desk.entry(), tight).claimed).order)
            let sold = try await desk.claim(desk.exit("exit-1", contracts: 40), tight)
            try await desk.fill(try #require(sold.claimed).order)
            let key = "paper:orders:kalshi"
            #expect(try await desk.rig.number("SELECT value AS n FROM daily_stats WHERE key = \(key)") == 2)
            try await desk.rig.addGame("game-2")
            let entry = try await desk.entry("s2", game: "game-2")
            #expect(try await desk.claim(entry, tight).decision == .refuse(.ordersPerDay))
            #expect(try await desk.state(entry) == "refused")
            #expect(
                try await desk.rig.text("SELECT event AS t FROM audit_log ORDER BY id DESC LIMIT 1")
                    == "rate_limit_exceeded")
            let exit = try await desk.claim(desk.exit("exit-2", contracts: 40), tight)
            #expect(exit.decision == .send(attempt: 1), "exits are sent beyond it")

            try await desk.rig.addGame("game-3")
            let elsewhere = try await desk.rig.approve(in: "game-3", name: "s3")
            try await desk.rig.pool.execute(
                "UPDATE market_mappings SET venue = 'polymarket' WHERE game_id = 'game-3'")
            #expect(try await desk.claim(elsewhere, tight).decision == .send(attempt: 1), "another account")

            try await desk.rig.addGame("game-4")
            let tomorrow = try await desk.rig.approve(in: "game-4", name: "s4")
            try await desk.rig.pool.execute("UPDATE daily_stats SET day = day - 1")
            #expect(try await desk.claim(tomorrow, tight).decision == .send(attempt: 1), "another day")
        }
    }

    @Test func `an order counts on its day once it is marked as sent, and as if it were in shadow mode`() async throws {
        try await withDesk { desk in
            func sent() async throws -> Int64 {
                try await desk.rig.number("SELECT value AS n FROM daily_stats WHERE key = 'paper:orders:kalshi'")
            }
            let marked = try await desk.store.claim(
                desk.entry(), engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, marking: true,
                at: tipOff)
            #expect(try #require(marked.claimed).order.state == .sent)
            #expect(try await sent() == 1)
            try await desk.rig.addGame("game-2")
            let shadow = try #require(try await desk.claim(desk.entry("s2", game: "game-2")).claimed).order
            #expect(try await sent() == 1)
            _ = try await desk.store.book(
                shadow.request.id, .notSent(reason: OrderRecord.shadow), at: tipOff)
            #expect(try await sent() == 2)
            try await desk.rig.addGame("game-3")
            let held = try #require(try await desk.claim(desk.entry("s3", game: "game-3")).claimed).order
            _ = try await desk.store.book(held.request.id, .notSent(reason: "interrupted"), at: tipOff)
            #expect(try await sent() == 2, "it never left")
        }
    }

    @Test func `two exits of one position follow one another, and the second cannot open the other side`() async throws
    {
        try await withDesk { desk in
            try await desk.fill(try #require(try await desk.claim(desk.entry()).claimed).order)
            let first = try await desk.claim(desk.exit("exit-1", contracts: 96))
            let order = try #require(first.claimed).order
            let second = try await desk.exit("exit-2", contracts: 96)
            #expect(try await desk.claim(second).decision == .wait, "the market has an order")
            #expect(try await desk.store.waitingIntents() == [second])
            try await desk.fill(order)
            #expect(try await desk.claim(second).decision == .refuse(.notHeld))
            #expect(try await desk.state(second) == "refused")
            #expect(try await desk.rig.number("SELECT net_quantity AS n FROM positions") == 0)
            try await desk.rig.expectBooksToBalance()
        }
    }

    @Test func `an exit waits while the kill switch is engaged, and an entry ends`() async throws {
        try await withDesk { desk in
            try await desk.fill(try #require(try await desk.claim(desk.entry()).claimed).order)
            try await desk.rig.addGame("game-2")
            let entry = try await desk.entry("s2", game: "game-2")
            let exit = try await desk.exit("exit-1", contracts: 10)
            try await desk.rig.pool.execute("UPDATE kill_switch SET engaged = true")
            #expect(try await desk.claim(exit).decision == .wait)
            #expect(try await desk.claim(entry).decision == .refuse(.killSwitch))
            try await desk.rig.pool.execute("UPDATE kill_switch SET engaged = false")
            #expect(try await desk.claim(exit).decision == .send(attempt: 1))
            try await desk.rig.expectBooksToBalance()
        }
    }

    // CHECKLIST H26.
    @Test func `an ask that has moved refuses an entry, and an old one says nothing`() async throws {
        try await withDesk { desk in
            let prices = LatestPrices(metrics: MetricsRegistry())
            func tell(_ cents: Int64, at: VenueInstant) throws {
                prices.note(
                    PriceUpdate(
                        game: "game-1", market: "game-1-HOME", yesBid: nil,
                        yesAsk: try BookLevel(price: .cents(cents), quantity: .contracts(100)), at: at))
            }
            let seen = VenueReadings(isReconciled: true, prices: prices)
            let entry = try await desk.entry()
            try tell(60, at: tipOff.advanced(by: .seconds(-31)))
            #expect(prices.fresh("game-1-HOME", at: tipOff) == nil)
            try tell(52, at: tipOff.advanced(by: .seconds(-1)))
            try tell(50, at: tipOff.advanced(by: .seconds(-20)))
            #expect(prices.fresh("game-1-HOME", at: tipOff)?.yesAsk?.price == .cents(52), "the newest counts")
            #expect(try await desk.claim(entry, seen: seen).decision == .refuse(.slippage))
            #expect(try await desk.state(entry) == "refused")
            try await desk.rig.addGame("game-2")
            let other = try await desk.entry("s2", game: "game-2")
            #expect(try await desk.claim(other, seen: seen).decision == .send(attempt: 1), "no price of its market")
        }
    }

    @Test func `an entry waits for a balance, and the smaller of the venue's and ours counts`() async throws {
        try await withDesk { desk in
            let entry = try await desk.entry()
            func claim(_ balance: VenueReadings.Balance) async throws -> SendDecision {
                try await desk.claim(entry, seen: VenueReadings(isReconciled: true, balance: balance)).decision
            }
            #expect(try await claim(.unread) == .wait)
            #expect(try await claim(.read(.dollars(1_000), age: .seconds(120), asked: 0)) == .wait)
            #expect(try await desk.state(entry) == "approved")
            #expect(try await claim(.read(.dollars(50), age: .zero, asked: 0)) == .refuse(.insufficientBalance))
            #expect(try await desk.state(entry) == "refused")
            try await desk.rig.addGame("game-2")
            let other = try await desk.entry("s2", game: "game-2")
            let rich = VenueReadings(
                isReconciled: true, balance: .read(.dollars(1_000_000), age: .seconds(119), asked: 0))
            try await desk.rig.pool.execute("UPDATE bankroll SET cash = 50000000")
            #expect(try await desk.claim(other, seen: rich).decision == .refuse(.insufficientBalance))
        }
    }

    // CHECKLIST R88, DOMAIN 2.8.
    @Test func `what was bought since the venue told its balance is spent, and what it knew is not twice`() async throws
    {
        try await withDesk { desk in
            let asked = try await VenueBalances.now(desk.rig.pool)
            func seen(_ asked: Int64) -> VenueReadings {
                VenueReadings(isReconciled: true, balance: .read(.dollars(150), age: .zero, asked: asked))
            }
            func order(_ number: Int) async throws -> IntentID {
                let game = GameID(stringLiteral: "game-\(number)")
                if number > 1 { try await desk.rig.addGame(game) }
                return try await desk.rig.approve(100, at: 95, in: game, name: "s\(number)")
            }
            let first = try await order(1)
            try await desk.rig.force("UPDATE reservations SET amount = 100000000")
            let sent = try await desk.claim(first, seen: seen(asked))
            try await desk.fill(try #require(sent.claimed).order)
            #expect(try await desk.rig.number("SELECT cash AS n FROM bankroll") > 900_000_000, "our books have more")

            let second = try await order(2)
            #expect(try await desk.claim(second, seen: seen(asked)).decision == .refuse(.insufficientBalance))
            let later = try await VenueBalances.now(desk.rig.pool)
            let third = try await order(3)
            #expect(try await desk.claim(third, seen: seen(later)).decision == .send(attempt: 1))
        }
    }

    @Test(arguments: [SendRefusal.orderValue, .orderContracts, .countOffStep, .priceOutOfBounds, .priceOffStep])
    func `an order of too much, or at a price or a count out of bounds or off the step, ends with its reservation`(
        reason: SendRefusal
    ) async throws {
        try await withDesk { desk in
            var tight = Safeguards()
            switch reason {
            case .orderValue: tight.orderValue = .cents(47_99)
            case .orderContracts: tight.orderContracts = 95
            case .priceOffStep, .countOffStep: break
            default: tight.priceBounds = .cents(51)...(.cents(95))
            }
            let entry = try await desk.entry()
            if reason == .priceOffStep {
                try await desk.rig.force("UPDATE intents SET limit_price = 5050")
            }
            if reason == .countOffStep { try await desk.rig.force("UPDATE intents SET quantity = 552") }
            #expect(try await desk.claim(entry, tight).decision == .refuse(reason))
            #expect(try await desk.state(entry) == "refused")
            #expect(try await desk.rig.text("SELECT state AS t FROM reservations") == "released")
            #expect(try await desk.rig.number("SELECT count(*) AS n FROM orders") == 0)
            let told = try await desk.rig.number(
                "SELECT count(*) AS n FROM audit_log WHERE details->>'reason' = \(reason.rawValue)")
            #expect(told == 1)
        }
    }

    @Test func `a part of a contract is bought where one is held already, and sold again`() async throws {
        try await withDesk { desk in
            let order = try #require(try await desk.claim(desk.entry()).claimed).order
            let part = try Fill(
                id: "part", order: order.request.id, market: order.request.market, outcome: .yes, action: .buy,
                price: .cents(50), quantity: Quantity(contracts: "5.52"), fee: .zero, at: tipOff)
            for news in [OrderNews.sent, .accepted("v-1", fills: [part], reported: part.quantity, rests: false)] {
                _ = try await desk.store.book(order.request.id, news, at: tipOff)
            }
            let more = try await desk.rig.approve(2, name: "s2")
            try await desk.rig.force("UPDATE intents SET quantity = 50 WHERE intent_id = 's2'")
            let second = try #require(try await desk.claim(more).claimed).order.request.id
            for news in [OrderNews.sent, .refused(reason: "insufficient_balance")] {
                _ = try await desk.store.book(second, news, at: tipOff)
            }
            let exit = try await desk.exit("exit-1", contracts: 5)
            try await desk.rig.force("UPDATE intents SET quantity = 552 WHERE intent_id = 'exit-1'")
            #expect(try await desk.claim(exit).decision == .send(attempt: 1))
        }
    }

    // CHECKLIST R85.
    @Test func `of twenty-five orders in a minute twenty go, and the next minute has room again`() async throws {
        try await withDesk { desk in
            try await desk.rig.pool.execute("UPDATE bankroll SET cash = 10000000000")
            let start = tipOff.advanced(by: .seconds(-61))
            var decisions: [SendDecision: Int] = [:]
            func claim(_ number: Int, at now: VenueInstant) async throws -> SendDecision {
                let game = GameID(stringLiteral: "many-\(number)")
                try await desk.rig.addGame(game)
                return try await desk.store.claim(
                    desk.rig.approve(2, in: game, name: "s-\(number)"),
                    engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, at: now
                ).decision
            }
            for number in 1...25 {
                let at = start.advanced(by: .milliseconds(Int64(number) * 100))
                decisions[try await claim(number, at: at), default: 0] += 1
            }
            #expect(decisions == [.send(attempt: 1): 20, .refuse(.ordersPerMinute): 5])
            let released = try await desk.rig.number("SELECT count(*) AS n FROM reservations WHERE state = 'released'")
            #expect(released == 5)
            #expect(try await claim(26, at: start.advanced(by: .milliseconds(60_101))) == .send(attempt: 1))
        }
    }

    @Test func `a second attempt that was never made is found again`() async throws {
        try await withDesk { desk in
            let entry = try await desk.entry()
            let order = try #require(try await desk.claim(entry).claimed).order.request.id
            #expect(try await desk.store.waitingIntents() == [])
            for news in [OrderNews.sent, .unanswered(reason: "timeout"), .provenAbsent(retries: true)] {
                _ = try await desk.store.book(order, news, at: tipOff)
            }
            // The process died here: the intent is being sent, and no order of it lives.
            #expect(try await desk.state(entry) == "sending")
            #expect(try await desk.store.waitingIntents() == [entry])
            #expect(try await desk.claim(entry).decision == .send(attempt: 2))
            #expect(try await desk.store.waitingIntents() == [])
        }
    }

    /// Decision 0057: the hint travels beside the commit.
    @Test func `who looks for an intent before it is committed waits, and finds it`() async throws {
        try await withDesk { desk in
            let signals = SignalStore(pool: desk.rig.pool, account: desk.rig.account, statistics: desk.rig.statistics)
            let looking = Promise<Task<IntentClaim, any Error>>()
            let outcome = try await signals.process(
                try desk.rig.signal("s1"), trace: nil, engine: .init(limits: .init()), at: tipOff
            ) { intent in
                looking.fulfil(Task { try await desk.claim(intent.id) })
            }
            guard case .decided(.approved(let intent, _)) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            let claim = try await looking.value().value
            #expect(claim.decision == .send(attempt: 1))
            #expect(claim.claimed?.intent == intent)
        }
    }
}
