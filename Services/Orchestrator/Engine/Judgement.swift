import Domain
import Resilience

/// Who is dead, what is broken, and which alerts say so.
extension OrchestratorEngine {
    /// Sentences shards that were silent for too long; all their games move together.
    mutating func judgeShards(at now: MachineInstant, into effects: inout [Effect]) {
        guard busIsUp, !mayBeDeafStill(at: now) else { return }
        for id in detector.overdue(at: now) {
            guard let shard = shards[id] else { continue }
            if shard.isDead {
                forgetIfLongDead(shard, at: now)
                continue
            }
            shards[id]?.isDead = true
            shards[id]?.zombies = [:]
            shards[id]?.claims = [:]
            shards[id]?.resync = nil
            shards[id]?.isKnownDegraded = false
            resyncing.remove(id)
            joined[id] = nil
            let own = (held[id] ?? []).sorted()
            effects.append(.notify(.shardDead(id, games: own)))
            let until = shard.leaseOver(lease: policy.lease, at: now)
            for game in own {
                switch games[game]?.placement {
                case .commanded(let seat, _), .watched(let seat):
                    place(game, .leaving(seat, until: until, .dead, isRevoked: false))
                case .leaving(let seat, until: nil, let reason, let isRevoked):
                    place(game, .leaving(seat, until: until, reason, isRevoked: isRevoked))
                default: continue
                }
            }
        }
    }

    /// Whether we hear again, but nobody yet: all may be on their way back to Redis as we were, and their silence says
    /// nothing for as long as a service may be silent.
    private func mayBeDeafStill(at now: MachineInstant) -> Bool {
        guard let hearingSince, now.since(hearingSince) < policy.serviceTimeout else { return false }
        return !shards.values.contains { $0.incarnation != nil && $0.lastHeard >= hearingSince }
    }

    /// A name that never comes back must not stay in the tables for ever.
    private mutating func forgetIfLongDead(_ shard: Shard, at now: MachineInstant) {
        guard now.since(shard.lastHeard) >= policy.forgetAfter, (held[shard.id] ?? []).isEmpty else { return }
        shards[shard.id] = nil
        held[shard.id] = nil
        detector.forget(shard.id)
    }

    mutating func judgeServices(at now: MachineInstant, into effects: inout [Effect]) {
        guard busIsUp else { return }
        for (name, service) in services.sorted(by: { $0.key < $1.key }) {
            let silence = now.since(max(service.lastHeard, hearingSince ?? service.lastHeard))
            if service.isDead {
                if silence >= policy.forgetAfter { services[name] = nil }
                continue
            }
            guard silence >= policy.serviceTimeout else { continue }
            services[name]?.isDead = true
            guard isLeading else { continue }
            effects.append(.notify(.serviceDead(service: name.service, instance: name.instance)))
        }
    }

    /// A state change raises its alert at once (DESIGN section 5).
    mutating func judge(
        _ dependency: Dependency, _ isHealthy: Bool, at now: MachineInstant, into effects: inout [Effect]
    ) {
        failures[dependency] = isHealthy ? 0 : (failures[dependency] ?? 0) + 1
        tell(of: dependency, at: now, into: &effects)
    }

    /// Raises or ends the alert; also when it becomes ours to tell what failed before.
    mutating func tell(of dependency: Dependency, at now: MachineInstant, into effects: inout [Effect]) {
        guard let count = failures[dependency] else { return }
        let (kind, threshold): (AlertKind, Int) =
            switch dependency {
            case .redis: (.redisConnectivityIssue, 1)
            case .postgres: (.databaseConnectivityIssue, policy.databaseFailuresToAlert)
            }
        // In between nothing changes: neither raised yet nor recovered.
        let isOurs = isLeading || ledLast || (dependency == .postgres && isLastWitness(at: now))
        if count == 0 || (count >= threshold && isOurs) {
            alert(kind, isFiring: count > 0, facts: ["failures": "\(count)"], at: now, into: &effects)
        }
    }

