import Domain

/// Compares what we think we hold with what the venue says (CHECKLIST N12).
public enum Reconciliation {
    /// Everything in which the two differ; none means that trading may begin.
    ///
    /// What the venue could not be asked is not here: without its whole snapshot nothing is concluded and nothing is
    /// dropped (PITFALLS 8, row 26). What a person has accepted, as contracts of somebody else in the same account, is
    /// no difference. Of a market in which an order of ours is open, position and what seems to be somebody else's are
    /// left out, and with any open order the balance: there both may differ rightly, and the venue's lists may show the
    /// order's fills before the order. `tolerance` is for balances only, whose rounding is the venue's own.
    public static func compare(
        _ own: OwnSnapshot, _ venue: VenueSnapshot, accepted: Accepted = Accepted(), tolerance: Money = .cents(1)
    ) -> [Discrepancy] {
        let open = own.orders.filter { !$0.state.isTerminal }
        let busy = Set(open.map(\.request.market))
        var found: [Discrepancy] = []
        var names: [VenueOrderID: OrderRecord] = [:]
        for order in own.orders { if let name = order.venueOrder { names[name] = order } }
        found += orders(own, venue, &names)
        found += fills(own, venue, names, flagged: Set(found.compactMap(\.order)))
        found += differences(ours: own.positions, venues: accepted.adjusted(venue.positions, ours: own.positions))
            .map { .position($0) }
        found.removeAll { $0.foreignMarket.map(busy.contains) ?? false }
        if let theirs = venue.balance, let offset = accepted.balance, open.isEmpty {
            let difference = own.balance - (theirs - offset)
            if difference > tolerance || -difference > tolerance {
                found.append(.balance(ours: own.balance, venues: theirs - offset))
            }
        }
        return found.filter { !accepted.names.contains($0.name) }
    }

    /// What a look brought of which both sides were read whole and ours stood still.
    ///
    /// `unread` are markets of which we hold something and the venue did not tell the result: it may have paid them out
    /// already, and then their position and the cash differ until we are told too. The same holds of fills that it may
    /// take back and lists no more, until we have asked what became of them (PITFALLS 8, row 14). A look that finds
    /// nothing worse than that could not be finished.
    public static func look(
        _ own: OwnSnapshot, _ venue: VenueSnapshot, accepted: Accepted = Accepted(), unread: Set<MarketID> = []
    ) -> ReconciliationLook {
        let found = compare(own, venue, accepted: accepted)
        let listed = Set(venue.fills.map(\.id))
        let gone = own.provisional.filter { !listed.contains($0.id) }
        let isDoubtful: (Discrepancy) -> Bool = { $0.mayBePayment(of: unread) || $0.mayBeReversal(of: gone) }
        let certain = found.filter { !isDoubtful($0) }
        if certain.count < found.count, certain.allSatisfy(\.isMended) {
            let names = unread.sorted().map(\.rawValue) + gone.map(\.id.rawValue).sorted()
            return .unreachable(
                reason: "what became of \(names.prefix(5).joined(separator: ", ")) could not be read")
        }
        let open = own.orders.filter { !$0.state.isTerminal }
        let inFlight = open.count { $0.state == .stored || $0.state == .sent }
        return .compared(certain, inFlight: inFlight, open: open.count - inFlight)
    }

    private static func orders(
        _ own: OwnSnapshot, _ venue: VenueSnapshot, _ names: inout [VenueOrderID: OrderRecord]
    ) -> [Discrepancy] {
        var found: [Discrepancy] = []
        let ours = Dictionary(own.orders.map { ($0.request.id, $0) }, uniquingKeysWith: { first, _ in first })
        var seen: [OrderID: VenueOrderID] = [:]
        for order in venue.orders.sorted(by: { $0.venueOrder < $1.venueOrder }) {
            guard let key = order.key, let record = ours[key] else {
                if order.isOpen { found.append(.foreignOrder(order.venueOrder, order.market)) }
                continue
            }
            // Our key on two orders of the venue: only one of them can be the one that we sent.
            if let known = record.venueOrder ?? seen[key], known != order.venueOrder {
                found.append(.duplicateOrder(key, order.venueOrder))
                continue
            }
            seen[key] = order.venueOrder
            names[order.venueOrder] = record
            if order.filled > record.filled {
                found.append(.unbookedFills(key, ours: record.filled, venues: order.filled))
            } else if order.filled < record.filled {
                found.append(.fillsTakenBack(key, ours: record.filled, venues: order.filled))
            }
            if order.isOpen, record.state.isTerminal { found.append(.openAtVenue(key, order.venueOrder)) }
        }
        for order in own.orders.sorted(by: { $0.request.id < $1.request.id })
        where !order.state.isTerminal && order.state != .stored && seen[order.request.id] == nil {
            found.append(.absentOrder(order.request.id))
        }
        return found
    }

    private static func fills(
        _ own: OwnSnapshot, _ venue: VenueSnapshot, _ names: [VenueOrderID: OrderRecord], flagged: Set<OrderID>
    ) -> [Discrepancy] {
        var found: [Discrepancy] = []
        var unbooked: [OrderID: (record: OrderRecord, more: Quantity)] = [:]
        for fill in venue.fills.sorted(by: { $0.id < $1.id }) where !own.fills.contains(fill.id) {
            guard let record = names[fill.venueOrder] else {
                found.append(.foreignFill(fill.id, fill.venueOrder, fill.market))
                continue
            }
            if flagged.contains(record.request.id) { continue }
            unbooked[record.request.id, default: (record, .zero)].more += fill.quantity
        }
        // The venue no longer lists the order, or lists it without this fill.
        for (id, part) in unbooked.sorted(by: { $0.key < $1.key }) {
            found.append(.unbookedFills(id, ours: part.record.filled, venues: part.record.filled + part.more))
        }
        let theirs = Set(venue.fills.map(\.id))
        for fill in own.expectedFills.subtracting(theirs).sorted() { found.append(.missingFill(fill)) }
        return found
    }

    /// The markets that differ, sorted.
    ///
    /// One that is missing on a side counts as nothing held there.
    public static func differences(
        ours: [MarketID: Int64], venues: [MarketID: Int64]
    ) -> [PositionDifference] {
        Set(ours.keys).union(venues.keys).sorted().compactMap { market in
            let (mine, theirs) = (ours[market] ?? 0, venues[market] ?? 0)
            return mine == theirs ? nil : PositionDifference(market: market, ours: mine, venues: theirs)
        }
    }
}
