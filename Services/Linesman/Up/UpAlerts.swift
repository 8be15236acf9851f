import Alerting
import Foundation
import Hosting
import Logging
import Runtime
import Servers

/// How the supervisor tells people: itself, from a file and with sinks of its own.
///
/// It goes no way over Redis or the orchestrator: what it has to tell may be that they crash.
struct UpAlerts: Sendable {
    let dispatcher: AlertDispatcher
    private let budgetCooldown: Duration
    private let logs: String

    init(_ plan: UpPlan, clock: MachineClock, wall: WallClock, say: @escaping @Sendable (String) -> Void) {
        let log = Logger(label: "linesman-up") { label in
            LineLogHandler(label: label, level: .warning, output: LogOutput(say), wallClock: wall)
        }
        dispatcher = AlertDispatcher(
            settings: plan.alerts, source: "linesman-up/\(ProcessInfo.processInfo.hostName)", role: .fallback,
            clock: clock, wall: wall, log: log, metrics: MetricsRegistry())
        budgetCooldown = plan.processes.first?.policy.budget.cooldown ?? .zero
        logs = plan.logs
    }

    func note(_ name: String, _ news: ProcessSuite.News) {
        switch news {
        case .raise(let trouble, let said):
            var fields = ["process": name, "log": "\(logs)/\(name).log"]
            if let words = said.first { fields["said"] = said.count > 1 ? said.joined(separator: "\n") : words }
            if case .crashLoop = trouble { fields["cooldown"] = budgetCooldown.short }
            dispatcher.fire(
                SuiteWords.kind, fingerprint: SuiteWords.fingerprint(name), SuiteWords.summary(name, trouble),
                fields: fields)
        case .recover: dispatcher.resolve(SuiteWords.fingerprint(name), SuiteWords.recovery(name))
        case .started, .report: break
        }
    }
}
