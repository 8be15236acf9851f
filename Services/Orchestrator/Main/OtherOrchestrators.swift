import Alerting
import Hosting
import Logging
import NIOConcurrencyHelpers
import OrchestratorEngine
import Resilience
import Runtime
import Wire

/// Raises the alarm for an orchestrator that is missed, and ends it; the shell of `OrchestratorRoll`.
final class OtherOrchestrators: Sendable {
    static let kind = "OrchestratorUnhealthy"

    private let host: ServiceHost
    private let roll: NIOLockedValueBox<OrchestratorRoll>

    init(host: ServiceHost, timeout: Duration) {
        self.host = host
        roll = NIOLockedValueBox(OrchestratorRoll(own: host.incarnation, timeout: timeout))
    }

    func heard(_ heartbeat: Heartbeat) {
        let leads = heartbeat.metrics[LeaderWatch.leadingMetric] == 1
        tell { $0.heard(ServiceHeartbeat(heartbeat), isLeading: leads, at: host.clock.now) }
    }

    /// We took over from the holder of the leadership row.
    func succeeded(_ holder: Leadership.Holder) {
        guard let incarnation = holder.incarnation else { return }
        tell { $0.succeeded(incarnation, at: host.clock.now) }
    }

    func tick(isLeading: Bool, hearingSince: MachineInstant?) {
        tell { $0.tick(isLeading: isLeading, hearingSince: hearingSince, at: host.clock.now) }
    }

    /// Whether one that leads was heard since.
    func hearsLeader(since: MachineInstant) -> Bool { roll.withLockedValue { $0.hearsLeader(since: since) } }

    private func tell(_ body: (inout OrchestratorRoll) -> [OrchestratorRoll.Change]) {
        for change in roll.withLockedValue(body) {
            switch change {
            case .seen(let instance):
                host.alerts.resolve(Self.fingerprint(instance), kind: Self.kind, "Orchestrator \(instance) is well.")
            case .missing(let instance, let loss):
                host.log.error(
                    "orchestrator missed", metadata: [Key.instance: "\(instance)", Key.reason: "\(loss.rawValue)"])
                host.alerts.fire(
                    Self.kind, fingerprint: Self.fingerprint(instance), Self.summary(instance, loss),
                    fields: ["instance": instance, "reason": loss.rawValue])
            case .back(let instance, let after):
                host.log.info(
                    "orchestrator is back",
                    metadata: [Key.instance: "\(instance)", "missed_ms": "\(after.wholeMilliseconds)"])
                host.alerts.resolve(
                    Self.fingerprint(instance), kind: Self.kind, "Orchestrator \(instance) is well again.")
            }
        }
    }

    private static func fingerprint(_ instance: String) -> String { "\(kind):\(instance)" }

    private static func summary(_ instance: String, _ loss: OrchestratorRoll.Loss) -> String {
        switch loss {
        case .silent: "Orchestrator \(instance) is not heard any more: if this one fails too, nobody takes over."
        case .lostLead: "Orchestrator \(instance) does not lead any more: this one leads in its place."
        }
    }
}
