import Domain
import ExecutionServiceEngine
import Testing

/// What an order that we do not know would be as one of ours (decision 0082).
struct AdoptionTests {
    private func part(
        _ id: FillID, _ contracts: Int64, yes cents: Int64, _ bought: Outcome? = .yes, in other: MarketID? = nil,
        fee: Money? = nil, at seconds: Int64 = 0
    ) -> VenueFillState {
        VenueFillState(
            id: id, venueOrder: "v1", market: other ?? market, quantity: .contracts(contracts), yesPrice: .cents(cents),
            bought: bought, fee: fee, at: tipOff.advanced(by: .seconds(seconds)))
    }

    private func decide(
        _ fills: [VenueFillState], listed: VenueOrderState? = nil, listedFills: Set<FillID>? = nil
    ) -> Adoption.Decision {
        let order = ForeignOrder(
            "v1", fills: fills, listed: listed, listedFills: listedFills ?? Set(fills.map(\.id)))
        return Adoption.decide(order, as: "o1", fees: .kalshi)
    }

    private func listed(filled contracts: Int64, isOpen: Bool = false) -> VenueOrderState {
        VenueOrderState(
            venueOrder: "v1", key: nil, market: market, filled: .contracts(contracts), isOpen: isOpen)
    }

    private func adopted(_ decision: Adoption.Decision) throws -> Adoption {
        guard case .adopt(let adoption) = decision else {
            Issue.record("\(decision)")
            throw DomainError(.inconsistent, field: "decision", value: "\(decision)", expected: "adopt")
        }
        return adoption
    }

    @Test func `its limit is its worst price, and its fills are in the order in which they traded`() throws {
        let adoption = try adopted(
            decide([part("f2", 2, yes: 45, at: 1), part("f1", 3, yes: 40)], listed: listed(filled: 5)))
        #expect(adoption.request.limit == .cents(45) && adoption.request.quantity == .contracts(5))
        #expect(adoption.request.outcome == .yes && adoption.request.action == .buy)
        #expect(adoption.fills.map(\.id) == ["f1", "f2"] && adoption.fills.map(\.price) == [.cents(40), .cents(45)])
    }

    @Test func `what bought NO has the price of NO`() throws {
        let adoption = try adopted(decide([part("f1", 3, yes: 40, .no, fee: .cents(6))]))
        #expect(adoption.request.outcome == .no && adoption.request.limit == .cents(60))
        #expect(adoption.fills.map(\.price) == [.cents(60)] && adoption.withComputedFees.isEmpty)
        #expect(adoption.value == .cents(186))
    }

    @Test func `a fee that was not told is the one of the schedule, over the order as a whole`() throws {
        let adoption = try adopted(decide([part("f1", 1, yes: 50, fee: .cents(9)), part("f2", 1, yes: 50, at: 1)]))
        let whole = FeeSchedule.kalshi.fee(.contracts(2), at: .cents(50))
        let first = FeeSchedule.kalshi.fee(.contracts(1), at: .cents(50))
        #expect(adoption.fills.map(\.fee) == [.cents(9), whole - first])
        #expect(adoption.withComputedFees == ["f2"])
    }

    @Test func `what is not whole, not certain or not tradable is refused`() {
        let one = part("f1", 1, yes: 40)
        #expect(decide([]) == .refuse(.notKept))
        #expect(decide([part("f1", 1, yes: 40, nil)]) == .refuse(.sideUnknown))
        #expect(decide([one, part("f2", 1, yes: 40, nil, at: 1)]) == .refuse(.sideUnknown))
        #expect(decide([one, part("f2", 1, yes: 40, .no)]) == .refuse(.contradictory))
        #expect(decide([one, part("f2", 1, yes: 40, in: "ANOTHER")]) == .refuse(.contradictory))
        #expect(decide([one], listed: listed(filled: 1, isOpen: true)) == .refuse(.orderOpen))
        #expect(decide([one], listed: listed(filled: 2)) == .refuse(.fillsMissing))
        #expect(decide([one], listedFills: ["f1", "f2"]) == .refuse(.fillsMissing))
        #expect(decide([part("f1", 1, yes: 0)]) == .refuse(.notTradable))
        #expect(decide([part("f1", 0, yes: 40)]) == .refuse(.notTradable))
        #expect(decide([part("f1", 1, yes: 40, fee: Money.zero - .cents(1))]) == .refuse(.notTradable))
    }

    @Test func `every refusal says why in its own words`() {
        #expect(Set(AdoptionRefusal.allCases.map(\.explanation)).count == AdoptionRefusal.allCases.count)
    }
}
