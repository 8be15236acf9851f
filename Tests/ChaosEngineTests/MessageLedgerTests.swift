import ChaosEngine
import Testing

@Suite struct MessageLedgerTests {
    private static func ledger(_ numbers: [Int64], life: String = "a") -> MessageLedger {
        var ledger = MessageLedger()
        for number in numbers { ledger.heard(number, on: "signals:new", from: "shard", life: life) }
        return ledger
    }

    @Test(arguments: [
        ([Int64](1...9), 0), ([7, 8, 9], 0), ([7, 9], 1), ([1, 2, 6], 3), ([1, 3, 2], 0), ([1, 4, 3], 1), ([], 0),
    ])
    func `a number that was passed over and never came is missing`(_ numbers: [Int64], _ missing: Int) {
        let sum = Self.ledger(numbers).sum
        #expect(sum.missing == missing && sum.heard == numbers.count)
    }

    @Test func `a later life begins at 1, and a channel has numbers of its own`() {
        var ledger = Self.ledger([5, 6])
        ledger.heard(1, on: "signals:new", from: "shard", life: "b")
        ledger.heard(40, on: "execution:requests", from: "shard", life: "b")
        #expect(ledger.sum.missing == 0)
        ledger.heard(3, on: "signals:new", from: "shard", life: "c")
        #expect(ledger.sum.missing == 2)
    }

    @Test func `what was on the bus is asked for until PostgreSQL has it, oldest first`() {
        var ledger = MessageLedger()
        for (number, name) in [(Int64(1), "x"), (2, "y"), (3, "y"), (4, "z")] {
            ledger.heard(number, on: "signals:new", from: "shard", life: "a", taking: name)
        }
        ledger.heard(1, on: "system:alerts", from: "orchestrator", life: "a")
        #expect(ledger.asked(atMost: 2) == ["x", "y"])
        ledger.databaseHas(["x", "z", "other"])
        #expect(ledger.asked(atMost: 9) == ["y"])
        #expect(ledger.sum == Sample.Messages(heard: 5, missing: 0, waiting: [1], owed: 3))
        ledger.writeOff()
        ledger.heard(5, on: "signals:new", from: "shard", life: "a", taking: "late")
        #expect(ledger.sum.waiting == [3], "only what came since is still owed")
    }
}
