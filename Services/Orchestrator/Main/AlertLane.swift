import Alerting
import OrchestratorEngine

/// Puts the engine's alerts into words and hands them to the dispatcher.
struct AlertLane: Sendable {
    let alerts: AlertDispatcher

    func run(_ effects: AsyncStream<Effect>) async {
        for await effect in effects {
            switch effect {
            case .raiseAlert(let kind, let fingerprint, let facts):
                alerts.fire(
                    kind.rawValue, fingerprint: fingerprint, kind.summary(facts), fields: facts,
                    severity: kind.severity)
            case .recoverAlert(let kind, let fingerprint, _): alerts.resolve(fingerprint, kind.recovery)
            default: break
            }
        }
    }
}

extension Dependency {
    /// What says that it is away; its fingerprint is its kind.
    var alert: AlertKind {
        switch self {
        case .redis: .redisConnectivityIssue
        case .postgres: .databaseConnectivityIssue
        }
    }
}

extension AlertKind {
    var severity: AlertSeverity { self == .capacityExhausted ? .warning : .critical }

    func summary(_ facts: [String: String]) -> String {
        switch self {
        case .allShardsUnhealthy:
            "No game shard is healthy: \(facts["games"] ?? "?") games are not watched."
        case .redisConnectivityIssue: "Redis does not answer: messages between services do not arrive."
        case .databaseConnectivityIssue: "PostgreSQL does not answer: no new order can be approved."
        case .noMarketDiscoveryServices: "No market discovery is alive: new games get no markets."
        case .capacityExhausted: "No shard has room for \(facts["waiting"] ?? "?") games."
        }
    }

    var recovery: String {
        switch self {
        case .allShardsUnhealthy: "A game shard is healthy again."
        case .redisConnectivityIssue: "Redis answers again."
        case .databaseConnectivityIssue: "PostgreSQL answers again."
        case .noMarketDiscoveryServices: "Market discovery is alive again."
        case .capacityExhausted: "Every game has a shard again."
        }
    }
}
