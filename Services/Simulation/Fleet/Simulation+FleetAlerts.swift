import OrchestratorEngine
import Resilience

/// What calls for an alert of the fleet, or for its end: whoever was missed, and since when it is well again.
struct CauseWatch {
    /// When it was last there, heard or not, or last told of.
    var lastSaid = MachineInstant.origin
    private var wellSince: MachineInstant?

    /// What is wrong with what people are told; nil when nothing is.
    ///
    /// Who leads must tell of a silence that is longer than `limit`, and not any more once all has been well for
    /// `rest`; both count from when somebody leads under one term who hears.
    mutating func judge(
        isWell: Bool, told: (byAnybody: Bool, byLeader: Bool), ledSince: MachineInstant?, silence limit: Duration,
        rest: Duration, at now: MachineInstant
    ) -> String? {
        wellSince = isWell ? wellSince ?? now : nil
        // What was told and is over may have begun anew since.
        if told.byAnybody { lastSaid = now }
        guard let ledSince else { return nil }
        if now.since(max(lastSaid, ledSince)) > limit {
            lastSaid = now
            return "nobody is told that"
        }
        if told.byLeader, let wellSince, now.since(max(wellSince, ledSince)) > rest {
            self.wellSince = now
            return "it is told still that"
        }
        return nil
    }
}

/// What the leader tells of the fleet: in time, and not without a cause.
extension Simulation {
    mutating func watchFleetAlerts() {
        guard path.isOn else { return }
        watchAllShards()
        watchDiscovery()
        watchRoom()
    }

    /// All shards away for long, with a leader that hears: people must have been told (DESIGN section 10: 8 s).
    ///
    /// Whatever else is broken: a leader that hears needs nobody for it.
    private mutating func watchAllShards() {
        let problem = watch.shardsCause.judge(
            isWell: someShardServes && !isImpeded, told: told(.allShardsUnhealthy), ledSince: watch.term?.since,
            silence: .seconds(8), rest: .seconds(10), at: now)
        if let problem { violated("\(problem) all shards are away") }
    }

    /// One that has been unwell serves again some seconds later.
    private var someShardServes: Bool {
        shards.indices.contains { index in
            let shard = shards[index]
            let struck = watch.struck[index] ?? .origin
            return shard.process.isAble && shard.hasClaimed && !shard.isIll && !shard.isStopping
                && now.since(struck) > .seconds(10)
        }
    }

    /// A game that nobody can take: either there is room, and `Watch.unownedBound` holds, or people are told that there
    /// is none.
    ///
    /// The worst is a shard that dies: 2 s until it is missed, 2 s of lease, and 2.5 s for others to report themselves
    /// well.
    private mutating func watchRoom() {
        let traded = scoreboard.filter { game, status in
            !status.isEnd && database.listings[game]?.markets.isEmpty == false
        }
        let isStranded = traded.contains { $0.value == .live && owner(of: $0.key) == nil }
        if !isStranded || hasRoom || isImpeded || !someShardServes { watch.roomCause.lastSaid = now }
        let problem = watch.roomCause.judge(
            isWell: !isImpeded && traded.allSatisfy { owner(of: $0.key) != nil }, told: told(.capacityExhausted),
            ledSince: watch.term?.since, silence: .seconds(10), rest: .seconds(10), at: now)
        if let problem { violated("\(problem) games wait for room") }
    }

    /// Discovery is missed after ten seconds of silence, and heard twice a second.
    private mutating func watchDiscovery() {
        let process = path.discovery.process
        let isWell = process.isRunning && !process.isPaused && process.hasBus && !isImpeded
        let problem = watch.discoveryCause.judge(
            isWell: isWell, told: told(.noMarketDiscoveryServices), ledSince: watch.term?.since,
            silence: .seconds(13), rest: .seconds(3), at: now)
        if let problem { violated("\(problem) market-discovery is away") }
    }

    /// Who tells it.
    ///
    /// By anybody: also by one that is gone, since what it told stands until somebody ends it. By who leads: in this
    /// life of its own, since what an earlier one told ends after a minute.
    private func told(_ kind: AlertKind) -> (byAnybody: Bool, byLeader: Bool) {
        let leaders = orchestrators.filter { $0.engine.isLeading && $0.told == database.term }
        return (
            byAnybody: orchestrators.contains { $0.toldAlerts.contains(kind) },
            byLeader: leaders.contains { $0.firing.contains(kind) }
        )
    }
}
