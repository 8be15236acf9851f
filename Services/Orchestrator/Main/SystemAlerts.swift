import Alerting
import Bus
import Domain
import Hosting
import Logging
import OrchestratorEngine
import Runtime
import Wire

/// Takes the alerts of other services: what is in our file is acknowledged, and they need not deliver it themselves.
///
/// Only the leader takes them. Without a leader, and without Redis, whoever raised an alert delivers it after
/// `ALERT_ACK_TIMEOUT_MS`.
struct SystemAlerts: Sendable {
    let host: ServiceHost
    let fleet: FleetReconciler

    /// How long a new leader looks around before it ends what its earlier life had told and it does not see.
    static let confirmation = Duration.seconds(60)

    private var alerts: AlertDispatcher { host.alerts.dispatcher }

    func listen() async throws {
        let raised = try await host.bus.subscribe(to: Channels.alerts, resuming: host.position(on: Channels.alerts))
        host.supervisor.add("system-alerts", .important) {
            for await delivery in raised {
                switch delivery {
                case .message(let envelope, _):
                    if await fleet.isLeading { await take(envelope.body, from: envelope.source) }
                case .gap(let gap):
                    host.log.warning(
                        "news were missed",
                        metadata: [Key.kind: "\(SystemAlert.type)", Key.reason: "\(gap.reason.rawValue)"])
                }
            }
        }
        host.supervisor.add("alert-confirmation", .bestEffort) {
            while await !fleet.isLeading { try await host.clock.sleep(for: .seconds(1)) }
            try await host.clock.sleep(for: Self.confirmation)
            if await fleet.isLeading { alerts.resolveUnconfirmed(kinds: Set(AlertKind.allCases.map(\.rawValue))) }
        }
    }

    private func take(_ alert: SystemAlert, from source: String) async {
        switch alert.state {
        case .firing:
            alerts.fire(
                alert.kind, fingerprint: alert.fingerprint, alert.summary, fields: alert.detail,
                severity: alert.severity.flatMap(AlertSeverity.init(rawValue:)) ?? .critical,
                isLasting: alert.lasting ?? true, source: source, id: alert.id.rawValue)
        case .recovered: alerts.resolve(alert.fingerprint, alert.summary)
        }
        // Not in our file: whoever raised it delivers it too. Twice is better than never.
        guard await alerts.stored(within: .seconds(1)) else { return }
        do {
            _ = try await host.bus.publish(
                AlertAcknowledgement(ids: [alert.id]), on: Channels.alertAcknowledgements)
        } catch {
            host.log.warning("alert not acknowledged", metadata: [Key.kind: "\(alert.kind)", Key.error: "\(error)"])
        }
    }
}
