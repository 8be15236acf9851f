import Domain
import Resilience

/// Bringing what is wanted and what one shard shows together.
extension OrchestratorEngine {
    mutating func reconcile(_ id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard let shard = shards[id] else { return }
        for key in revokes.keys.filter({ $0.shard == id && shard.observed[$0.game] == nil }) {
            // A game that was never shown proves nothing: its command may still arrive before the revoke.
            if case .leaving(_, _, .missing, _) = games[key.game]?.placement { continue }
            revokes[key] = nil
        }
        let own = held[id] ?? []
        for game in own.filter({ needsLook($0, seen: shard.observed[$0]) }).sorted() {
            compare(game, seen: shard.observed[game], at: now, into: &effects)
        }
        let foreign = shard.observed.filter { !own.contains($0.key) }
        if !foreign.isEmpty || !shard.zombies.isEmpty {
            meetForeign(foreign, on: id, at: now, into: &effects)
        }
        finishResync(of: id, at: now, into: &effects)
    }

    private func needsLook(_ game: GameID, seen: Epoch?) -> Bool {
        if case .watched(let seat) = games[game]?.placement { seen != seat.epoch } else { true }
    }

    /// Compares one game of the shard's own with what the shard shows.
    private mutating func compare(
        _ game: GameID, seen: Epoch?, at now: MachineInstant, into effects: inout [Effect]
    ) {
        switch games[game]?.placement {
        case .commanded(let seat, _) where seen == seat.epoch:
            shards[seat.shard]?.breaker.succeed(at: now)
            place(game, .watched(seat))
        case .watched(let seat):
            if let seen, seen > seat.epoch { return askForReread(at: now, into: &effects) }
            // A draining shard that does not show it any more has let go.
            if shards[seat.shard]?.status == .stopping { return place(game, .waiting(.drained)) }
            counters.missing += 1
            command(game, seat, at: now, into: &effects)
        case .leaving(_, _, let reason, isRevoked: true) where seen == nil && reason != .missing:
            // It showed the game before, and does not any more: as good as an acknowledgement.
            place(game, .waiting(reason))
        case .leaving(let seat, _, _, isRevoked: false) where seen == seat.epoch:
            // It was taken for dead, and nothing was given away yet.
            place(game, .watched(seat))
        case .commanded(let seat, _):
            if let seen, seen > seat.epoch { askForReread(at: now, into: &effects) }
        default: break
        }
    }

    /// Games that the shard shows and that are not its own: its old ones, or zombies.
    private mutating func meetForeign(
        _ foreign: [GameID: Epoch], on id: ShardID, at now: MachineInstant, into effects: inout [Effect]
    ) {
        var zombies: [GameID: Int] = [:]
        for (game, epoch) in foreign.sorted(by: { $0.key < $1.key }) {
            let known = games[game]
            if let known, case .waiting = known.placement, known.owner == Seat(shard: id, epoch: epoch),
                known.epoch == epoch, revokes[Revoke.Key(shard: id, game: game)] == nil
            {
                place(game, .watched(Seat(shard: id, epoch: epoch)))
                continue
            }
            if let newest = known?.epoch, epoch > newest { askForReread(at: now, into: &effects) }
            let count = (shards[id]?.zombies[game] ?? 0) + 1
            zombies[game] = count
            if count == policy.zombieGrace { counters.zombies += 1 }
            if count >= policy.zombieGrace {
                revoke(game, from: Seat(shard: id, epoch: epoch), reason: "zombie", at: now, into: &effects)
            }
        }
        shards[id]?.zombies = zombies
    }

    private mutating func finishResync(of id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard let resync = shards[id]?.resync else { return }
        let isOpen = (held[id] ?? []).contains { game in
            if case .commanded = games[game]?.placement { true } else { false }
        }
        if isOpen { return }
        shards[id]?.resync = nil
        effects.append(.notify(.resyncComplete(id, games: resync.games, took: now.since(resync.since))))
    }