    /// Whether a standby has to tell that the database is away: nobody leads without it, and who led may be dead.
    ///
    /// Who is deaf for long cannot know that, and tells too: two alerts are better than none.
    private func isLastWitness(at now: MachineInstant) -> Bool {
        if let deafSince { return now.since(deafSince) >= policy.serviceTimeout }
        let since = [tickingSince, hearingSince].compactMap { $0 }.max() ?? now
        guard now.since(since) >= policy.serviceTimeout else { return false }
        // One of them is ourselves.
        return services.count { $0.key.service == "orchestrator" && !$0.value.isDead } <= 1
    }

    /// Fleet-wide alerts, judged only by who leads and hears.
    mutating func judgeFleet(at now: MachineInstant, into effects: inout [Effect]) {
        guard let ledSince, busIsUp else { return }
        // Before the first shard was ever heard the fleet may just be starting.
        let wasHeard = shards.values.contains { $0.incarnation != nil }
        let patience = wasHeard ? policy.shardTimeout + policy.heartbeatInterval : policy.serviceTimeout
        let hasListened = now.since(ledSince) >= patience
        let since = judgingSince
        let serving = shards.values.count {
            $0.isServing(at: now, degradedAfter: policy.degradedAfter, judgingSince: since)
        }
        if serving > 0 || (hasListened && !(shards.isEmpty && games.isEmpty)) {
            let dead = shards.values.filter(\.isDead).count
            alert(
                .allShardsUnhealthy, isFiring: serving == 0,
                facts: ["total_shards": "\(shards.count)", "dead_shards": "\(dead)", "games": "\(games.count)"],
                at: now, into: &effects)
        }
        // One that stops has as long to come back as one that is silent: a restart is no alert.
        let discovery = services.filter { $0.key.service == "market-discovery" }
        let live = discovery.values.filter { !$0.isDead }.count
        if live > 0 || now.since(ledSince) >= policy.serviceTimeout {
            alert(
                .noMarketDiscoveryServices, isFiring: live == 0, facts: ["known": "\(discovery.count)"], at: now,
                into: &effects)
        }
        judgeCapacity(serving: serving, at: now, into: &effects)
    }

    /// Games that wait while shards serve, for longer than a shard needs to report itself well.
    private mutating func judgeCapacity(serving: Int, at now: MachineInstant, into effects: inout [Effect]) {
        // Without any shard serving the other alert says it all; what failed to be stored does not wait for room.
        let stuck = waiting.filter { games[$0].map { !$0.isDoubted && ($0.notBefore ?? now) <= now } ?? false }
        guard !stuck.isEmpty, serving > 0 else {
            stuckSince = nil
            if stuck.isEmpty { alert(.capacityExhausted, isFiring: false, facts: [:], at: now, into: &effects) }
            return
        }
        let since = stuckSince ?? now
        stuckSince = since
        guard alerts[AlertKind.capacityExhausted.rawValue] == nil,
            now.since(since) >= policy.shardTimeout + policy.heartbeatInterval
        else { return }
        let names = stuck.sorted().prefix(Self.gamesNamedInAlert).map(\.rawValue).joined(separator: " ")
        alert(
            .capacityExhausted, isFiring: true, facts: ["waiting": "\(stuck.count)", "games": names], at: now,
            into: &effects)
    }

    /// An alert stays readable; the status page lists all.
    private static let gamesNamedInAlert = 50

    /// Ends what we told as a leader: whoever leads now cannot, and tells it again if it is still so.
    mutating func handOverAlerts(into effects: inout [Effect]) {
        guard !isLeading else { return }
        // Until then nobody else may have led: that a dependency was well a moment ago does not say so.
        ledLast = false
        for kind in AlertKind.allCases where kind.isLeadersToTell {
            alerts[kind.rawValue] = nil
            effects.append(.handOverAlert(kind, fingerprint: kind.rawValue))
        }
    }

    private mutating func alert(
        _ kind: AlertKind, isFiring: Bool, facts: [String: String], at now: MachineInstant, into effects: inout [Effect]
    ) {
        let fingerprint = kind.rawValue
        switch (isFiring, alerts[fingerprint]) {
        case (true, nil):
            alerts[fingerprint] = Firing(kind: kind, since: now)
            effects.append(.raiseAlert(kind, fingerprint: fingerprint, facts: facts))
        case (false, let firing?):
            alerts[fingerprint] = nil
            effects.append(.recoverAlert(kind, fingerprint: fingerprint, after: now.since(firing.since)))
        default: break
        }
    }
}
