import Domain
import ExecutionServiceEngine
import Resilience
import Testing

/// Compares what a mutating call returned, which `#expect` cannot call itself.
private func same<V: Equatable>(_ got: V, _ wanted: V, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(got == wanted, sourceLocation: sourceLocation)
}

/// CHECKLIST H28.
struct MarketLocksTests {
    @Test func `all markets are taken or none, and freed by their holder alone`() {
        var locks = MarketLocks()
        same(locks.take(["A", "B"], for: "plan-1"), true)
        same(locks.take(["B", "C"], for: "plan-2"), false)
        #expect(locks.holder(of: "C") == nil, "nothing is taken by halves")
        same(locks.take(["A"], for: "plan-1"), true)
        locks.release("plan-2")
        #expect(locks.count == 2)
        locks.release("plan-1")
        same(locks.take(["B", "C"], for: "plan-2"), true)
        #expect(locks.count == 2)
    }
}

struct AccountBudgetTests {
    private let limits: AccountBudget.Limits

    init() throws { limits = try AccountBudget.Limits() }

    @Test func `orders stop where the cancels' reserve begins, and tokens come back with time`() {
        var budget = AccountBudget()
        var orders = 0
        while budget.take(.order, limits, at: 1_000_000) == .granted { orders += 1 }
        #expect(orders == 8)
        same(budget.take(.order, limits, at: 1_000_000), .wait(.milliseconds(100)))
        var cancels = 0
        while budget.take(.cancel, limits, at: 1_000_000) == .granted { cancels += 1 }
        #expect(cancels == 10)
        same(budget.take(.cancel, limits, at: 1_000_000), .wait(.milliseconds(20)))
        same(budget.take(.order, limits, at: 1_300_000), .granted)
        same(budget.take(.order, limits, at: 1_300_000), .wait(.milliseconds(100)))
    }

    @Test(arguments: 0..<20)
    func `whoever asks and whenever, no second grants more than the venue allows`(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var budget = AccountBudget()
        var now: Int64 = 5_000_000
        var spent: [(at: Int64, tokens: Int64)] = []
        for _ in 0..<2_000 {
            now += Int64.random(in: 0...30_000, using: &random)
            let request: AccountBudget.Request = Int.random(in: 0..<4, using: &random) == 0 ? .cancel : .order
            if budget.take(request, limits, at: now) == .granted { spent.append((now, request == .order ? 10 : 2)) }
        }
        for (index, first) in spent.enumerated() {
            let second = spent[index...].prefix { $0.at < first.at + 1_000_000 }
            #expect(second.reduce(0) { $0 + $1.tokens } <= limits.burst + limits.tokensPerSecond, "seed \(seed)")
        }
    }

