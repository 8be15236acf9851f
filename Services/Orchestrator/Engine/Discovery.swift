import Domain
import Resilience

/// From the scoreboards to wanted games with markets, and from a final score to forgotten ones.
extension OrchestratorEngine {
    /// One discovery cycle (CHECKLIST R54).
    mutating func look(
        at shown: [ScoreboardGame], _ venueNow: VenueInstant, at now: MachineInstant, into effects: inout [Effect]
    ) {
        guard isLeading else { return }
        cycle += 1
        for entry in shown.sorted(by: { $0.game.id < $1.game.id }) {
            if games[entry.game.id] != nil {
                update(entry, into: &effects)
            } else if isWanted(entry, at: venueNow) {
                var game = WatchedGame(entry.game, status: entry.status, cycle: cycle)
                game.score = entry.score
                games[entry.game.id] = game
                effects.append(.upsertGame(entry.game, entry.status, entry.score))
            }
        }
        for id in games.keys.sorted() {
            askForMarkets(of: id, into: &effects)
            abandonIfGone(id, at: venueNow, into: &effects)
        }
    }

    private func isWanted(_ entry: ScoreboardGame, at venueNow: VenueInstant) -> Bool {
        switch entry.status {
        case .live: true
        case .scheduled: venueNow.duration(to: entry.game.scheduledAt) <= policy.scheduledWindow
        case .final, .postponed, .suspended, .cancelled: false
        }
    }

    private mutating func update(_ entry: ScoreboardGame, into effects: inout [Effect]) {
        let id = entry.game.id
        guard let known = games[id] else { return }
        games[id]?.shownInCycle = cycle
        if let score = entry.score { games[id]?.score = score }
        guard known.status != entry.status, known.status.permits(entry.status) else { return }
        games[id]?.status = entry.status
        if entry.status.isEnd {
            // One that is just being stored ends when its answer comes.
            if case .committing = known.placement { return }
            release(id, from: known.placement.seat ?? known.owner, into: &effects)
        } else {
            effects.append(.upsertGame(known.game, entry.status, entry.score))
        }
    }

    /// A question is asked in its game's first cycle, and again while it brought no market (CHECKLIST N6).
    private mutating func askForMarkets(of id: GameID, into effects: inout [Effect]) {
        guard let game = games[id], game.placement == .unmapped else { return }
        if let asked = game.askedInCycle, cycle - asked < policy.cyclesToAnswer { return }
        games[id]?.askedInCycle = cycle
        counters.questions += 1
        effects.append(.requestMarkets(game.game, request: nextCommandID()))
    }

    /// A game that no scoreboard shows long after its start would hold a seat for ever.
    private mutating func abandonIfGone(_ id: GameID, at venueNow: VenueInstant, into effects: inout [Effect]) {
        guard let game = games[id], game.shownInCycle < cycle, !game.status.isEnd,
            game.game.scheduledAt.duration(to: venueNow) > policy.abandonAfter
        else { return }
        if case .committing = game.placement { return }
        if case .releasing = game.placement { return }
        counters.abandoned += 1
        release(id, from: game.placement.seat ?? game.owner, into: &effects)
    }

    mutating func map(
        _ id: GameID, to markets: [Market], _ reason: String?, at now: MachineInstant, into effects: inout [Effect]
    ) {
        guard isLeading, let game = games[id], game.placement == .unmapped else { return }
        games[id]?.answer = reason
        let own = markets.filter { $0.game == id }
        guard !own.isEmpty else { return }
        games[id]?.markets = own.sorted { $0.id < $1.id }
        place(id, .waiting(game.epoch == nil ? .first : .orphaned))
        placeWaiting(at: now, into: &effects)
    }

    /// Stores the end first; its shard is told when it is stored.
    mutating func release(_ id: GameID, from seat: Seat?, into effects: inout [Effect]) {
        guard let term, let game = games[id] else { return }
        games[id]?.notBefore = nil
        place(id, .releasing(seat))
        effects.append(.releaseGame(id, game.status, game.score, from: seat, term: term))
    }

    /// The end is stored: the seat is free, and whoever still watches is told to stop.
    mutating func forget(_ id: GameID, at now: MachineInstant, into effects: inout [Effect]) {
        guard case .releasing(let seat) = games[id]?.placement else { return }
        counters.released += 1
        drop(id)
        guard let seat, let shard = shards[seat.shard], !shard.isDead else { return }
        revoke(id, from: seat, reason: "ended", at: now, into: &effects)
    }
}
