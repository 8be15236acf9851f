import Domain
import Resilience

/// Giving waiting games to shards with room, and what becomes of the stored batch.
extension OrchestratorEngine {
    /// Seats everything that waits, best free capacity first, in one batch.
    mutating func placeWaiting(at now: MachineInstant, into effects: inout [Effect]) {
        guard let term, !waiting.isEmpty else { return }
        var room = shardsWithRoom(at: now)
        guard !room.isEmpty else { return }
        let ready = waiting.compactMap { games[$0] }.filter { $0.notBefore.map { now >= $0 } ?? true }
        var changes: [AssignmentChange] = []
        for game in ready.sorted(by: seatingOrder) {
            guard let seat = takeSeat(for: game, from: &room, at: now) else { break }
            let reason: MoveReason = if case .waiting(let why) = game.placement { why } else { .orphaned }
            changes.append(
                AssignmentChange(
                    game: game.game, status: game.status, markets: game.markets, from: game.owner?.shard, to: seat,
                    reason: reason))
            games[game.game.id]?.epoch = seat.epoch
            place(game.game.id, .committing(seat))
        }
        // What failed before is tried alone, so that one bad row cannot hold the others back.
        let fresh = changes.filter { games[$0.game.id]?.notBefore == nil }
        if !fresh.isEmpty { commit(fresh, term: term, into: &effects) }
        for change in changes where games[change.game.id]?.notBefore != nil {
            commit([change], term: term, into: &effects)
        }
    }

    private mutating func commit(_ changes: [AssignmentChange], term: Int64, into effects: inout [Effect]) {
        batchesMade += 1
        batches[batchesMade] = changes
        effects.append(.commitAssignments(batch: batchesMade, changes, term: term))
    }

    /// Live games first, then by their start: what is being played must not wait for what is not.
    private func seatingOrder(_ left: WatchedGame, _ right: WatchedGame) -> Bool {
        let leftLive = left.status == .live
        let rightLive = right.status == .live
        if leftLive != rightLive { return leftLive }
        return (left.game.scheduledAt, left.game.id) < (right.game.scheduledAt, right.game.id)
    }

    /// Takes a seat on the shard with the most free capacity; the lower name breaks a tie.
    private mutating func takeSeat(
        for game: WatchedGame, from room: inout [(shard: ShardID, free: Int)], at now: MachineInstant
    ) -> Seat? {
        while !room.isEmpty {
            var best = 0
            for index in room.indices where room[index].free > room[best].free { best = index }
            let shard = room[best].shard
            guard room[best].free > 0, shards[shard]?.breaker.permits(at: now) ?? false else {
                room.remove(at: best)
                continue
            }
            room[best].free -= 1
            return Seat(shard: shard, epoch: game.epoch?.next ?? .first)
        }
        return nil
    }

    /// Well sports shards and how many games each could still hold, in order.
    private func shardsWithRoom(at now: MachineInstant) -> [(shard: ShardID, free: Int)] {
        shards.values.filter { $0.isWell && $0.kind == .sports }
            .map { (shard: $0.id, free: free(on: $0)) }
            .filter { $0.free > 0 }
            .sorted { $0.shard < $1.shard }
    }

    func free(on shard: Shard) -> Int {
        max(0, shard.capacity - (held[shard.id]?.count ?? 0) - shard.zombies.count)
    }

    func freeSeats(at now: MachineInstant) -> Int {
        shardsWithRoom(at: now).reduce(0) { $0 + $1.free }
    }

    /// The batch is stored: now the owners may be told.
    mutating func settle(
        _ batch: Int, _ pregame: [GameID: Probability], at now: MachineInstant, into effects: inout [Effect]
    ) {
        for change in batches.removeValue(forKey: batch) ?? [] {
            let id = change.game.id
            guard games[id]?.placement == .committing(change.to) else { continue }
            games[id]?.owner = change.to
            games[id]?.notBefore = nil
            if let seen = pregame[id] { games[id]?.pregame = seen }
            counters.moves[change.reason, default: 0] += 1
            if games[id]?.status.isEnd ?? false {
                release(id, from: change.to, into: &effects)
            } else if shards[change.to.shard]?.isDead ?? true {
                // It died while we stored; it was never told, so nobody watches.
                place(id, .waiting(.dead))
            } else {
                command(id, change.to, at: now, into: &effects)
            }
        }
    }

    /// The batch is not stored, or nobody knows: the next try takes an epoch above it either way.
    mutating func abandon(
        _ batch: Int, _ stored: [GameID: Epoch], at now: MachineInstant, into effects: inout [Effect]
    ) {
        counters.failedCommits += 1
        for change in batches.removeValue(forKey: batch) ?? [] {
            let id = change.game.id
            guard let game = games[id], game.placement == .committing(change.to) else { continue }
            if let epoch = stored[id], epoch > change.to.epoch { games[id]?.epoch = epoch }
            games[id]?.notBefore = now.advanced(by: policy.commitRetryAfter)
            if game.status.isEnd {
                release(id, from: game.owner, into: &effects)
            } else {
                place(id, .waiting(change.reason))
            }
        }
    }
}
