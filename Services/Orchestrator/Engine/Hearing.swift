import Domain
import Resilience

/// What heartbeats and acknowledgements change.
extension OrchestratorEngine {
    mutating func hear(_ heartbeat: ShardHeartbeat, at now: MachineInstant, into effects: inout [Effect]) {
        let id = heartbeat.shard
        var shard = shards[id] ?? Shard(id, at: now)
        let isNewLife = shard.incarnation != nil && shard.incarnation != heartbeat.incarnation
        if isNewLife, heartbeat.startedAt < shard.startedAt { return counters.lateHeartbeats += 1 }
        if !isNewLife, shard.incarnation != nil, heartbeat.beat <= shard.beat { return counters.lateHeartbeats += 1 }

        let last = shard.incarnation
        let wasDead = shard.isDead
        shard.take(heartbeat, at: now)
        shard.isDead = false
        if isNewLife {
            shard.zombies = [:]
            shard.breaker.reset()
        }
        shards[id] = shard
        detector.heard(id, at: now)
        guard let term else { return }

        if isNewLife, let last {
            effects.append(.notify(.shardRestarted(id, from: last, to: heartbeat.incarnation)))
            resync(id, at: now, into: &effects)
        } else if wasDead {
            effects.append(.notify(.shardRecovered(id)))
        }
        reconcile(id, at: now, into: &effects)
        moveAwayIfUnfit(id, at: now, into: &effects)
        if mayGrant(id) {
            shards[id]?.lastGrant = now
            effects.append(.grant(id, heartbeat.incarnation, beat: heartbeat.beat, term: term))
        }
    }

    /// A shard that games are being taken from is not granted: without an acknowledgement its lease must end.
    private func mayGrant(_ id: ShardID) -> Bool {
        !(held[id] ?? []).contains { game in
            switch games[game]?.placement {
            case .leaving(_, _, .drained, _), .leaving(_, _, .degraded, _): true
            default: false
            }
        }
    }

    /// Gives a restarted shard everything that is its own, under the epochs that it had (CHECKLIST R45).
    private mutating func resync(_ id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        for key in revokes.keys.filter({ $0.shard == id }) { revokes[key] = nil }
        var resent = 0
        for game in (held[id] ?? []).sorted() {
            switch games[game]?.placement {
            case .commanded(let seat, _), .watched(let seat):
                guard shards[id]?.observed[game] != seat.epoch else { continue }
                command(game, seat, at: now, into: &effects)
                resent += 1
            case .leaving(let seat, _, _, isRevoked: false):
                // It was taken for dead, and nothing was given away yet.
                command(game, seat, at: now, into: &effects)
                resent += 1
            case .leaving(_, _, let reason, isRevoked: true):
                // The life that held it is over, and so is its lease.
                place(game, .waiting(reason))
            default: continue
            }
        }
        shards[id]?.resync = resent > 0 ? Shard.Resync(since: now, games: resent) : nil
        counters.resyncs += 1
    }

    mutating func take(_ answer: Acknowledgement, at now: MachineInstant, into effects: inout [Effect]) {
        guard isLeading else { return }
        let key = Revoke.Key(shard: answer.shard, game: answer.game)
        if revokes[key]?.command.id == answer.command {
            revokes[key] = nil
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
        else { return }
        switch answer.verdict {
        case .accepted:
            delivery.isAcknowledged = true
            place(answer.game, .commanded(seat, delivery))
        case .stale:
            askForReread(at: now, into: &effects)
        case .refused:
            shards[seat.shard]?.breaker.fail(at: now)
            counters.refusals += 1
            place(answer.game, .waiting(.refused))
            placeWaiting(at: now, into: &effects)
        }
    }

    mutating func hear(_ heartbeat: ServiceHeartbeat, at now: MachineInstant, into effects: inout [Effect]) {
        let name = Service.Name(service: heartbeat.service, instance: heartbeat.instance)
        let known = services[name]
        services[name] = Service(
            incarnation: heartbeat.incarnation, status: heartbeat.status, failedChecks: heartbeat.failedChecks.sorted(),
            lastHeard: max(now, known?.lastHeard ?? now), isDead: false)
        guard isLeading, let known else { return }
        if known.incarnation != heartbeat.incarnation {
            effects.append(.notify(.serviceRestarted(service: name.service, instance: name.instance)))
        } else if known.isDead {
            effects.append(.notify(.serviceRecovered(service: name.service, instance: name.instance)))
        }
    }
}
