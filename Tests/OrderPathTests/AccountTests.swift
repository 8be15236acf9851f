import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime
import SignalProcessorEngine
import Testing

@testable import ExecutionService
@testable import SignalProcessor

/// A database trades for one account at a time, paper or live (CHECKLIST R89, decision 0081).
@Suite struct AccountTests {
    private static let live = TradingAccount(.live)
    private static let liveFlags = ["PAPER_TRADING": "false", "LIVE_TRADING_AUTHORIZED": "true"]

    private func withRig(_ body: (Rig) async throws -> Void) async throws {
        let rig = try await Rig()
        try await rig.addGame()
        try await body(rig)
        try await rig.expectBooksToBalance()
        await rig.pool.close(grace: .milliseconds(100))
    }

    private func store(_ rig: Rig, of account: TradingAccount) -> OrderStore {
        OrderStore(pool: rig.pool, account: account, statistics: rig.statistics)
    }

    private func use(_ account: TradingAccount, _ rig: Rig) async throws -> [String: Int64] {
        try await rig.pool.transaction("use") {
            try await account.use(initial: .dollars(500), reason: "a test", by: "me", $0)
        }
    }

    @Test func `the first account is the one that is traded, and another is not opened beside it`() async throws {
        try await withRig { rig in
            #expect(try await TradingAccount.trading(rig.pool) == "paper")
            try await rig.account.open(with: .dollars(7), rig.pool)
            await #expect(throws: TradingAccountError(account: "live", trading: "paper")) {
                try await Self.live.open(with: .dollars(500), rig.pool)
            }
            #expect(try await rig.number("SELECT count(*) AS n FROM bankroll") == 1)
            #expect(try await rig.number("SELECT cash AS n FROM bankroll WHERE account = 'paper'") == 1_000_000_000)
            let error = TradingAccountError(account: "live", trading: "paper")
            #expect(error.description.contains("linesman account use live"))
        }
    }

    @Test func `flags of the other account approve, send, sell and book nothing`() async throws {
        try await withRig { rig in
            let (paper, live) = (store(rig, of: rig.account), store(rig, of: Self.live))
            try await rig.buy(96, at: 40, paper)
            let claim = try await paper.claim(
                rig.approve(name: "s2"), engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear,
                at: tipOff)
            let order = try #require(claim.claimed).order.request.id
            let waiting = try await rig.approve(name: "s3")
            // Its row is there, as after an earlier time of live trading.
            try await rig.pool.execute("INSERT INTO bankroll (account, cash, initial) VALUES ('live', 9, 9)")
            let before = try await rig.text("SELECT md5(string_agg(o::text, '' ORDER BY order_id)) AS t FROM orders o")

            let refused = TradingAccountError(account: "live", trading: nil)
            await #expect(throws: refused) {
                let signals = SignalStore(pool: rig.pool, account: Self.live, statistics: rig.statistics)
                _ = try await signals.process(
                    rig.signal("s4"), trace: nil, engine: SignalProcessorEngine(limits: TradingLimits()), at: tipOff)
            }
            await #expect(throws: refused) {
                _ = try await live.claim(
                    waiting, engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, at: tipOff)
            }
            await #expect(throws: refused) {
                let policy = ExitPolicy()
                _ = try await live.askExit(
                    of: "game-1-HOME", policy, price: rig.price(of: "game-1", bid: 98, ask: 99, at: tipOff),
                    at: tipOff)
            }
            await #expect(throws: refused) { _ = try await live.takePlan("s3", for: "me", lease: .seconds(1)) }
            await #expect(throws: refused) { _ = try await live.book(order, .sent, at: tipOff) }
            await #expect(throws: refused) {
                _ = try await live.settle("game-1-HOME", at: .one, voided: false, now: tipOff)
            }
            #expect(
                try await rig.text("SELECT md5(string_agg(o::text, '' ORDER BY order_id)) AS t FROM orders o")
                    == before)
            #expect(try await rig.number("SELECT count(*) AS n FROM signals") == 3)
            #expect(try await rig.number("SELECT cash AS n FROM bankroll WHERE account = 'live'") == 9)
            // The checks of the books below know of one account.
            try await rig.force("DELETE FROM bankroll WHERE account = 'live'")
        }
    }

    @Test func `the account is changed only while nothing is open, and it is audited`() async throws {
        try await withRig { rig in
            let paper = store(rig, of: rig.account)
            let intent = try await rig.approve(40, at: 40)
            #expect(try await use(Self.live, rig) == ["intents": 1, "reservations": 1])
            let claim = try await paper.claim(
                intent, engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear, at: tipOff)
            let order = try #require(claim.claimed).order
            #expect(try await use(Self.live, rig) == ["intents": 1, "orders": 1, "reservations": 1])
            _ = try await paper.book(order.request.id, .sent, at: tipOff)
            _ = try await paper.book(
                order.request.id, await FakeVenue().submit(order.request, deadline: .origin), at: tipOff)
            #expect(try await use(Self.live, rig) == ["positions": 1])
            #expect(try await use(rig.account, rig) == [:], "what is so already")
            #expect(try await TradingAccount.trading(rig.pool) == "paper")
            #expect(try await rig.number("SELECT count(*) AS n FROM bankroll") == 1)
            #expect(try await rig.number("SELECT count(*) AS n FROM audit_log WHERE event = 'account_changed'") == 0)

            _ = try await paper.settle("game-1-HOME", at: .one, voided: false, now: tipOff)
            #expect(try await use(Self.live, rig) == [:])
            #expect(try await TradingAccount.trading(rig.pool) == "live")
            #expect(try await rig.number("SELECT cash AS n FROM bankroll WHERE account = 'live'") == 500_000_000)
            let audited = try await rig.text(
                """
                SELECT concat_ws(' ', details->>'from', details->>'to', details->>'by', details->>'reason') AS t
                FROM audit_log WHERE event = 'account_changed'
                """)
            #expect(audited == "paper live me a test")
            await #expect(throws: TradingAccountError.self) {
                try await rig.account.open(with: .dollars(1_000), rig.pool)
            }
            try await Self.live.open(with: .dollars(1), rig.pool)
            // The venue lists what was bought with money; paper's fills are nothing that it forgot.
            let venue = VenueSnapshot(orders: [], fills: [], positions: [:], balance: .dollars(500))
            let own = try await store(rig, of: Self.live).own(of: venue, since: nil)
            #expect(own.expectedFills.isEmpty && own.balance == .dollars(500) && own.positions.isEmpty)
            #expect(try await use(rig.account, rig) == [:], "and back")
            let again = try await paper.own(of: venue, since: nil)
            #expect(again.expectedFills.count == 1)
        }
    }

    @Test func `a database of both accounts, from before there was a choice, is given to one by a person`()
        async throws
    {
        try await withRig { rig in
            let paper = store(rig, of: rig.account)
            try await rig.buy(96, at: 40, paper)
            let claim = try await paper.claim(
                rig.approve(name: "s2"), engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear,
                at: tipOff)
            let order = try #require(claim.claimed).order.request.id
            try await rig.pool.execute("INSERT INTO bankroll (account, cash, initial) VALUES ('live', 9, 9)")
            try await rig.pool.execute("UPDATE bankroll SET is_trading = false")
            try await rig.pool.execute("UPDATE orders SET account = NULL")
            for account in [rig.account, Self.live] {
                await #expect(throws: TradingAccountError(account: account.name, trading: nil)) {
                    try await account.open(with: .dollars(1_000), rig.pool)
                }
            }
            await #expect(throws: TradingAccountError.self) { _ = try await paper.book(order, .sent, at: tipOff) }
            #expect(try await use(rig.account, rig) == [:], "what is open is said to be its own")
            try await rig.account.open(with: .dollars(1_000), rig.pool)
            _ = try await paper.book(order, .sent, at: tipOff)
            #expect(try await rig.text("SELECT account AS t FROM orders WHERE state = 'sent'") == "paper")
            #expect(try await !use(Self.live, rig).isEmpty, "and now it is in the way")
            try await rig.force("DELETE FROM bankroll WHERE account = 'live'")
        }
    }

    @Test func `the account that an older build has opened is the one that is traded`() async throws {
        try await withRig { rig in
            try await rig.pool.execute("UPDATE bankroll SET is_trading = false")
            try await rig.account.open(with: .dollars(7), rig.pool)
            #expect(try await TradingAccount.trading(rig.pool) == "paper")
        }
    }

    @Test func `an approval and a change of the account at the same moment: one of them comes first`() async throws {
        let rig = try await Rig()
        for number in 0..<60 { try await rig.addGame(GameID(stringLiteral: "game-\(number)")) }
        var approved = 0
        for number in 0..<60 {
            let game = GameID(stringLiteral: "game-\(number)")
            let signals = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
            let signal = try rig.signal(SignalID(stringLiteral: "s\(number)"), game: game)
            async let verdict = Result {
                try await signals.process(
                    signal, trace: nil, engine: SignalProcessorEngine(limits: TradingLimits()), at: tipOff)
            }
            async let change = use(Self.live, rig)
            let (came, open) = (await verdict, try await change)
            switch came {
            case .success(.decided(.approved)):
                approved += 1
                #expect(open == ["intents": 1, "reservations": 1])
                #expect(try await TradingAccount.trading(rig.pool) == "paper")
                let intent = IntentNames.derived(from: signal.id).intent
                let late = try await store(rig, of: rig.account).claim(
                    intent, engine: ExecutionServiceEngine(safeguards: Safeguards()), seen: .clear,
                    at: tipOff.advanced(by: .seconds(600)))
                #expect(late.decision == .expire)
            case .failure(is TradingAccountError):
                #expect(open == [:])
                #expect(try await use(rig.account, rig) == [:])
            default: Issue.record("\(came)")
            }
        }
        #expect(try await rig.number("SELECT count(*) AS n FROM intents") == Int64(approved))
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test func `an execution-service with other flags does not start, and one whose account is changed ends`()
        async throws
    {
        try await withOrderPath { path in
            path.startSignalProcessor()
            try await eventually("the account is open") {
                try await TradingAccount.trading(path.rig.pool) == "paper"
            }
            path.startExecution(Self.liveFlags)
            try await path.publish(path.rig.signal("s1"))
            try await eventually("an intent waits") { try await path.rig.number(Self.intents) == 1 }
            #expect(path.venue.submits.isEmpty)
            #expect(await path.stop() == [.ok, .configuration])
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 0)

            path.startExecution()
            try await path.untilOrder(.filled)
            path.venue.settle("game-1-HOME", at: .one)
            try await eventually("settled") {
                try await path.rig.text("SELECT state AS t FROM positions") == "settled"
            }
            try await path.rig.expectBooksToBalance()
            #expect(try await use(Self.live, path.rig) == [:])
            try await path.untilAlert("tradingAccountChanged:execution-service/1")
            // It has ended by itself: nobody takes what the live account approves.
            #expect(await path.ended() == [.ok])
            #expect(try await use(path.rig.account, path.rig) == [:])
            try await path.rig.force("DELETE FROM bankroll WHERE account = 'live'")
        }
    }

    private static let intents: SQL = "SELECT count(*) AS n FROM intents WHERE state = 'approved'"
}

extension Result where Failure == any Error {
    /// What the body returns or throws.
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
