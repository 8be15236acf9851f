import Alerting
import Bus
import Domain
import Hosting
import Logging
import OrchestratorEngine
import Resilience
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
    let confirmation: Duration

    private var alerts: AlertDispatcher { host.alerts.dispatcher }

    func listen() async throws {
        let raised = try await host.bus.subscribe(to: Channels.alerts, resuming: host.position(on: Channels.alerts))
        host.supervisor.add("system-alerts", .important) {
            for await delivery in raised {
                switch delivery {
                case .message(let envelope, _):
                    let alert = envelope.body
                    // The end of what we took while we led is ours to tell; the new leader has no firing of it.
                    let isOurs = alert.state == .recovered && alerts.isFiring(alert.fingerprint)
                    if await fleet.isLeading || isOurs { await take(alert, from: envelope.source) }
                case .gap(let gap):
                    host.log.warning(
                        "news were missed",
                        metadata: [Key.kind: "\(SystemAlert.type)", Key.reason: "\(gap.reason.rawValue)"])
                }
            }
        }
        host.supervisor.add("alert-confirmation", .bestEffort) {
            var outlook = Outlook(patience: confirmation)
            while await !outlook.isLong(term: fleet.judgingTerm, at: host.clock.now) {
                try await host.clock.sleep(for: .seconds(1))
            }
            alerts.resolveUnconfirmed(kinds: Set(AlertKind.allCases.map(\.rawValue)))
        }
    }

    private func take(_ alert: SystemAlert, from source: String) async {
        guard Self.take(alert, from: source, into: alerts) else { return }
        // Not in our file: whoever raised it delivers it too. Twice is better than never.
        guard await alerts.stored(within: .seconds(1)) else { return }
        do {
            _ = try await host.bus.publish(
                AlertAcknowledgement(ids: [alert.id]), on: Channels.alertAcknowledgements)
        } catch {
            host.log.warning("alert not acknowledged", metadata: [Key.kind: "\(alert.kind)", Key.error: "\(error)"])
        }
    }

    /// Fires or ends it here.
    ///
    /// - Returns: whether it is ours to tell. The end of what only an earlier leader had is not: unacknowledged, it is
    ///   told by whoever raised it.
    static func take(_ alert: SystemAlert, from source: String, into alerts: AlertDispatcher) -> Bool {
        switch alert.state {
        case .firing:
            alerts.fire(
                alert.kind, fingerprint: alert.fingerprint, alert.summary, fields: alert.detail,
                severity: alert.severity.flatMap(AlertSeverity.init(rawValue:)) ?? .critical,
                isLasting: alert.lasting ?? true, source: source, id: alert.id.rawValue)
            return true
        case .recovered:
            let isOurs = alerts.isFiring(alert.fingerprint)
            alerts.resolve(alert.fingerprint, alert.summary)
            return isOurs
        }
    }
}

/// How long one term has judged without a break.
struct Outlook: Sendable {
    let patience: Duration
    private var judging: (term: Int64, since: MachineInstant)?

    init(patience: Duration) { self.patience = patience }

    /// - `term`: that in which we judge now; nil while we do not lead or cannot hear.
    mutating func isLong(term: Int64?, at now: MachineInstant) -> Bool {
        guard let term else {
            judging = nil
            return false
        }
        if judging?.term != term { judging = (term, now) }
        return judging.map { now.since($0.since) >= patience } ?? false
    }
}
