import Domain
import Resilience

/// Starting to lead and rereading: one code path.
extension OrchestratorEngine {
    /// Takes PostgreSQL's word for everything but what is being stored right now.
    ///
    /// A game that has an owner is trusted to be watched: the next heartbeats show what is not so, and a restart of
    /// the orchestrator moves nothing that is well (CHECKLIST N3).
    mutating func rehydrate(
        _ desired: [DesiredGame], _ drained: Set<ShardID>, term: Int64, at now: MachineInstant
    ) {
        guard term > endedTerm else { return }
        rereads += 1
        let isNewTerm = self.term != term
        if isNewTerm {
            standDown()
            self.term = term
            self.drained = drained
            ledSince = now
            detector.excuse(until: now.advanced(by: policy.lease + policy.heartbeatInterval))
            // Where games are watched already, a shard that is heard for the first time need not be new.
            let isRestart = desired.contains { $0.shard != nil }
            joinsCountFrom = isRestart ? now.advanced(by: policy.shardTimeout + policy.heartbeatInterval) : now
            // Who was heard before anybody led came with the first term.
            for id in shards.keys.sorted() { joins(id, at: now) }
        }
        rereadAsked = nil
        let stored = Set(desired.map(\.game.id))
        for id in games.keys.sorted() where !stored.contains(id) && !isBusy(id) && games[id]?.owner != nil { drop(id) }
        // What PostgreSQL does not have was not stored.
        for id in waiting where games[id]?.isDoubted ?? false { games[id]?.isDoubted = false }
        for row in desired.sorted(by: { $0.game.id < $1.game.id }) where !isBusy(row.game.id) {
            adopt(row, isNewTerm: isNewTerm, at: now)
        }
    }

    /// Whether an answer about the game is on its way, which a reread must not overtake.
    private func isBusy(_ id: GameID) -> Bool {
        switch games[id]?.placement {
        case .committing, .releasing: true
        default: false
        }
    }

    private mutating func adopt(_ row: DesiredGame, isNewTerm: Bool, at now: MachineInstant) {
        var game =
            games[row.game.id] ?? WatchedGame(row.game, status: row.status, wants: row.wants, cycle: cycle)
        if game.status.permits(row.status) { game.status = row.status }
        if !row.markets.isEmpty { game.markets = row.markets }
        game.pregame = row.pregame ?? game.pregame
        game.epoch = [game.epoch, row.epoch].compactMap { $0 }.max()
        game.owner = row.shard.flatMap { shard in row.epoch.map { Seat(shard: shard, epoch: $0) } }
        games[row.game.id] = game
        guard let seat = game.owner else {
            if game.isPutOff { return place(row.game.id, .resting) }
            let isMapped = !game.markets.isEmpty
            return place(row.game.id, isMapped ? .waiting(row.epoch == nil ? .first : .orphaned) : .unmapped)
        }
        if shards[seat.shard] == nil {
            shards[seat.shard] = Shard(seat.shard, at: now, policy)
            detector.heard(seat.shard, at: now)
        }
        // The leader before us may have granted until this very moment.
        if isNewTerm { shards[seat.shard]?.lastGrant = now }
        if let shard = shards[seat.shard], shard.isDead {
            let until = shard.leaseOver(lease: policy.lease, at: now)
            place(row.game.id, .leaving(seat, until: until, .dead, isRevoked: false))
        } else {
            place(row.game.id, .watched(seat))
        }
    }

    /// Stops deciding; what was observed stays, so that taking over is quick.
    mutating func standDown() {
        ledLast = isLeading
        endedTerm = max(endedTerm, term ?? 0)
        term = nil
        ledSince = nil
        games = [:]
        held = [:]
        unsettled = []
        waiting = []
        leaving = []
        revokes = [:]
        drained = []
        joined = [:]
        shares = [:]
        homes = []
        resyncing = []
        for id in shards.keys {
            shards[id]?.resync = nil
            shards[id]?.claims = [:]
        }
        batches = [:]
        givenAway = [:]
        stuckSince = nil
        rereadAsked = nil
    }

    /// Asks for a reread, not more often than every two leases unless it says otherwise.
    mutating func askForReread(at now: MachineInstant, every pause: Duration? = nil, into effects: inout [Effect]) {
        if let rereadAsked, now.since(rereadAsked) < pause ?? policy.lease * 2 { return }
        rereadAsked = now
        effects.append(.readDesiredState)
    }
}
