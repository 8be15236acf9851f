import Domain
import Resilience

/// Moves that need not happen at once: after a restart, for a shard that joined, away from one that is drained.
///
/// Each shard is given at most `gamesPerSecond`, and nothing moves while anything waits for a seat.
extension OrchestratorEngine {
    mutating func moveInPace(at now: MachineInstant, into effects: inout [Effect]) {
        guard busIsUp else { return }
        for id in resyncing.sorted() { advanceResync(of: id, at: now, into: &effects) }
        guard waiting.isEmpty else { return }
        for id in drained.sorted() { moveDrained(from: id, at: now, into: &effects) }
        for (id, since) in joined.sorted(by: { $0.key < $1.key }) {
            giveShare(to: id, since, at: now, into: &effects)
        }
    }

    // MARK: Restart

    /// A restarted shard reads its games from PostgreSQL; what it does not show after a while is sent (CHECKLIST R45).
    mutating func beginResync(of id: ShardID, at now: MachineInstant) {
        guard !(held[id] ?? []).isEmpty else { return }
        let since = shards[id]?.resync?.since ?? now
        let due = min(now.advanced(by: policy.resyncDebounce), since.advanced(by: policy.resyncDebounce * 2))
        shards[id]?.resync = Shard.Resync(since: since, due: due)
        resyncing.insert(id)
        counters.resyncs += 1
    }

    private mutating func advanceResync(of id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard let shard = shards[id], let resync = shard.resync, !shard.isDead else {
            resyncing.remove(id)
            return
        }
        guard now >= resync.due else { return }
        for game in (held[id] ?? []).sorted() {
            guard case .watched(let seat) = games[game]?.placement, shard.observed[game] != seat.epoch else { continue }
            guard takePace(id, at: now) else { return }
            shards[id]?.resync?.resent += 1
            command(game, seat, at: now, into: &effects)
        }
    }

    /// It is over when the shard shows every game that is its own.
    mutating func finishResync(of id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard let shard = shards[id], let resync = shard.resync else { return }
        let isOpen = (held[id] ?? []).contains { game in
            switch games[game]?.placement {
            case .watched(let seat): shard.observed[game] != seat.epoch
            case .commanded: true
            default: false
            }
        }
        if isOpen { return }
        shards[id]?.resync = nil
        resyncing.remove(id)
        effects.append(.notify(.resyncComplete(id, games: resync.resent, took: now.since(resync.since))))
    }

    private mutating func takePace(_ id: ShardID, at now: MachineInstant) -> Bool {
        shards[id]?.pace.take(at: now) ?? false
    }

    // MARK: Drain

    private mutating func moveDrained(from id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard let shard = shards[id], !shard.isDead else { return }
        let own = (held[id] ?? []).filter { isWatched($0) }.sorted()
        guard !own.isEmpty else { return }
        var budget = freeSeats(at: now) - leaving.count
        for game in own where budget > 0 {
            guard let target = target(for: game, at: now), takePace(target, at: now) else { continue }
            guard case .watched(let seat) = games[game]?.placement else { continue }
            move(game, from: seat, to: target, .drained, at: now, into: &effects)
            budget -= 1
        }
    }

    /// The shard with the most free capacity that may be given a game right now.
    private func target(for id: GameID, at now: MachineInstant) -> ShardID? {
        guard let game = games[id] else { return nil }
        let candidates = shards.values.filter {
            mayTakeGames($0, at: now) && fits(game, $0.kind) && $0.pace.wait(at: now) == .zero
        }
        let best = candidates.max { left, right in
            let (leftFree, rightFree) = (spare(left), spare(right))
            if left.kind != right.kind { return right.kind == game.wants }
            return leftFree != rightFree ? leftFree < rightFree : left.id > right.id
        }
        return best.flatMap { spare($0) > 0 ? $0.id : nil }
    }

    /// Free seats that no move is on its way to.
    private func spare(_ shard: Shard) -> Int { free(on: shard) - inbound(to: shard.id) }

    private func isWatched(_ id: GameID) -> Bool {
        if case .watched = games[id]?.placement { true } else { false }
    }

    // MARK: Joining

    /// Notes that a shard came, or came back, while we led.
    ///
    /// One that is heard first just after our start was here before, unless it is young. A crypto shard is given
    /// what it is stood in for all the same: that is not well where it is.
    ///
    /// - Parameters:
    ///   - id: who came.
    ///   - isBack: whether we heard that it was not well.
    ///   - now: when.
    mutating func joins(_ id: ShardID, isBack: Bool = false, at now: MachineInstant) {
        guard !drained.contains(id) else { return }
        if now < joinsCountFrom, !isBack, !isYoung(id) {
            guard shards[id]?.kind == .crypto else { return }
            homes.insert(id)
        } else {
            homes.remove(id)
        }
        joined[id] = now
        shares[id] = nil
    }

