import Domain
import Resilience

/// What heartbeats and acknowledgements change.
extension OrchestratorEngine {
    mutating func hear(_ heartbeat: ShardHeartbeat, at now: MachineInstant, into effects: inout [Effect]) {
        let id = heartbeat.shard
        guard shards[id] != nil || shards.count < Self.largestFleet else { return note(.crowd, into: &effects) }
        var shard = shards[id] ?? Shard(id, at: now, policy)
        let last = shard.incarnation
        let isNewLife = last != nil && last != heartbeat.incarnation
        guard isNewest(heartbeat, of: shard, at: now) else { return note(.lateHeartbeat, into: &effects) }
        if heartbeat.capacity != min(max(0, heartbeat.capacity), Shard.largestCapacity) {
            note(.impossibleCapacity, into: &effects)
        }
        if heartbeat.games.count > max(0, heartbeat.capacity) { note(.overfull, into: &effects) }

        let (wasDead, wasWell, wasDegraded) = (shard.isDead, shard.isWell, shard.isKnownDegraded)
        let breakerBefore = shard.breaker.state
        shard.take(heartbeat, at: now, recoverAfter: policy.recoverAfter)
        if isNewLife {
            shard.zombies = [:]
            shard.claims = [:]
            shard.breaker.reset()
            revokes[id] = nil
        }
        shards[id] = shard
        detector.heard(id, at: now)
        guard let term else { return }

        // One that was not well when games were placed, or lost some since, has no share yet.
        let isBack = last != nil && !wasWell && shard.isWell && (wasDegraded || (held[id] ?? []).isEmpty)
        if last == nil || isNewLife || wasDead || isBack { joins(id, isBack: isBack, at: now) }
        // Nobody knows whether a life that is heard for the first time has read its games already.
        let mayBeNew = isNewLife || last == nil
        if mayBeNew || wasDead { takeBack(from: id, isNewLife: mayBeNew, at: now, into: &effects) }
        if isNewLife, let last {
            effects.append(.notify(.shardRestarted(id, from: last, to: heartbeat.incarnation)))
            if breakerBefore != .closed { effects.append(.notify(.breakerClosed(id))) }
            beginResync(of: id, at: now)
        }
        if wasDead { effects.append(.notify(.shardRecovered(id))) }
        reconcile(id, at: now, into: &effects)
        moveAwayIfUnfit(id, at: now, into: &effects)
        if mayGrant(id) {
            shards[id]?.lastGrant = now
            effects.append(.grant(id, heartbeat.incarnation, beat: heartbeat.beat, term: term))
        }
    }

    /// Whether the heartbeat is newer than what is known.
    ///
    /// Of two lives the one that started later counts; clocks may be wrong, so a life that is heard while the other is
    /// silent is believed whatever its start says.
    private func isNewest(_ heartbeat: ShardHeartbeat, of shard: Shard, at now: MachineInstant) -> Bool {
        guard let incarnation = shard.incarnation else { return true }
        if incarnation == heartbeat.incarnation { return heartbeat.beat > shard.beat }
        return heartbeat.startedAt > shard.startedAt || shard.isDead
            || now.since(shard.lastHeard) >= policy.shardTimeout
    }

    /// A shard that is back keeps what is still its own in PostgreSQL, shown or not: its lease goes on, and a new life
    /// reads its games there.
    private mutating func takeBack(
        from id: ShardID, isNewLife: Bool, at now: MachineInstant, into effects: inout [Effect]
    ) {
        for game in (held[id] ?? []).sorted() {
            switch games[game]?.placement {
            // What no life takes up is not put off by another restart, but this one may read it all the same.
            case .leaving(let seat, until: _?, .missing, _):
                revoke(game, from: seat, reason: "missing", isUnread: true, at: now, into: &effects)
            case .leaving(let seat, _, _, let isRevoked) where isNewLife || !isRevoked: place(game, .watched(seat))
            case .commanded(let seat, var delivery) where isNewLife:
                // Whoever acknowledged it is gone.
                delivery.isAcknowledged = false
                place(game, .commanded(seat, delivery))
            default: continue
            }
        }
        for game in waiting {
            guard let known = games[game], case .waiting(let reason) = known.placement, let seat = known.owner,
                seat.shard == id, !known.isDoubted, isNewLife || reason == .dead
            else { continue }
            games[game]?.notBefore = nil
            place(game, .watched(seat))
        }
        guard (givenAway[id] ?? 0) > 0 else { return }
        for change in batches.values.flatMap(\.changes)
        where change.from == id && (isNewLife || change.reason == .dead) {
            games[change.game.id]?.isTakenBack = true
        }
    }

