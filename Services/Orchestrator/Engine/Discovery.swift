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
                var game = WatchedGame(entry.game, status: entry.status, wants: entry.wants, cycle: cycle)
                game.score = entry.score
                games[entry.game.id] = game
                effects.append(.upsertGame(entry.game, entry.status, entry.score))
            }
            if !entry.markets.isEmpty, games[entry.game.id]?.placement == .unmapped {
                map(entry.game.id, to: entry.markets, nil, at: now, into: &effects)
            }
        }
        for id in games.keys.sorted() {
            askForMarkets(of: id, into: &effects)
            putOffIfSuspended(id, at: venueNow, into: &effects)
            abandonIfGone(id, at: venueNow, into: &effects)
        }
        placeWaiting(at: now, into: &effects)
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
        games[id]?.isAbandoned = false
        if let score = entry.score { games[id]?.score = score }
        guard known.status != entry.status, known.status.permits(entry.status) else { return }
        games[id]?.status = entry.status
        games[id]?.suspendedSince = nil
        switch known.placement {
        // One that is just being stored is looked at again when its answer comes.
        case .committing: break
        case .resting where entry.status == .live:
            effects.append(.upsertGame(known.game, entry.status, entry.score))
            wake(id)
        case .resting where !entry.status.isEnd, .releasing where !entry.status.isEnd:
            effects.append(.upsertGame(known.game, entry.status, entry.score))
        default:
            if games[id]?.needsNoSeat ?? false {
                release(id, from: known.placement.seat ?? known.owner, into: &effects)
            } else {
                effects.append(.upsertGame(known.game, entry.status, entry.score))
            }
        }
    }

    /// A game that was put off plays again: it needs an owner, under the epoch after its last.
    private mutating func wake(_ id: GameID) {
        guard let game = games[id] else { return }
        games[id]?.owner = nil
        place(id, game.markets.isEmpty ? .unmapped : .waiting(.resumed))
    }

    /// A suspended game keeps its seat for a while: most go on within the hour.
    private mutating func putOffIfSuspended(_ id: GameID, at venueNow: VenueInstant, into effects: inout [Effect]) {
        guard let game = games[id], game.status == .suspended else { return }
        switch game.placement {
        case .resting, .releasing, .committing: return
        default: break
        }
        guard let since = game.suspendedSince else {
            games[id]?.suspendedSince = venueNow
            return
        }
        guard since.duration(to: venueNow) >= policy.holdSuspended else { return }
        release(id, from: game.placement.seat ?? game.owner, into: &effects)
    }

    /// A question is asked in its game's first cycle, and again while it brought no market (CHECKLIST N6).
    private mutating func askForMarkets(of id: GameID, into effects: inout [Effect]) {
        guard let game = games[id], game.placement == .unmapped, game.wants == .sports else { return }
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
        switch game.placement {
        case .committing, .releasing: return
        case .resting: drop(id)
        default:
            games[id]?.isAbandoned = true
            release(id, from: game.placement.seat ?? game.owner, into: &effects)
        }
        counters.abandoned += 1
    }

    mutating func map(
        _ id: GameID, to markets: [Market], _ reason: String?, at now: MachineInstant, into effects: inout [Effect]
    ) {
        guard isLeading else { return }
        let own = markets.filter { $0.game == id }
        if games[id] == nil || own.count < markets.count { note(.unaskedMarkets, into: &effects) }
        guard let game = games[id], game.placement == .unmapped else { return }
        games[id]?.answer = reason
        guard !own.isEmpty else { return }
        games[id]?.markets = own.sorted { $0.id < $1.id }
        place(id, .waiting(game.epoch == nil ? .first : .orphaned))
        placeWaiting(at: now, into: &effects)
        // With an owner they are stored in its transaction.
        if let kept = games[id], kept.placement.isWaiting {
            effects.append(.keepMarkets(kept.game, kept.status, kept.markets))
        }
    }

    /// Stores first that nobody owns the game any more; its shard is told when that is stored.
    mutating func release(_ id: GameID, from seat: Seat?, into effects: inout [Effect]) {
        guard let term, let game = games[id] else { return }
        games[id]?.notBefore = nil
        place(id, .releasing(seat))
        effects.append(.releaseGame(id, game.status, game.score, from: seat, term: term))
    }

    /// It is stored that nobody owns the game: the seat is free, and whoever still watches is told to stop.
    mutating func forget(_ id: GameID, at now: MachineInstant, into effects: inout [Effect]) {
        guard let game = games[id], case .releasing(let seat) = game.placement else { return }
        counters.released += 1
        if game.status.isEnd || game.isAbandoned {
            drop(id)
        } else if game.isPutOff {
            games[id]?.owner = nil
            place(id, .resting)
        } else {
            wake(id)
        }
        guard let seat, let shard = shards[seat.shard], !shard.isDead else { return }
        let reason = game.isPutOff ? "put off" : "ended"
        revoke(id, from: seat, reason: reason, at: now, into: &effects)
    }
}
