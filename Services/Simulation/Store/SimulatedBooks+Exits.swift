import Domain
import ExecutionServiceEngine
import GameShardEngine
import Resilience

/// What `OrderStore` does to sell what is held.
extension SimulatedBooks {
    /// The best prices of a market as they were told last.
    typealias Quote = PricePublication

    /// Makes the intent to sell a position, less what pairs count on, when the rules still say so of what is held now.
    ///
    /// Once: while one that serves waits or is on its way there is no other.
    mutating func askExit(
        of market: MarketID, _ rules: ExitRules, life: Duration, price: Quote, epoch: Epoch?,
        as name: (Int, MarketID) -> IntentID, at now: VenueInstant, database: MachineInstant
    ) -> OrderQueue.Item? {
        touched = []
        guard let row = positions[market], row.state == .open, let known = markets[market], !isAtWork(market),
            case .sell(let outcome, let quantity, let limit, let reason) = decide(row, rules, price, at: now)
        else { return nil }
        if let waiting = liveExit(in: market) {
            if serves(waiting, reason, at: limit) { return nil }
            close(waiting, as: .expired)
        }
        let earlier = intents.values.count { $0.exit != nil && $0.intent.market == market }
        let id = name(earlier, market)
        guard let signal = try? SignalID(id.rawValue),
            let intent = try? ApprovedIntent(
                id: id, signal: signal, reservation: "none", game: row.game, sport: known.sport, market: market,
                venue: known.venue, epoch: epoch ?? .first, outcome: outcome, action: .sell, limit: limit,
                quantity: quantity, expiresAt: now.advanced(by: life))  // a position's quantity and a step's price
        else { return nil }
        signals[signal] = "approved"
        intents[id] = IntentRow(
            intent: intent, expiresAt: database.advanced(by: life), signalledAt: now, number: intents.count,
            exit: reason)
        touched.append(id)
        return OrderQueue.Item(
            intent: id, account: known.venue.rawValue, markets: [market], priority: reason.priority)
    }

    /// Whether something is to be asked for that is not asked for yet.
    func wantsExit(_ market: MarketID, _ rules: ExitRules, _ price: Quote, at now: VenueInstant) -> Bool {
        guard let row = positions[market], row.state == .open, !row.position.isFlat, !isAtWork(market),
            case .sell(_, _, let limit, let reason) = decide(row, rules, price, at: now)
        else { return false }
        return liveExit(in: market).map { !serves($0, reason, at: limit) } ?? true
    }

    private func decide(
        _ row: PositionRow, _ rules: ExitRules, _ price: Quote, at now: VenueInstant
    ) -> ExitDecision {
        let no = price.yesAsk.flatMap { try? BookLevel(price: $0.price.complement, quantity: $0.quantity) }
        let levels = try? OrderBook(yesBids: price.yesBid.map { [$0] } ?? [], noBids: no.map { [$0] } ?? [])
        let market = row.position.market
        return rules.decide(
            row.position, counted: counted(in: market), sport: markets[market]?.sport ?? .nba,
            openedAt: row.openedAt, book: levels.map { ($0, price.at) }, step: .linearCent, at: now)
    }

    private func liveExit(in market: MarketID) -> IntentRow? {
        intents.values.first { $0.exit != nil && $0.intent.market == market && !$0.state.isTerminal }
    }

    /// A stop is not left to a take of profit, nor to a limit that was missed; what is being sent runs its course.
    private func serves(_ row: IntentRow, _ wanted: ExitReason, at limit: Price) -> Bool {
        guard row.state != .sending, let reason = row.exit else { return true }
        return reason.priority <= wanted.priority && row.intent.limit <= limit
    }
}
