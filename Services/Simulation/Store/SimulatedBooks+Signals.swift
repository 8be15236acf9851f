import Domain
import ExecutionServiceEngine
import OrchestratorEngine
import Resilience
import SignalProcessorEngine

/// What `SignalStore` does in one transaction.
extension SimulatedBooks {
    enum SignalOutcome: Hashable {
        case decided(Verdict)
        case known
    }

    /// Who may trade a game, as the assignments and the shards' lives have it.
    struct Ownership: Hashable {
        var seat: Seat?
        /// The life that claimed the shard's name last; nil where none did.
        var life: Incarnation?
    }

    mutating func process(
        _ signal: Signal, from sender: Incarnation?, _ owner: Ownership, engine: SignalProcessorEngine,
        marks: [MarketID: PortfolioMark.Mark], as names: IntentNames, at now: VenueInstant, database: MachineInstant
    ) -> SignalOutcome {
        touched = []
        if signals[signal.id] != nil, plant != .redeliveryForgotten { return .known }
        let subject = Subject(
            game: signal.game, sport: signal.sport, shard: signal.shard, markets: [(signal.market, signal.venue)])
        var view = view(for: subject, from: sender, owner, marks, at: now)
        view.marketTeam = view.marketTeams[signal.market]
        if plant == .otherSideUnread, let team = view.marketTeam {
            let side = signal.outcome == .yes ? team : team.opposite
            view.holdings.removeAll { $0.backs != side }
        }
        let verdict = engine.decide(signal, portfolio: view, as: names, at: now)
        signals[signal.id] = verdict.name
        if case .approved(let intent, let amount) = verdict {
            // The same names are a conflict of keys in PostgreSQL; under the planted mistake they are not.
            if plant == .redeliveryForgotten, intents[intent.id] != nil { return .decided(verdict) }
            reservations[intent.reservation] = ReservationRow(
                record: ReservationRecord(id: intent.reservation, amount: amount), game: intent.game,
                market: intent.market, sport: intent.sport)
            intents[intent.id] = IntentRow(
                intent: intent, expiresAt: database.advanced(by: now.duration(to: intent.expiresAt)),
                signalledAt: signal.createdAt, number: intents.count)
            touched = [intent.id]
        }
        return .decided(verdict)
    }

    /// What a decision is about.
    struct Subject {
        let game: GameID
        let sport: Sport
        let shard: ShardID
        let markets: [(id: MarketID, venue: Venue)]
    }

    func view(
        for subject: Subject, from sender: Incarnation?, _ owner: Ownership, _ marks: [MarketID: PortfolioMark.Mark],
        at now: VenueInstant
    ) -> PortfolioView {
        var view = PortfolioView()
        let isBlind = plant == .exposureUnread || (plant == .exposureForgotten && !reversed.isEmpty)
        let exposure = isBlind ? Exposure() : exposure
        view.cash = spendable
        view.reserved = exposure.reserved
        view.openCost = exposure.openCost
        view.gameExposure = exposure.games[subject.game] ?? .zero
        view.sportExposure = exposure.sports[subject.sport] ?? .zero
        if plant != .marketUnread {
            for (market, _) in subject.markets { view.marketExposure[market] = exposure.markets[market] }
        }
        view.dailyProfit = plant == .lossUnread ? .zero : realised - fees
        view.holdings = isBlind ? [] : holdings(in: subject.game)
        view.closed = closedPositions(in: subject.game)
        view.recentlyClosed = view.closed.count { $0.at.duration(to: now) < .seconds(60) }
        view.markedProfit = markedProfit(marks, at: now)
        for (id, venue) in subject.markets {
            guard let market = markets[id], market.game == subject.game, market.isActive, market.venue == venue else {
                continue
            }
            view.marketTeams[id] = market.team
        }
        // One event of one venue.
        view.paySameTerms = Set(subject.markets.map(\.venue)).count == 1
        view.killSwitch = killSwitch
        if let seat = owner.seat, seat.shard == subject.shard {
            let isOfAnotherLife = sender != nil && owner.life != nil && sender != owner.life
            if !isOfAnotherLife { view.epoch = seat.epoch }
        }
        return view
    }

    /// One for each intent that may still trade, and for each whose fills are an open position.
    private func holdings(in game: GameID) -> [Holding] {
        intents.values.filter { row in
            guard row.intent.game == game, row.intent.action == .buy else { return false }
            if !row.state.isTerminal { return true }
            if let plan = row.plan.flatMap({ plans[$0] }), plan.state != .finished { return true }
            guard let held = positions[row.intent.market], held.state == .open, !held.position.isFlat else {
                return false
            }
            return orders.values.contains { $0.record.intent == row.intent.id && !$0.record.filled.isZero }
        }
        .sorted { $0.number < $1.number }
        .compactMap { row in
            markets[row.intent.market].map { market in
                Holding(
                    market: row.intent.market,
                    backs: row.intent.outcome == .yes ? market.team : market.team.opposite,
                    isLeg: plant != .legUnseen && row.plan.map(isHedge) ?? false)
            }
        }
    }

    /// Whether a plan is at work, or has bought pairs.
    private func isHedge(_ plan: IntentID) -> Bool {
        plans[plan].map { $0.state != .finished || !$0.pairs.isZero } ?? false
    }

    /// Positions that were closed before the game's end; the last fill of one is its close.
    private func closedPositions(in game: GameID) -> [ClosedPosition] {
        positions.filter { $0.value.game == game && $0.value.state == .closed }.compactMap { market, row in
            let last = fills.values.filter { $0.market == market && !reversed.contains($0.id) }
                .max { ($0.at, $0.id) < ($1.at, $1.id) }
            guard let last, let team = markets[market]?.team else { return nil }
            let takesYes = (last.outcome == .yes) == (last.action == .buy)
            return ClosedPosition(
                backs: takesYes ? team.opposite : team,
                won: row.position.realised - row.position.fees > broughtBefore(market), at: last.at)
        }
        .sorted { ($0.at, $0.backs.rawValue) < ($1.at, $1.backs.rawValue) }
    }

    /// What a market had brought, after fees, when its position was flat for the last time but one.
    private func broughtBefore(_ market: MarketID) -> Money {
        var position = Position(market: market)
        var brought: [Money] = []
        for fill in (tape[market] ?? []) where !reversed.contains(fill) {
            fills[fill].map { _ = position.apply($0) }
            if position.isFlat { brought.append(position.realised - position.fees) }
        }
        return brought.dropLast().last ?? .zero
    }
}