    /// Whether it has lived for less than a share takes: whoever led before us had not given it one.
    ///
    /// Told by its heartbeats and no clock; those that it sends for news make it look older, and then it waits.
    private func isYoung(_ id: ShardID) -> Bool {
        guard let shard = shards[id], shard.incarnation != nil else { return false }
        let limit = policy.rebalanceAfter + policy.shardTimeout
        // A number from outside is not multiplied.
        return Int64(limit / policy.heartbeatInterval) > shard.beat
    }

    /// Moves games to a shard that joined, until its share is as large as the others' (CHECKLIST R52, R53).
    private mutating func giveShare(
        to id: ShardID, _ since: MachineInstant, at now: MachineInstant, into effects: inout [Effect]
    ) {
        guard let shard = shards[id], !shard.isDead else { return leaveAsIs(id) }
        guard mayTakeGames(shard, at: now), shard.resync == nil else { return joined[id] = now }
        guard now.since(since) >= policy.rebalanceAfter else { return }
        let share = shares[id] ?? fairShare(of: shard, at: now)
        shares[id] = share
        let spare = spare(shard)
        guard share > 0, spare > 0 else { return leaveAsIs(id) }
        guard let (game, seat) = surplus(for: shard, spare: spare) else {
            // A fuller shard's games may all be on their way just now. What is on its way here may still come to
            // nothing, but then it was not needed.
            if homes.contains(id) || fuller(than: shard, spare: spare) == nil { leaveAsIs(id) }
            return
        }
        guard takePace(id, at: now) else { return }
        shares[id] = share - 1
        move(game, from: seat, to: id, .rebalanced, at: now, into: &effects)
    }

    private mutating func leaveAsIs(_ id: ShardID) {
        homes.remove(id)
        joined[id] = nil
        shares[id] = nil
    }

    /// How many games may move at most: what each would have if all had as many.
    private func fairShare(of shard: Shard, at now: MachineInstant) -> Int {
        let peers = shards.values.filter { $0.kind == shard.kind && $0.isWell }.count
        return (games.count + max(1, peers) - 1) / max(1, peers)
    }

    /// A game that should rather be watched by this shard, and can be given away now.
    private func surplus(for shard: Shard, spare: Int) -> (GameID, Seat)? {
        if shard.kind == .crypto {
            // What fell back to a sports shard comes home.
            for donor in donors(to: shard).filter({ $0.kind == .sports }).sorted(by: { $0.id < $1.id }) {
                if let found = movable(on: donor.id, where: { $0.wants == .crypto }) { return found }
            }
        }
        if homes.contains(shard.id) { return nil }
        return fuller(than: shard, spare: spare).flatMap { movable(on: $0.id) { _ in true } }
    }

    /// The fullest shard of the same kind, if it holds at least two games too many for this one's free seats.
    private func fuller(than shard: Shard, spare: Int) -> Shard? {
        let fullest = donors(to: shard).filter { $0.kind == shard.kind }.min { left, right in
            let (leftFree, rightFree) = (free(on: left), free(on: right))
            return leftFree != rightFree ? leftFree < rightFree : left.id < right.id
        }
        return fullest.flatMap { spare - free(on: $0) - outbound(from: $0.id) >= 2 ? $0 : nil }
    }

    private func donors(to shard: Shard) -> [Shard] {
        shards.values.filter { $0.id != shard.id && !$0.isDead && !(held[$0.id] ?? []).isEmpty }
    }

    private func outbound(from id: ShardID) -> Int { leaving.count { games[$0]?.placement.seat?.shard == id } }

    /// A watched game of the shard; one that does not play yet before one that does.
    private func movable(on id: ShardID, where isWanted: (WatchedGame) -> Bool) -> (GameID, Seat)? {
        let own = (held[id] ?? []).compactMap { games[$0] }.filter { isWatched($0.game.id) && isWanted($0) }
        let first = own.min { left, right in
            let (leftLive, rightLive) = (left.status == .live, right.status == .live)
            return leftLive != rightLive ? rightLive : left.game.id < right.game.id
        }
        guard let first, let seat = first.placement.seat else { return nil }
        return (first.game.id, seat)
    }
}
