import Domain
import ExecutionServiceEngine
import Resilience
import Testing

struct OrderLanesTests {
    private func item(
        _ number: Int, _ priority: OrderPriority = .entry, account: String = "a", market: Int? = nil
    ) -> OrderQueue.Item {
        OrderQueue.Item(
            intent: IntentID(stringLiteral: "i\(number)"), account: account,
            markets: [MarketID(stringLiteral: "M\(market ?? number)")], priority: priority)
    }

    private func startAll(_ lanes: inout OrderLanes) -> [IntentID] {
        var started: [IntentID] = []
        while let next = lanes.start() { started.append(next.intent) }
        return started
    }

    @Test func `entries leave lanes for what limits a loss, in their own account and in others`() {
        var lanes = OrderLanes(perAccount: 4, kept: 2)
        for number in 0..<6 { lanes.offer(item(number)) }
        lanes.offer(item(10, account: "b"))
        #expect(startAll(&lanes) == ["i0", "i1", "i10"])
        lanes.offer(item(20, .takeProfit))
        lanes.offer(item(21, .stopLoss))
        lanes.offer(item(22, .repair))
        #expect(startAll(&lanes) == ["i21", "i22"], "the most urgent first, and no more than there are lanes")
        #expect(lanes.inFlight == 5)
        #expect(lanes.waiting == 5)
        lanes.finish("i0")
        #expect(startAll(&lanes) == ["i20"])
        lanes.finish("i1")
        #expect(startAll(&lanes) == ["i2"], "an entry goes where another has landed")
    }

    @Test func `a market has one order at a time, and the others go by`() {
        var lanes = OrderLanes()
        for number in 0..<3 { lanes.offer(item(number, market: 7)) }
        lanes.offer(item(3))
        #expect(startAll(&lanes) == ["i0", "i3"])
        lanes.offer(item(0, market: 7))
        #expect(lanes.waiting == 2, "what is on its way does not wait as well")
        lanes.finish("i0")
        lanes.finish("i0")
        #expect(startAll(&lanes) == ["i1"])
        #expect(lanes.lockedMarkets == 2)
    }

    @Test(arguments: 0..<20)
    func `whatever is offered and lands, lanes and markets are never used twice, and all of it goes`(seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        var lanes = OrderLanes(perAccount: 3, kept: 1, queue: OrderQueue(capacity: 50))
        var running: [OrderQueue.Item] = []
        var (offered, landed) = (0, 0)
        for step in 0..<2_000 {
            if step < 1_000, Bool.random(using: &random) {
                let priority = OrderPriority.allCases.randomElement(using: &random) ?? .entry
                let account = Bool.random(using: &random) ? "a" : "b"
                lanes.offer(
                    item(step, priority, account: account, market: Int.random(in: 0..<5, using: &random)))
                offered += 1
            }
            while let next = lanes.start() { running.append(next) }
            for account in ["a", "b"] {
                let own = running.filter { $0.account == account }
                #expect(own.count <= 3, "seed \(seed)")
                #expect(own.filter { !$0.priority.reducesRisk }.count <= 2, "seed \(seed)")
            }
            let markets = running.flatMap(\.markets)
            #expect(Set(markets).count == markets.count && lanes.lockedMarkets == markets.count, "seed \(seed)")
            if !running.isEmpty, Bool.random(using: &random) {
                lanes.finish(running.remove(at: Int.random(in: 0..<running.count, using: &random)).intent)
                landed += 1
            }
        }
        #expect(lanes.inFlight == 0 && lanes.waiting == 0, "seed \(seed)")
        #expect(landed + lanes.dropped == offered, "seed \(seed)")
    }
}
