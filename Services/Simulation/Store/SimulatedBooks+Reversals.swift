import Domain
import ExecutionServiceEngine
import Resilience

/// What `OrderStore` does with fills that are not certain.
extension SimulatedBooks {
    func standing(of fill: FillID) -> FillStanding {
        provisional.contains(fill) ? .provisional : (reversed.contains(fill) ? .reversed : .confirmed)
    }

    /// Notes that fills are certain now.
    mutating func confirm(_ fills: [FillID]) { provisional.subtract(fills) }

    /// Takes fills of one order back as if they had never been; nil when there was nothing to take back.
    mutating func reverse(_ taken: Set<FillID>, of id: OrderID, at now: VenueInstant) -> ReversalBooking? {
        touched = []
        guard let row = orders[id], let held = positions[row.record.request.market] else { return nil }
        let market = row.record.request.market
        let booked = (tape[market] ?? []).compactMap { reversed.contains($0) ? nil : fills[$0] }
        let booking = ReversalBooking(
            order: row.record, position: held.position, fills: booked, reversing: taken.intersection(provisional),
            settledAt: markets[market]?.value, isRefunded: markets[market]?.isRefunded ?? false)
        guard let booking else { return nil }
        for fill in booking.reversed {
            provisional.remove(fill.id)
            reversed.insert(fill.id)
        }
        orders[id]?.record = booking.order
        if plant != .reversalHalved {
            write(booking.position, of: held.game, openedAt: now)
            apply(booking.account)
            correctSavings(of: market, booking.remaining)
        }
        owe([booking.alert])
        mark += 1
        touched = [row.record.intent]
        return booking
    }

    private mutating func correctSavings(of market: MarketID, _ remaining: [Fill]) {
        guard let before = positions[market]?.piggybank else { return }
        let after = Piggybank.replayed(
            market, remaining, settledAt: markets[market]?.value, isRefunded: markets[market]?.isRefunded ?? false,
            percent: Self.savedPercent)
        saved = max(.zero, saved + after.saved - before.saved)
        positions[market]?.piggybank = after
    }
}
