import Domain
import Resilience

/// Bringing what is wanted and what one shard shows together.
extension OrchestratorEngine {
    mutating func reconcile(_ id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard let shard = shards[id] else { return }
        for (game, pending) in revokes[id] ?? [:] where shard.observed[game] == nil {
            // A game that was never shown proves nothing: its command may still arrive before the revoke.
            if isWithdrawn(game, pending) { continue }
            if case .leaving(_, until: _?, .missing, _) = games[game]?.placement { continue }
            revokes[id]?[game] = nil
        }
        if !shard.claims.isEmpty { shards[id]?.claims = shard.claims.filter { shard.observed[$0.key] != nil } }
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
            assignmentSucceeded(on: seat.shard, at: now, into: &effects)
            games[game]?.refusals = 0
            games[game]?.avoided = nil
            place(game, .watched(seat))
        case .watched(let seat):
            if let seen, seen > seat.epoch { return doubt(game, seat, claimed: seen, at: now, into: &effects) }
            // A draining shard that does not show it any more has let go.
            if shards[seat.shard]?.status == .stopping { return place(game, .waiting(.drained)) }
            // After a restart it reads its games by itself, or is given them in pace.
            if shards[seat.shard]?.resync != nil { return }
            counters.missing += 1
            command(game, seat, at: now, into: &effects)
        case .leaving(_, let until, let reason, isRevoked: true)
        where seen == nil && (reason != .missing || until == nil):
            // It showed the game before, and does not any more: as good as an acknowledgement.
            place(game, .waiting(reason))
        case .leaving(let seat, until: _?, .missing, isRevoked: true) where seen == seat.epoch:
            // Taken up after all: from now on only an obeyed revoke takes it away.
            games[game]?.leavingSince = now
            place(game, .leaving(seat, until: nil, .missing, isRevoked: true))
        case .leaving(let seat, _, _, isRevoked: false) where seen == seat.epoch:
            // It was taken for dead, and nothing was given away yet.
            place(game, .watched(seat))
        case .commanded(let seat, _):
            if let seen, seen > seat.epoch { doubt(game, seat, claimed: seen, at: now, into: &effects) }
        default: break
        }
    }

    /// A shard shows a game of its own under an epoch beyond ours: we are behind, or it is wrong.
    ///
    /// PostgreSQL decides. When a reread does not know the epoch either, the game moves under a higher one, for its
    /// shard cannot trade it.
    private mutating func doubt(
        _ game: GameID, _ seat: Seat, claimed: Epoch, at now: MachineInstant, into effects: inout [Effect]
    ) {
        guard isDisproved(game, on: seat.shard, at: now, into: &effects) else { return }
        assignmentFailed(on: seat.shard, at: now, into: &effects)
        games[game]?.avoided = seat.shard
        place(game, .leaving(seat, until: now.advanced(by: policy.lease), .missing, isRevoked: true))
        revoke(game, from: Seat(shard: seat.shard, epoch: claimed), reason: "zombie", at: now, into: &effects)
    }

    /// Whether a reread was done since the shard first showed this epoch; asks for one otherwise.
    private mutating func isDisproved(
        _ game: GameID, on id: ShardID, at now: MachineInstant, into effects: inout [Effect]
    ) -> Bool {
        guard let known = shards[id]?.claims[game] else {
            shards[id]?.claims[game] = rereads
            askForReread(at: now, into: &effects)
            return false
        }
        guard rereads > known else {
            askForReread(at: now, into: &effects)
            return false
        }
        note(.impossibleEpoch, into: &effects)
        return true
    }

    /// Games that the shard shows and that are not its own: its old ones, or zombies.
    private mutating func meetForeign(
        _ foreign: [GameID: Epoch], on id: ShardID, at now: MachineInstant, into effects: inout [Effect]
    ) {
        var zombies: [GameID: Int] = [:]
        for (game, epoch) in foreign.sorted(by: { $0.key < $1.key }) {
            let known = games[game]
            if let known, case .waiting = known.placement, known.owner == Seat(shard: id, epoch: epoch),
                known.epoch == epoch, revokes[id]?[game] == nil
            {
                place(game, .watched(Seat(shard: id, epoch: epoch)))
                continue
            }
            if let newest = known?.epoch, epoch > newest {
                _ = isDisproved(game, on: id, at: now, into: &effects)
            }
            let count = (shards[id]?.zombies[game] ?? 0) + 1
            zombies[game] = count
            if count == policy.zombieGrace { counters.zombies += 1 }
            if count >= policy.zombieGrace {
                revoke(game, from: Seat(shard: id, epoch: epoch), reason: "zombie", at: now, into: &effects)
            }
        }
        shards[id]?.zombies = zombies
    }

    /// Takes the games of a draining or lastingly degraded shard away.
    mutating func moveAwayIfUnfit(_ id: ShardID, at now: MachineInstant, into effects: inout [Effect]) {
        guard let shard = shards[id], !shard.isDead else { return }
        let isDegraded = shard.isDegraded(at: now, after: policy.degradedAfter, judgingSince: judgingSince)
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
            guard shard.wellSince == nil else { return }
            budget = freeSeats(at: now) - waiting.count - leaving.count
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

    /// Tells the owner, who is stored already.
    mutating func command(_ game: GameID, _ seat: Seat, at now: MachineInstant, into effects: inout [Effect]) {
        var since = now
        // Sent again after a restart: the grace still runs from when the game was given first.
        if case .commanded(seat, let earlier) = games[game]?.placement { since = earlier.since }
        let delivery = Placement.Delivery(command: nextCommandID(), since: since, sentAt: now)
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
        _ game: GameID, from seat: Seat, reason: String, isUnread: Bool = false, at now: MachineInstant,
        into effects: inout [Effect]
    ) {
        if isUnread { revokes[seat.shard]?[game]?.isUnread = true }
        if let pending = revokes[seat.shard]?[game], pending.command.epoch == seat.epoch { return }
        let command = Command(
            id: nextCommandID(), shard: seat.shard, game: game, epoch: seat.epoch, order: .revoke(reason: reason))
        revokes[seat.shard, default: [:]][game] = Revoke(command: command, isUnread: isUnread, sentAt: now)
        counters.revokesSent += 1
        effects.append(.sendCommand(command))
    }

    mutating func resendRevokes(at now: MachineInstant, into effects: inout [Effect]) {
        for shard in revokes.keys.sorted() {
            guard let pending = revokes[shard], !pending.isEmpty, !(shards[shard]?.isDead ?? true) else {
                revokes[shard] = nil
                continue
            }
            for (game, revoke) in pending.sorted(by: { $0.key < $1.key })
            where now.since(revoke.sentAt) >= policy.resendAfter {
                revokes[shard]?[game]?.sentAt = now
                counters.revokesSent += 1
                effects.append(.sendCommand(revoke.command))
            }
        }
    }

    /// What time alone changes: commands not taken up, leases run out, ends not stored.
    mutating func advanceUnsettled(at now: MachineInstant, into effects: inout [Effect]) {
        for id in unsettled.sorted() {
            guard let game = games[id] else { continue }
            switch game.placement {
            case .releasing(let seat):
                guard let notBefore = game.notBefore, now >= notBefore else { continue }
                release(id, from: seat, into: &effects)
            case _ where !busIsUp:
                // Who is deaf cannot know what became of a command, nor whether a revoke arrives.
                continue
            case .commanded(let seat, let delivery)
            where now.since(max(delivery.since, hearingSince ?? delivery.since)) >= policy.missingGrace:
                giveUp(id, seat, at: now, into: &effects)
            case .commanded(let seat, var delivery) where now.since(delivery.sentAt) >= policy.resendAfter:
                if delivery.isAcknowledged { continue }
                delivery.sentAt = now
                place(id, .commanded(seat, delivery))
                send(id, seat, delivery, into: &effects)
            case .leaving(_, until: let until?, let reason, _) where now >= until:
                place(id, .waiting(reason))
            case .leaving(let seat, until: nil, _, _) where now.since(game.leavingSince ?? now) >= policy.missingGrace:
                stay(id, seat, at: now, into: &effects)
            default: continue
            }
        }
    }

    /// A shard that is well does not obey a revoke: it keeps the game, which was only to be moved.
    private mutating func stay(_ id: GameID, _ seat: Seat, at now: MachineInstant, into effects: inout [Effect]) {
        assignmentFailed(on: seat.shard, at: now, into: &effects)
        revokes[seat.shard]?[id] = nil
        games[id]?.preferred = nil
        counters.movesGivenUp += 1
        place(id, .watched(seat))
    }

    /// A shard that lives did not take a game up within the grace: take it back, under a higher epoch.
    private mutating func giveUp(_ id: GameID, _ seat: Seat, at now: MachineInstant, into effects: inout [Effect]) {
        assignmentFailed(on: seat.shard, at: now, into: &effects)
        games[id]?.avoided = seat.shard
        // It does not show the game, so at most the command itself is still on its way: one lease is enough for it.
        place(id, .leaving(seat, until: now.advanced(by: policy.lease), .missing, isRevoked: true))
        revoke(id, from: seat, reason: "missing", at: now, into: &effects)
    }
}