    private func mayGrant(_ id: ShardID) -> Bool {
        // The new owner is being stored.
        if (givenAway[id] ?? 0) > 0 { return false }
        if (revokes[id] ?? [:]).contains(where: { isWithdrawn($0.key, $0.value) }) { return false }
        let own = held[id] ?? []
        if !leaving.isEmpty, own.contains(where: { games[$0]?.placement.endsLease ?? false }) { return false }
        // What it still shows and somebody else is about to get must not be covered by a new lease either.
        let shown = shards[id]?.observed ?? [:]
        return !shown.keys.contains { !own.contains($0) && games[$0]?.owner?.shard == id }
    }

    /// Whether its shard may yet read the game as its own, and has not promised to leave it; without that promise it is
    /// granted nothing.
    func isWithdrawn(_ game: GameID, _ revoke: Revoke) -> Bool {
        revoke.isUnread && games[game]?.owner == Seat(shard: revoke.command.shard, epoch: revoke.command.epoch)
    }

    mutating func take(_ answer: Acknowledgement, at now: MachineInstant, into effects: inout [Effect]) {
        guard isLeading else { return }
        guard shards[answer.shard] != nil else { return note(.unknownShard, into: &effects) }
        if revokes[answer.shard]?[answer.game]?.command.id == answer.command {
            revokes[answer.shard]?[answer.game] = nil
            if case .leaving(let seat, _, let reason, isRevoked: true) = games[answer.game]?.placement,
                seat.shard == answer.shard
            {
                place(answer.game, .waiting(reason))
                placeWaiting(at: now, into: &effects)
            }
            return
        }
        guard case .commanded(let seat, var delivery) = games[answer.game]?.placement, seat.shard == answer.shard,
            delivery.command == answer.command
        else { return note(.unknownCommand, into: &effects) }
        if answer.verdict == .accepted {
            delivery.isAcknowledged = true
            place(answer.game, .commanded(seat, delivery))
        } else {
            refuse(answer.game, seat, answer.verdict, at: now, into: &effects)
        }
    }

    /// A shard will not take the game under this epoch: the next one is tried elsewhere, and not for ever at once.
    private mutating func refuse(
        _ id: GameID, _ seat: Seat, _ verdict: Acknowledgement.Verdict, at now: MachineInstant,
        into effects: inout [Effect]
    ) {
        counters.refusals += 1
        games[id]?.avoided = seat.shard
        let refusals = (games[id]?.refusals ?? 0) + 1
        games[id]?.refusals = refusals
        if verdict == .atCapacity || verdict == .draining {
            shards[seat.shard]?.hasRefused = true
            assignmentFailed(on: seat.shard, at: now, into: &effects)
        }
        if refusals > 1 {
            games[id]?.notBefore = now.advanced(by: policy.commitRetryAfter * min(30, 1 << min(refusals - 2, 5)))
        }
        place(id, .waiting(.refused))
        placeWaiting(at: now, into: &effects)
    }

    /// A shard did not take up what it was given.
    mutating func assignmentFailed(on id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard var breaker = shards[id]?.breaker else { return }
        let openings = breaker.openings
        breaker.fail(at: now)
        shards[id]?.breaker = breaker
        if breaker.openings > openings {
            effects.append(.notify(.breakerOpened(id, failures: breaker.consecutiveFailures)))
        }
    }

    mutating func assignmentSucceeded(on id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard var breaker = shards[id]?.breaker else { return }
        let before = breaker.state
        breaker.succeed(at: now)
        shards[id]?.breaker = breaker
        if before != .closed, breaker.state == .closed { effects.append(.notify(.breakerClosed(id))) }
    }

    mutating func hear(_ heartbeat: ServiceHeartbeat, at now: MachineInstant, into effects: inout [Effect]) {
        let name = Service.Name(service: heartbeat.service, instance: heartbeat.instance)
        let known = services[name]
        guard known != nil || services.count < Self.largestFleet else { return note(.crowd, into: &effects) }
        let isRestart = known.map { $0.incarnation != heartbeat.incarnation } ?? false
        // Two processes of one name would otherwise restart each other for ever.
        if let known, isRestart, known.former == heartbeat.incarnation,
            now.since(known.lastHeard) < policy.serviceTimeout
        {
            return note(.lateHeartbeat, into: &effects)
        }
        services[name] = Service(
            incarnation: heartbeat.incarnation, former: isRestart ? known?.incarnation : known?.former,
            status: heartbeat.status, failedChecks: heartbeat.failedChecks.sorted(),
            lastHeard: max(now, known?.lastHeard ?? now), isDead: false)
        guard isLeading, let known else { return }
        if isRestart {
            effects.append(.notify(.serviceRestarted(service: name.service, instance: name.instance)))
        }
        if known.isDead {
            effects.append(.notify(.serviceRecovered(service: name.service, instance: name.instance)))
        }
    }
}