    @Test func `a refusal without a time pauses longer each time, and one with a time as long as it says`() {
        var budget = AccountBudget()
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] as [Int64] {
            budget.refused(retryAfter: nil, limits, at: 0)
            same(budget.take(.order, limits, at: 0), .wait(.seconds(seconds)))
            same(budget.take(.cancel, limits, at: 0), .wait(.milliseconds(20)))
            same(budget.take(.cancel, limits, at: 20_000), .granted)
            budget = AccountBudget(refusals: budget.refusals)
        }
        budget.accepted()
        budget.refused(retryAfter: .seconds(7), limits, at: 0)
        same(budget.take(.order, limits, at: 0), .wait(.seconds(7)))
        budget.refused(retryAfter: .seconds(1_800), limits, at: 0)
        same(budget.take(.order, limits, at: 0), .wait(.seconds(1_800)))
        same(budget.take(.cancel, limits, at: 61_000_000), .granted)
        budget.refused(retryAfter: .seconds(100_000), limits, at: 0)
        same(budget.take(.order, limits, at: 0), .wait(AccountBudget.longestAsked))
        same(budget.take(.order, limits, at: 3_600_000_000), .granted)
    }

    @Test func `reads pause for as long as the venue says, and longer each time where it does not`() {
        var pause = ReadPause()
        var now = MachineInstant.origin
        #expect(pause.left(at: now) == nil)
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] as [Int64] {
            pause.refused(retryAfter: nil, at: now)
            // It was on its way already.
            pause.refused(retryAfter: nil, at: now)
            #expect(pause.left(at: now) == .seconds(seconds))
            now = now.advanced(by: .seconds(seconds))
            #expect(pause.left(at: now) == nil)
        }
        pause.refused(retryAfter: .seconds(600), at: now)
        pause.answered(at: now)
        pause.refused(retryAfter: .seconds(30), at: now)
        #expect(pause.left(at: now) == .seconds(600), "an answer that was on its way ends nothing")
        now = now.advanced(by: .seconds(600))
        pause.answered(at: now)
        pause.refused(retryAfter: nil, at: now)
        #expect(pause.left(at: now) == .seconds(1))
        pause.refused(retryAfter: .seconds(100_000), at: now)
        #expect(pause.left(at: now) == AccountBudget.longestAsked)
    }

    @Test func `a clock that was set back waits for one bucket at most`() {
        var budget = AccountBudget(fullAt: 1_000_000_000_000)
        same(budget.take(.order, limits, at: 1_000_000), .wait(.milliseconds(300)))
    }

    @Test func `limits that would never grant an order are refused`() {
        for (burst, reserve) in [(100, 91), (5, 0), (100, -1), (0, 0)] as [(Int64, Int64)] {
            #expect(throws: DomainError.self, "\(burst) \(reserve)") {
                try AccountBudget.Limits(burst: burst, reserve: reserve)
            }
        }
    }
}

/// CHECKLIST S20, N33.
struct OrderQueueTests {
    private func item(_ number: Int, _ priority: OrderPriority, _ account: String = "a") -> OrderQueue.Item {
        OrderQueue.Item(intent: IntentID(stringLiteral: "i\(number)"), account: account, priority: priority)
    }

    @Test func `the most urgent goes first, then the oldest`() {
        var queue = OrderQueue()
        let priorities: [OrderPriority] = [.entry, .arbitrage, .entry, .stopLoss, .takeProfit, .repair, .stopLoss]
        for (number, priority) in priorities.enumerated() { queue.add(item(number, priority)) }
        var order: [IntentID] = []
        while let next = queue.next(where: { _ in true }) { order.append(next.intent) }
        #expect(order == ["i3", "i6", "i5", "i4", "i1", "i0", "i2"])
    }

    @Test func `an account at its limit holds up nobody else, and its stop loss still goes`() {
        var queue = OrderQueue()
        queue.add(item(1, .entry, "full"))
        queue.add(item(2, .entry, "free"))
        queue.add(item(3, .stopLoss, "full"))
        let permits: (OrderQueue.Item) -> Bool = { $0.account == "free" || $0.priority == .stopLoss }
        same(queue.next(where: permits)?.intent, "i3")
        same(queue.next(where: permits)?.intent, "i2")
        same(queue.next(where: permits), nil)
        #expect(queue.count == 1)
    }

    @Test func `a full queue drops the least urgent and counts it`() {
        var queue = OrderQueue(capacity: 2)
        same(queue.add(item(1, .entry)), nil)
        same(queue.add(item(1, .entry)), nil)
        #expect(queue.count == 1)
        same(queue.add(item(2, .arbitrage)), nil)
        same(queue.add(item(3, .stopLoss))?.intent, "i1")
        same(queue.add(item(4, .entry))?.intent, "i4")
        #expect(queue.dropped == 2)
        queue.remove("i2")
        #expect(queue.count == 1)
    }
}

