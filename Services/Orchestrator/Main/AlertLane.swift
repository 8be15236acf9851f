import Alerting
import NIOConcurrencyHelpers
import OrchestratorEngine

/// Puts the engine's alerts into words and hands them to the dispatcher.
///
/// While health checks are switched off, what the system monitor watches is not told. The engine goes on deciding;
/// switched on again, what is true by then is told.
final class AlertLane: Sendable {
    private struct State {
        var isMonitoring: Bool
        /// The facts of the last firing of each kind.
        var facts: [AlertKind: [String: String]] = [:]
    }

    /// Yields when something that the monitor watches has fired or recovered.
    let changes: AsyncStream<Void>
    private let alerts: AlertDispatcher
    private let state: NIOLockedValueBox<State>
    private let changed: AsyncStream<Void>.Continuation

    init(alerts: AlertDispatcher, isMonitoring: Bool) {
        self.alerts = alerts
        state = NIOLockedValueBox(State(isMonitoring: isMonitoring))
        (changes, changed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func run(_ effects: AsyncStream<Effect>) async {
        for await effect in effects {
            switch effect {
            case .raiseAlert(let kind, let fingerprint, let facts):
                let isTold = state.withLockedValue { state in
                    state.facts[kind] = facts
                    return state.isMonitoring || !kind.isMonitored
                }
                if isTold { fire(kind, fingerprint, facts) }
                if kind.isMonitored { changed.yield() }
            case .recoverAlert(let kind, let fingerprint, _):
                let isTold = state.withLockedValue { $0.isMonitoring || !kind.isMonitored }
                if isTold { alerts.resolve(fingerprint, kind.recovery) }
                if kind.isMonitored { changed.yield() }
            case .handOverAlert(let kind, let fingerprint):
                let isTold = state.withLockedValue { $0.isMonitoring || !kind.isMonitored }
                if isTold { alerts.resolve(fingerprint, kind.handedOver) }
                if kind.isMonitored { changed.yield() }
            default: break
            }
        }
    }

    /// Stops telling what the monitor watches, or tells it again, beginning with what fires now.
    func setMonitoring(_ on: Bool, firing: Set<AlertKind>) {
        let facts = state.withLockedValue { state in
            state.isMonitoring = on
            return state.facts
        }
        guard on else { return }
        let told = Set(alerts.firing)
        for kind in AlertKind.allCases where kind.isMonitored {
            if !firing.contains(kind) {
                alerts.resolve(kind.rawValue, kind.recovery)
            } else if !told.contains(kind.rawValue) {
                fire(kind, kind.rawValue, facts[kind] ?? [:])
            }
        }
    }

    /// The monitor sees that it is well: what an earlier life had told of it is over.
    func isWell(_ kind: AlertKind) { alerts.resolve(kind.rawValue, kind.recovery) }

    private func fire(_ kind: AlertKind, _ fingerprint: String, _ facts: [String: String]) {
        alerts.fire(
            kind.rawValue, fingerprint: fingerprint, kind.summary(facts), fields: facts, severity: kind.severity)
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
    /// One of the four that the system monitor watches; its fingerprint is its name.
    var isMonitored: Bool { self != .capacityExhausted }

    var severity: AlertSeverity { self == .capacityExhausted ? .warning : .critical }

    func summary(_ facts: [String: String]) -> String {
        switch self {
        case .allShardsUnhealthy:
            "No game shard is healthy: \(facts["games"] ?? "?") games are not watched."
        case .redisConnectivityIssue: "Redis does not answer, or takes no writes: messages between services wait."
        case .databaseConnectivityIssue: "PostgreSQL does not answer: no new order can be approved."
        case .noMarketDiscoveryServices: "No market discovery is alive: new games get no markets."
        case .capacityExhausted: "No shard has room for \(facts["waiting"] ?? "?") games."
        }
    }

    /// Said by who led, when another leads.
    var handedOver: String { "Another orchestrator leads now, and tells it anew if it is still so: \(rawValue)." }

    var recovery: String {
        switch self {
        case .allShardsUnhealthy: "A game shard is healthy again."
        case .redisConnectivityIssue: "Redis answers again, and takes writes."
        case .databaseConnectivityIssue: "PostgreSQL answers again."
        case .noMarketDiscoveryServices: "Market discovery is alive again."
        case .capacityExhausted: "Every game has a shard again."
        }
    }
}
