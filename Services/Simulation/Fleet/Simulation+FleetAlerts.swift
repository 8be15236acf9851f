import OrchestratorEngine
import Resilience

/// Since when a state of the world calls for an alert of the fleet, or for its end.
struct CauseWatch {
    /// Who says it.
    struct Told {
        /// Also one that is gone: what it told stands until somebody ends it.
        let byAnybody: Bool
        /// Who leads, in this life of its own: what an earlier one told ends after a minute.
        let byLeader: Bool
    }

    private var presentSince: MachineInstant?
    private var absentSince: MachineInstant?

    /// What is wrong with what people are told; nil when nothing is.
    ///
    /// Whether there is a cause is nil where nobody can say; who leads must tell it after `late`, and not any more
    /// when it has been gone for `end`, both counted from when somebody leads who hears.
    mutating func judge(
        _ isPresent: Bool?, _ told: Told, ledSince since: MachineInstant?, late: Duration, false end: Duration,
        at now: MachineInstant
    ) -> String? {
        presentSince = isPresent == true ? presentSince ?? now : nil
        absentSince = isPresent == false ? absentSince ?? now : nil
        guard let since else { return nil }
        if let begin = presentSince, !told.byAnybody, now.since(max(begin, since)) > late {
            presentSince = now
            return "nobody is told that"
        }
        if let begin = absentSince, told.byLeader, now.since(max(begin, since)) > end {
            absentSince = now
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
    }

    /// All shards away for long, with a leader that hears: people must have been told (DESIGN section 10: 8 s).
    ///
    /// Whatever else is broken: a leader that hears needs nobody for it.
    private mutating func watchAllShards() {
        let isAnyAlive = shards.contains { $0.process.isRunning && !$0.process.isPaused && $0.process.hasBus }
        // One that serves for certain; one that is only alive may be ill.
        let isAnyWell = shards.contains { $0.process.isAble && !$0.isIll && !$0.isStopping } && !isImpeded
        let problem = watch.shardsCause.judge(
            isAnyAlive ? (isAnyWell ? false : nil) : true, told(.allShardsUnhealthy),
            ledSince: watch.ledSince, late: .seconds(8), false: .seconds(10), at: now)
        if let problem { violated("\(problem) all shards are away") }
    }

    /// Discovery is missed after ten seconds of silence, and heard twice a second.
    private mutating func watchDiscovery() {
        let process = path.discovery.process
        let isAlive = process.isRunning && !process.isPaused && process.hasBus
        let problem = watch.discoveryCause.judge(
            isAlive ? (isImpeded ? nil : false) : true, told(.noMarketDiscoveryServices),
            ledSince: watch.ledSince, late: .seconds(13), false: .seconds(5), at: now)
        if let problem { violated("\(problem) market-discovery is away") }
    }

    private func told(_ kind: AlertKind) -> CauseWatch.Told {
        CauseWatch.Told(
            byAnybody: orchestrators.contains { $0.toldAlerts.contains(kind) },
            byLeader: orchestrators.contains {
                $0.engine.isLeading && $0.told == database.term && $0.firing.contains(kind)
            })
    }
}
