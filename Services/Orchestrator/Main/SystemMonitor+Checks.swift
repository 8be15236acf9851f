import Hosting
import OrchestratorEngine
import Postgres
import Redis
import Resilience
import Runtime

/// The four looks of the system monitor.
extension SystemMonitor {
    /// What each check's failing is called.
    static let kinds: [String: AlertKind] = [
        "shards": .allShardsUnhealthy, "redis": .redisConnectivityIssue, "postgres": .databaseConnectivityIssue,
        "discovery": .noMarketDiscoveryServices,
    ]

    static let writesName = "redis-writes"

    /// Whether Redis takes writes: one that is out of memory, cannot write its file or became a replica answers PING.
    ///
    /// An empty string written over nothing makes no key, and is refused as any other write.
    static func writes(_ host: ServiceHost) -> HealthProbe {
        HealthProbe(writesName, timeout: .seconds(1), retryInterval: .milliseconds(100)) { [redis = host.redis] in
            do {
                _ = try await redis.send(["SETRANGE", "linesman:writes", "0", ""])
            } catch let error as RedisError where error.code == .permissionDenied {
                // A login that may not ask this proves nothing.
            }
        }
    }

    static func checks(_ host: ServiceHost, _ fleet: FleetReconciler, _ health: HealthBoard) -> [SystemCheck] {
        [
            SystemCheck("shards", timeout: timeout) {
                let fleet = await fleet.health()
                return judge(
                    fleet, .allShardsUnhealthy, well: fleet.servingShards,
                    "\(fleet.servingShards) of \(fleet.shards) shards serve")
            },
            SystemCheck("redis", timeout: timeout) {
                async let answer = health.measure("redis")
                async let write = health.measure(Self.writesName)
                let measured = [await answer, await write].compactMap { $0 }
                guard !measured.isEmpty else { return .init(.unknown, "not measured") }
                guard let failed = measured.first(where: { !$0.isHealthy }) else { return .init(.healthy) }
                return .init(.unhealthy, failed.reason ?? "")
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
