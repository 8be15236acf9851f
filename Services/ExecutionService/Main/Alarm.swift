import ExecutionServiceEngine
import Hosting
import Logging
import Runtime

/// Tells the operator: through the orchestrator, or by ourselves when it does not answer; the log has it in any case.
struct Alarm: Sendable {
    let host: ServiceHost

    func raise(_ alert: ExecutionAlert) async {
        switch alert {
        case .orderUnknown(let order, let reason):
            fire(
                "orderUnknown", "orderUnknown:\(order)", "The answer to an order was lost",
                ["order": order.rawValue, "reason": reason], isLasting: false)
        case .straggler(let order):
            fire(
                "stragglerOrder", "stragglerOrder:\(order)", "An order that had ended has traded",
                ["order": order.rawValue], isLasting: false)
        case .overfilled(let order, let asked, let filled):
            fire(
                "orderOverfilled", "orderOverfilled:\(order)", "The venue filled more than was asked for",
                ["order": order.rawValue, "asked": "\(asked)", "filled": "\(filled)"], isLasting: false)
        case .reversed(let order, let market, let fills, let cash):
            fire(
                "fillReversed", "fillReversed:\(order)", "The venue took back what it had called a trade",
                [
                    "order": order.rawValue, "market": market.rawValue, "cash_change": "\(cash)",
                    "fills": fills.prefix(20).map(\.rawValue).joined(separator: " "),
                ], isLasting: false)
        }
    }

    func mismatch(_ differences: [PositionDifference]) async {
        var detail: [String: String] = [:]
        for difference in differences.prefix(20) {
            detail[difference.market.rawValue] = "ours \(difference.ours), venue's \(difference.venues)"
        }
        fire(
            "reconciliationMismatch", "reconciliationMismatch", "Positions differ from the venue's; no new orders",
            detail, isLasting: true)
    }

    func matched() async {
        host.alerts.resolve(
            "reconciliationMismatch", kind: "reconciliationMismatch", "Positions are the venue's again")
    }

    private func fire(
        _ kind: String, _ fingerprint: String, _ summary: String, _ detail: [String: String], isLasting: Bool
    ) {
        host.log.error("alert raised", metadata: [Key.kind: "\(kind)", "detail": "\(detail)"])
        host.alerts.fire(kind, fingerprint: fingerprint, summary, fields: detail, isLasting: isLasting)
    }
}
