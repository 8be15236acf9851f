import Bus
import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Runtime
import Wire

/// Tells the operator through the orchestrator; the log has it in any case.
struct Alarm: Sendable {
    let host: ServiceHost

    func raise(_ alert: ExecutionAlert) async {
        switch alert {
        case .orderUnknown(let order, let reason):
            await fire(
                "orderUnknown", "orderUnknown:\(order)", "The answer to an order was lost",
                ["order": order.rawValue, "reason": reason])
        case .straggler(let order):
            await fire(
                "stragglerOrder", "stragglerOrder:\(order)", "An order that had ended has traded",
                ["order": order.rawValue])
        case .overfilled(let order, let asked, let filled):
            await fire(
                "orderOverfilled", "orderOverfilled:\(order)", "The venue filled more than was asked for",
                ["order": order.rawValue, "asked": "\(asked)", "filled": "\(filled)"])
        }
    }

    func mismatch(_ differences: [PositionDifference]) async {
        var detail: [String: String] = [:]
        for difference in differences.prefix(20) {
            detail[difference.market.rawValue] = "ours \(difference.ours), venue's \(difference.venues)"
        }
        await fire(
            "reconciliationMismatch", "reconciliationMismatch", "Positions differ from the venue's; no new orders",
            detail)
    }

    func matched() async {
        await send(
            "reconciliationMismatch", "reconciliationMismatch", .recovered, "Positions are the venue's again", [:])
    }

    private func fire(_ kind: String, _ fingerprint: String, _ summary: String, _ detail: [String: String]) async {
        host.log.error("alert raised", metadata: ["kind": "\(kind)", "detail": "\(detail)"])
        await send(kind, fingerprint, .firing, summary, detail)
    }

    private func send(
        _ kind: String, _ fingerprint: String, _ state: SystemAlert.State, _ summary: String,
        _ detail: [String: String]
    ) async {
        do {
            let alert = SystemAlert(
                id: try AlertID(host.context.random.uuid()), kind: kind, fingerprint: fingerprint, state: state,
                summary: summary, detail: detail, at: host.context.wallClock.microseconds)
            _ = try await host.bus.publish(alert, on: Channels.alerts)
        } catch {
            host.log.error("alert not published", metadata: ["kind": "\(kind)", Key.reason: "\(error)"])
        }
    }
}
