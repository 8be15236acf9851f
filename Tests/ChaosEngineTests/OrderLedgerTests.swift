import ChaosEngine
import Resilience
import Testing

/// Orders of the venue and of PostgreSQL, compared by name.
@Suite struct OrderLedgerTests {
    /// As the sampler asks: venue, PostgreSQL, PostgreSQL, venue.
    private static func look(
        _ ledger: inout OrderLedger, venue: [String], known: [String: Bool], placed: Set<String>, later: [String] = []
    ) {
        ledger.venueHasTaken(venue)
        let asked = ledger.asked
        ledger.databaseKnows(of: asked, known.filter { asked.contains($0.key) })
        ledger.venueHasTaken(later)
        ledger.databaseHasPlaced(placed)
    }

    @Test func `orders on their way are nobody's trouble, however slow both sides are`() {
        var ledger = OrderLedger()
        // The answer to b is on its way; c is taken while PostgreSQL is asked.
        Self.look(&ledger, venue: ["a", "b"], known: ["a": true, "b": false], placed: ["a"], later: ["c"])
        #expect(ledger.sum == Sample.Orders(taken: 3, waiting: [1, 2]))
        #expect(ledger.asked == ["b", "c"])
        Self.look(&ledger, venue: [], known: ["b": true, "c": true], placed: ["a", "b", "c"])
        #expect(ledger.sum == Sample.Orders(taken: 3))
    }

    @Test func `an order that the venue has and PostgreSQL never stored is strange, and stays so`() {
        var ledger = OrderLedger()
        Self.look(&ledger, venue: ["a", "b"], known: ["a": true], placed: ["a"])
        #expect(ledger.sum.strange == 1)
        Self.look(&ledger, venue: [], known: ["b": true], placed: ["a", "b"])
        #expect(ledger.sum == Sample.Orders(taken: 2, strange: 1))
    }

    @Test func `an order that is taken twice under one name is strange`() {
        var ledger = OrderLedger()
        Self.look(&ledger, venue: ["a"], known: ["a": true], placed: ["a"])
        Self.look(&ledger, venue: ["a"], known: ["a": true], placed: ["a"])
        #expect(ledger.sum == Sample.Orders(taken: 2, strange: 1))
    }

    @Test func `an order that is placed and not at the venue, and a row that is gone, are missing`() {
        var ledger = OrderLedger()
        Self.look(&ledger, venue: ["a"], known: ["a": true], placed: ["a", "b"])
        #expect(ledger.sum.missing == 1)
        Self.look(&ledger, venue: [], known: [:], placed: ["b"])
        #expect(ledger.sum.missing == 2)
    }
}
