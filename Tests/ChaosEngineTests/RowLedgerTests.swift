import ChaosEngine
import Testing

@Suite struct RowLedgerTests {
    @Test func `what was seen is asked for once by name, and what is gone counts once for good`() {
        var ledger = RowLedger()
        ledger.saw(["b", "a"], in: .signals)
        ledger.saw(["a"], in: .signals)
        ledger.saw(["a"], in: .fills)
        #expect(ledger.names(in: .signals) == ["a", "b"] && ledger.names(in: .intents).isEmpty)
        #expect(ledger.missing == 0)
        ledger.databaseLacks(["a"], in: .signals)
        ledger.databaseLacks(["a"], in: .signals)
        ledger.databaseLacks(["a"], in: .fills)
        #expect(ledger.missing == 2, "of two tables")
        ledger.databaseLacks([], in: .signals)
        #expect(ledger.missing == 2, "one that comes back was gone all the same")
    }
}
