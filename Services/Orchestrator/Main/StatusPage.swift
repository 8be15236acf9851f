import Alerting
import Domain
import Hosting
import OrchestratorEngine
import Postgres
import Redis
import Runtime

/// What `linesman status` and an operator's browser see.
struct StatusDocument: Encodable, Sendable {
    struct Link: Encodable, Sendable {
        let isReady: Bool
        let reconnects: Int
        let failures: Int
    }

    struct Pool: Encodable, Sendable {
        let size: Int
        let idle: Int
        let active: Int
        let waiting: Int
    }

    struct Part: Encodable, Sendable {
        let name: String
        let tier: String
        let state: String
        let restarts: Int
    }

    struct Alerting: Encodable, Sendable {
        let isEnabled: Bool
        let firing: [String]
        let failingSinks: [String]
        /// For each sink.
        let waiting: [String: Int]
    }

    let service: String
    let instance: String
    let incarnation: String
    /// Wall time in microseconds since 1970.
    let startedAt: Int64
    let at: Int64
    /// Venue time as RFC 3339; the epoch before anything was seen of a replay.
    let venueTime: String
    let tradingMode: String
    let fleet: FleetSnapshot
    /// Signals that the shards say they have sent in their present lives.
    let signalsSent: Int
    let checks: [String: Bool]
    let monitor: SystemMonitor.Report
    let alerting: Alerting
    let redis: Link
    /// Of every process that was heard, in its present life.
    let bus: [BusReport]
    let database: Pool
    /// The newest alerts, newest last.
    let recentAlerts: [Alert]
    let parts: [Part]
}

/// Serves `/status`, `/healthz`, `/readyz`, `/metrics` and operators' orders.
struct StatusPage: Sendable {
    let host: ServiceHost
    let fleet: FleetReconciler
    let alerts: AlertDispatcher
    let health: HealthBoard
    let monitor: SystemMonitor
    let settings: OrchestratorSettings
    let control: ControlDesk

    func serve() async throws {
        let routes = StatusRoutes(
            checks: { health.checks }, metrics: { host.context.metrics.prometheusText() },
            status: { await document() },
            more: control.routes + KillSwitchRoutes(host: host, token: settings.control.token).all)
        try await StatusServer(host: settings.statusHost, port: settings.statusPort, routes: routes, log: host.log)
            .run()
    }

    func document() async -> StatusDocument {
        let redis = host.redis.status
        let pool = host.database.statistics
        return StatusDocument(
            service: host.context.service, instance: settings.host.instance, incarnation: host.incarnation.rawValue,
            startedAt: host.context.startedAt, at: host.context.wallClock.microseconds,
            venueTime: host.venueClock.now.description, tradingMode: settings.host.trading.mode.rawValue,
            fleet: await fleet.snapshot(), signalsSent: await fleet.totalSignalsSent(), checks: health.checks,
            monitor: monitor.report,
            alerting: StatusDocument.Alerting(
                isEnabled: alerts.isEnabled, firing: alerts.firing.sorted(), failingSinks: alerts.failingSinks.sorted(),
                waiting: alerts.waiting),
            redis: StatusDocument.Link(
                isReady: redis.isReady, reconnects: redis.commands.reconnects + redis.subscriptions.reconnects,
                failures: redis.commands.failures + redis.subscriptions.failures),
            bus: await fleet.busReports(),
            database: StatusDocument.Pool(
                size: pool.size, idle: pool.idle, active: pool.active, waiting: pool.waiting),
            recentAlerts: alerts.recent,
            parts: host.supervisor.report.map {
                StatusDocument.Part(
                    name: $0.name, tier: $0.tier.rawValue, state: $0.state.rawValue, restarts: $0.restarts)
            })
    }
}
