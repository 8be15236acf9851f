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

    /// The venue says something else than our books, and goes on saying it.
    func mismatch(_ differences: [Discrepancy]) {
        var detail = ["show": "linesman reconcile"]
        for difference in differences.prefix(20) { detail[difference.name] = difference.figures }
        fire(
            "reconciliationMismatch", "reconciliationMismatch",
            "\(differences.count) differences between our books and the venue's; no new orders", detail,
            isLasting: true)
    }

    func matched() {
        host.alerts.resolve(
            "reconciliationMismatch", kind: "reconciliationMismatch", "Our books and the venue's are equal again")
    }

    /// The books could not be compared for too long.
    func overdue(_ reason: String, permitsOrders: Bool) {
        fire(
            "reconciliationOverdue", "reconciliationOverdue",
            "Our books could not be compared with the venue's" + (permitsOrders ? "" : "; no new orders"),
            ["reason": reason, "show": "linesman reconcile"], isLasting: true)
    }

    func compared() {
        host.alerts.resolve(
            "reconciliationOverdue", kind: "reconciliationOverdue", "Our books were compared with the venue's")
    }

    /// A fill of an order that is not ours: kept, and part of what is compared.
    func foreign(_ fill: ForeignFill) {
        fire(
            "foreignFill", "foreignFill:\(fill.fill)", "A fill in the account of an order that is not ours",
            ["fill": fill.fill, "order": fill.venueOrder, "market": fill.market], isLasting: false)
    }

    private func fire(
        _ kind: String, _ fingerprint: String, _ summary: String, _ detail: [String: String], isLasting: Bool
    ) {
        host.log.error("alert raised", metadata: [Key.kind: "\(kind)", "detail": "\(detail)"])
        host.alerts.fire(kind, fingerprint: fingerprint, summary, fields: detail, isLasting: isLasting)
    }
}