    /// Takes the games of a draining or lastingly degraded shard away.
    mutating func moveAwayIfUnfit(_ id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard let shard = shards[id], !shard.isDead else { return }
        let isDegraded = shard.isDegraded(at: now, after: policy.degradedAfter)
        if isDegraded != shard.isKnownDegraded {
            shards[id]?.isKnownDegraded = isDegraded
            let change: FleetChange =
                isDegraded ? .shardDegraded(id, failedChecks: shard.failedChecks) : .shardRecovered(id)
            effects.append(.notify(change))
        }
        let reason: MoveReason
        var budget: Int
        if shard.status == .stopping {
            reason = .drained
            budget = .max
        } else if isDegraded {
            reason = .degraded
            // Half a shard watches better than none: only what finds room elsewhere leaves.
            budget = freeSeats(at: now) - waiting.count - leavingCount
        } else {
            return
        }
        for game in (held[id] ?? []).sorted() where budget > 0 {
            switch games[game]?.placement {
            case .commanded(let seat, _), .watched(let seat):
                let until = shard.leaseOver(lease: policy.lease, at: now)
                place(game, .leaving(seat, until: until, reason, isRevoked: true))
                revoke(game, from: seat, reason: reason.rawValue, at: now, into: &effects)
                budget -= 1
            default: continue
            }
        }
    }

    /// Games that will want a seat soon.
    private var leavingCount: Int {
        unsettled.count { game in
            if case .leaving = games[game]?.placement { true } else { false }
        }
    }

    /// Tells the owner, who is stored already.
    mutating func command(_ game: GameID, _ seat: Seat, at now: MachineInstant, into effects: inout [Effect]) {
        let delivery = Placement.Delivery(command: nextCommandID(), since: now, sentAt: now)
        place(game, .commanded(seat, delivery))
        send(game, seat, delivery, into: &effects)
    }

    private mutating func send(
        _ id: GameID, _ seat: Seat, _ delivery: Placement.Delivery, into effects: inout [Effect]
    ) {
        guard let game = games[id] else { return }
        counters.assignsSent += 1
        effects.append(
            .sendCommand(
                Command(
                    id: delivery.command, shard: seat.shard, game: id, epoch: seat.epoch,
                    order: .assign(game.game, game.markets, pregame: game.pregame))))
    }

    /// Tells a shard to stop watching; sent again until its heartbeats show that it did.
    mutating func revoke(
        _ game: GameID, from seat: Seat, reason: String, at now: MachineInstant, into effects: inout [Effect]
    ) {
        let key = Revoke.Key(shard: seat.shard, game: game)
        if let pending = revokes[key], pending.command.epoch == seat.epoch { return }
        let command = Command(
            id: nextCommandID(), shard: seat.shard, game: game, epoch: seat.epoch, order: .revoke(reason: reason))
        revokes[key] = Revoke(command: command, sentAt: now)
        counters.revokesSent += 1
        effects.append(.sendCommand(command))
    }

    mutating func resendRevokes(at now: MachineInstant, into effects: inout [Effect]) {
        for (key, pending) in revokes.sorted(by: { $0.key < $1.key }) {
            if shards[key.shard]?.isDead ?? true {
                revokes[key] = nil
            } else if now.since(pending.sentAt) >= policy.resendAfter {
                revokes[key]?.sentAt = now
                counters.revokesSent += 1
                effects.append(.sendCommand(pending.command))
            }
        }
    }

    /// What time alone changes: commands not taken up, leases run out, ends not stored.
    mutating func advanceUnsettled(at now: MachineInstant, into effects: inout [Effect]) {
        for id in unsettled.sorted() {
            guard let game = games[id] else { continue }
            switch game.placement {
            case .commanded(let seat, let delivery) where now.since(delivery.since) >= policy.missingGrace:
                giveUp(id, seat, at: now, into: &effects)
            case .commanded(let seat, var delivery) where now.since(delivery.sentAt) >= policy.resendAfter:
                if delivery.isAcknowledged { continue }
                delivery.sentAt = now
                place(id, .commanded(seat, delivery))
                send(id, seat, delivery, into: &effects)
            case .leaving(_, let until, let reason, _) where now >= until:
                place(id, .waiting(reason))
            case .releasing(let seat):
                guard let notBefore = game.notBefore, now >= notBefore else { continue }
                release(id, from: seat, into: &effects)
            default: continue
            }
        }
    }

    /// A shard that lives did not take a game up within the grace: take it back, under a higher epoch.
    private mutating func giveUp(_ id: GameID, _ seat: Seat, at now: MachineInstant, into effects: inout [Effect]) {
        shards[seat.shard]?.breaker.fail(at: now)
        // It does not show the game, so at most the command itself is still on its way: one lease is enough for it.
        place(id, .leaving(seat, until: now.advanced(by: policy.lease), .missing, isRevoked: true))
        revoke(id, from: seat, reason: "missing", at: now, into: &effects)
    }
}
