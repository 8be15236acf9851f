import Domain
import Resilience

/// Giving waiting games to shards with room, and what becomes of the stored batch.
extension OrchestratorEngine {
    /// Seats everything that waits, best free capacity first, in one batch.
    mutating func placeWaiting(at now: MachineInstant, into effects: inout [Effect]) {
        guard let term, !waiting.isEmpty else { return }
        let due = waiting.compactMap { games[$0] }.filter { $0.notBefore.map { now >= $0 } ?? true }
        if due.contains(where: \.isDoubted) {
            askForReread(at: now, every: policy.commitRetryAfter, into: &effects)
        }
        var room = Room(shards.values.filter { mayTakeGames($0, at: now) }.map { ($0.id, $0.kind, free(on: $0)) })
        guard !room.isEmpty else { return }
        var changes: [AssignmentChange] = []
        for game in due.filter({ !$0.isDoubted }).sorted(by: seatingOrder) {
            if room.isEmpty { break }
            guard let shard = takeSeat(for: game, from: &room, at: now) else { continue }
            let seat = Seat(shard: shard, epoch: game.epoch?.next ?? .first)
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
        if !fresh.isEmpty { commit(fresh, term: term, at: now, into: &effects) }
        for change in changes where games[change.game.id]?.notBefore != nil {
            commit([change], term: term, at: now, into: &effects)
        }
    }

    private mutating func commit(
        _ changes: [AssignmentChange], term: Int64, at now: MachineInstant, into effects: inout [Effect]
    ) {
        batchesMade += 1
        batches[batchesMade] = Batch(changes: changes, began: now)
        for case let from? in changes.map(\.from) { givenAway[from, default: 0] += 1 }
        effects.append(.commitAssignments(batch: batchesMade, changes, term: term))
    }

    private mutating func takeBatch(_ number: Int) -> Batch? {
        guard let batch = batches.removeValue(forKey: number) else { return nil }
        for case let from? in batch.changes.map(\.from) {
            let rest = (givenAway[from] ?? 0) - 1
            givenAway[from] = rest > 0 ? rest : nil
        }
        return batch
    }

    /// Live games first, then by their start: what is being played must not wait for what is not.
    private func seatingOrder(_ left: WatchedGame, _ right: WatchedGame) -> Bool {
        let leftLive = left.status == .live
        let rightLive = right.status == .live
        if leftLive != rightLive { return leftLive }
        return (left.game.scheduledAt, left.game.id) < (right.game.scheduledAt, right.game.id)
    }

    /// Where it is wanted, or else the shard with the most free capacity; the lower name breaks a tie.
    private mutating func takeSeat(
        for game: WatchedGame, from room: inout Room, at now: MachineInstant
    ) -> ShardID? {
        let kinds: [ShardKind] = game.wants == .sports ? [.sports] : [.crypto, .sports]
        if let wanted = game.preferred, fits(game, shards[wanted]?.kind ?? .crypto), permits(wanted, at: now),
            room.take(wanted)
        {
            return wanted
        }
        for avoided in game.avoided == nil ? [nil] : [game.avoided, nil] {
            for kind in kinds {
                while let shard = room.takeBest(kind, except: avoided) {
                    if permits(shard, at: now) { return shard }
                    room.close(shard)
                }
            }
        }
        return nil
    }

    /// Asks the breaker; while it is half-open, a yes takes the place of one trial.
    private mutating func permits(_ id: ShardID, at now: MachineInstant) -> Bool {
        shards[id]?.breaker.permits(at: now) ?? false
    }

    func fits(_ game: WatchedGame, _ kind: ShardKind) -> Bool { kind == game.wants || kind == .sports }

    /// Whether new games may go there, as far as can be known without trying.
    func mayTakeGames(_ shard: Shard, at now: MachineInstant) -> Bool {
        let isTried = shard.breaker.state == .open && shard.breaker.wait(at: now) > .zero
        return shard.isWell && !shard.hasRefused && !isTried && !drained.contains(shard.id)
    }

    func free(on shard: Shard) -> Int {
        max(0, shard.capacity - (held[shard.id]?.count ?? 0) - shard.zombies.count)
    }

    func freeSeats(at now: MachineInstant) -> Int {
        shards.values.reduce(0) { mayTakeGames($1, at: now) ? $0 + free(on: $1) : $0 }
    }

    /// The batch is stored: now the owners may be told.
    mutating func settle(
        _ batch: Int, _ pregame: [GameID: Probability], at now: MachineInstant, into effects: inout [Effect]
    ) {
        for change in takeBatch(batch)?.changes ?? [] where games[change.game.id]?.placement == .committing(change.to) {
            settle(change, pregame[change.game.id], at: now, into: &effects)
        }
    }

    private mutating func settle(
        _ change: AssignmentChange, _ pregame: Probability?, at now: MachineInstant, into effects: inout [Effect]
    ) {
        let id = change.game.id
        games[id]?.owner = change.to
        games[id]?.notBefore = nil
        games[id]?.isTakenBack = false
        if let pregame { games[id]?.pregame = pregame }
        counters.moves[change.reason, default: 0] += 1
        games[id]?.preferred = nil
        if games[id]?.needsNoSeat ?? false {
            release(id, from: change.to, into: &effects)
        } else if shards[change.to.shard]?.isDead ?? true {
            // It died while we stored; it was never told, so nobody watches.
            place(id, .waiting(.dead))
        } else {
            command(id, change.to, at: now, into: &effects)
        }
    }

    /// The batch is not stored, or nobody knows: the next try takes an epoch above it either way.
    ///
    /// A shard that PostgreSQL names as the owner may watch the game by that alone, so while it is not known whom it
    /// names the game is given to nobody.
    mutating func abandon(
        _ batch: Int, _ stored: [GameID: Seat]?, at now: MachineInstant, into effects: inout [Effect]
    ) {
        counters.failedCommits += 1
        guard let taken = takeBatch(batch) else { return }
        // A commit that hung has had its pause.
        let retry = max(now, taken.began.advanced(by: policy.commitRetryAfter))
        for change in taken.changes {
            let id = change.game.id
            guard let game = games[id], game.placement == .committing(change.to) else { continue }
            // Only the answer was lost.
            if stored?[id] == change.to {
                settle(change, nil, at: now, into: &effects)
                continue
            }
            if let epoch = stored?[id]?.epoch, epoch > change.to.epoch { games[id]?.epoch = epoch }
            games[id]?.notBefore = retry
            games[id]?.isDoubted = stored == nil
            games[id]?.isTakenBack = false
            if game.needsNoSeat {
                release(id, from: game.owner, into: &effects)
            } else if game.isTakenBack, stored != nil, let owner = game.owner,
                !(shards[owner.shard]?.isDead ?? true)
            {
                place(id, .watched(owner))
            } else {
                place(id, .waiting(change.reason))
            }
        }
    }
}

/// Owners that are being stored in one transaction.
struct Batch: Hashable, Sendable {
    let changes: [AssignmentChange]
    let began: MachineInstant
}