struct ExitTests {
    private func decide(
        held: Int64, cost: Int64, bid: Int64, ask: Int64, age: Int64 = 60, bookAge: Int64 = 1, sport: Sport = .nba,
        counted: Int64 = 0
    ) throws -> ExitDecision {
        let position = try Position(
            market: market, netHundredths: held * 100, cost: .cents(cost), realised: .zero, fees: .zero)
        let own = try BookLevel(price: .cents(bid), quantity: .contracts(50))
        let other = try BookLevel(price: .cents(100 - ask), quantity: .contracts(50))
        let book =
            try held >= 0
            ? OrderBook(yesBids: [own], noBids: [other]) : OrderBook(yesBids: [other], noBids: [own])
        return ExitRules().decide(
            position, counted: counted * 100, sport: sport, openedAt: tipOff.advanced(by: .seconds(-age)),
            book: (book, tipOff.advanced(by: .seconds(-bookAge))), step: .linearCent, at: tipOff)
    }

    @Test func `NO is judged by NO's own price`() throws {
        // Bought ten NO at 30 cents; YES at 68 to 70 means NO at 30 to 32: nothing has happened.
        #expect(try decide(held: -10, cost: 300, bid: 30, ask: 32) == .keep(.withinBounds))
        #expect(
            try decide(held: -10, cost: 300, bid: 27, ask: 29)
                == .sell(.no, .contracts(10), limit: .cents(26), .stopLoss))
        #expect(
            try decide(held: -10, cost: 300, bid: 33, ask: 35)
                == .sell(.no, .contracts(10), limit: .cents(32), .takeProfit))
    }

    @Test func `what the pairs of an arbitrage count on is not sold`() throws {
        #expect(
            try decide(held: 50, cost: 2_450, bid: 20, ask: 22, counted: 10)
                == .sell(.yes, .contracts(40), limit: .cents(19), .stopLoss))
        #expect(
            try decide(held: -50, cost: 1_500, bid: 33, ask: 35, counted: -10)
                == .sell(.no, .contracts(40), limit: .cents(32), .takeProfit))
        for counted: Int64 in [10, 11] {
            #expect(try decide(held: 10, cost: 450, bid: 20, ask: 22, counted: counted) == .keep(.hedged))
        }
    }

    @Test func `each reason to keep is said`() throws {
        #expect(try decide(held: 0, cost: 0, bid: 30, ask: 32) == .keep(.flat))
        #expect(try decide(held: 10, cost: 300, bid: 20, ask: 32, age: 9) == .keep(.tooYoung))
        #expect(try decide(held: 10, cost: 300, bid: 20, ask: 32, bookAge: 31) == .keep(.staleBook))
        #expect(try decide(held: 10, cost: 300, bid: 20, ask: 71) == .keep(.wideSpread))
        #expect(try decide(held: 10, cost: 300, bid: 40, ask: 39) == .keep(.noBook), "crossed")
        #expect(try decide(held: 10, cost: 700, bid: 90, ask: 92) == .keep(.settlement))
        #expect(try decide(held: 10, cost: 300, bid: 28, ask: 32) == .keep(.withinBounds))
        let none = ExitRules().decide(
            try Position(market: market, netHundredths: 100, cost: .cents(30), realised: .zero, fees: .zero),
            sport: .nba, openedAt: .epoch, book: nil, step: .linearCent, at: tipOff)
        #expect(none == .keep(.noBook))
    }

    @Test func `the stop is the sport's, and a loss is cut even where the price is high`() throws {
        #expect(try decide(held: 10, cost: 500, bid: 44, ask: 46, sport: .nhl) == .keep(.withinBounds))
        guard case .sell(_, _, _, .stopLoss) = try decide(held: 10, cost: 500, bid: 43, ask: 46, sport: .nhl) else {
            Issue.record("kept")
            return
        }
        guard case .sell(_, _, _, .stopLoss) = try decide(held: 10, cost: 950, bid: 90, ask: 92) else {
            Issue.record("kept")
            return
        }
        #expect(ExitReason.stopLoss.priority < ExitReason.takeProfit.priority)
    }
}
