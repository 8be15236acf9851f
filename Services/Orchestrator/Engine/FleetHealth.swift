import Resilience

/// How the fleet is, in a few numbers: what the system monitor asks for.
public struct FleetHealth: Hashable, Sendable {
    /// We lead and can hear; otherwise nothing below is a judgement.
    public let isJudging: Bool
    /// Shards that are known.
    public let shards: Int
    /// Shards that do their work.
    public let servingShards: Int
    /// Market discoveries that are known.
    public let discoveries: Int
    public let liveDiscoveries: Int
    /// What fires; an alert waits for its patience, so it may be missing while the numbers are already bad.
    public let firing: Set<AlertKind>
}

extension OrchestratorEngine {
    /// Costs time by shards and services, never by games.
    public func health(at now: MachineInstant) -> FleetHealth {
        let discoveries = services.filter { $0.key.service == "market-discovery" }.values
        let since = judgingSince
        return FleetHealth(
            isJudging: isLeading && busIsUp, shards: shards.count,
            servingShards: shards.values.count {
                $0.isServing(at: now, degradedAfter: policy.degradedAfter, judgingSince: since)
            },
            discoveries: discoveries.count,
            liveDiscoveries: discoveries.count { !$0.isDead && $0.status != .stopping },
            firing: Set(alerts.values.map(\.kind)))
    }
}
