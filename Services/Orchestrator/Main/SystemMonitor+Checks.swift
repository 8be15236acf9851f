import Hosting
import OrchestratorEngine
import Postgres
import Resilience
import Runtime

/// The four looks of the system monitor.
extension SystemMonitor {
    /// What each check's failing is called.
    static let kinds: [String: AlertKind] = [
        "shards": .allShardsUnhealthy, "redis": .redisConnectivityIssue, "postgres": .databaseConnectivityIssue,
        "discovery": .noMarketDiscoveryServices,
    ]

    static func checks(_ host: ServiceHost, _ fleet: FleetReconciler, _ health: HealthBoard) -> [SystemCheck] {
        [
            SystemCheck("shards", timeout: timeout) {
                let fleet = await fleet.health()
                return judge(
                    fleet, .allShardsUnhealthy, well: fleet.servingShards,
                    "\(fleet.servingShards) of \(fleet.shards) shards serve")
            },
            SystemCheck("redis", timeout: timeout) {
                guard let measured = await health.measure("redis") else { return .init(.unknown, "not measured") }
                return measured.isHealthy ? .init(.healthy) : .init(.unhealthy, measured.reason ?? "")
            },
            SystemCheck("postgres", timeout: timeout) { judge(host.database.health) },
            SystemCheck("discovery", timeout: timeout) {
                let fleet = await fleet.health()
                return judge(
                    fleet, .noMarketDiscoveryServices, well: fleet.liveDiscoveries,
                    "\(fleet.liveDiscoveries) of \(fleet.discoveries) market discoveries live")
            },
        ]
    }

    /// The engine's word; it waits a while before it calls a fleet dead that it has not heard yet.
    private static func judge(
        _ fleet: FleetHealth, _ kind: AlertKind, well: Int, _ detail: String
    ) -> SystemCheck.Finding {
        guard fleet.isJudging else { return .init(.unknown, "\(detail); who leads and hears judges") }
        if fleet.firing.contains(kind) { return .init(.unhealthy, detail) }
        return .init(well > 0 ? .healthy : .unknown, detail)
    }

    private static func judge(_ pool: PoolHealth) -> SystemCheck.Finding {
        guard let isHealthy = pool.isHealthy else { return .init(.unknown, "not asked yet") }
        let error = pool.lastError ?? ""
        if pool.isAlertDue { return .init(.unhealthy, "\(pool.consecutiveFailures) failures in a row: \(error)") }
        return isHealthy
            ? .init(.healthy) : .init(.unknown, "\(pool.consecutiveFailures) failures, not yet enough: \(error)")
    }
}
