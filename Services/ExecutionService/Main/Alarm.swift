import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Wire

/// Tells the operator: through the orchestrator, or by ourselves when it does not answer; the log has it in any case.
///
/// What follows from a booking is announced with it besides, under the same identifier: a process that dies between its
/// commit and its word has told it all the same, and nobody is told twice.
struct Alarm: Sendable {
    let host: ServiceHost
    /// Orders of which this process has said that they stand as they do.
    private let told = NIOLockedValueBox<Set<OrderID>>([])
    /// What this process has told of bookings, by the alert's identifier.
    private let raised = NIOLockedValueBox(RecentIDs())

    init(host: ServiceHost) { self.host = host }

    func raise(_ alert: ExecutionAlert) {
        if case .orderUnknown(let order, _) = alert { told.withLockedValue { _ = $0.insert(order) } }
        let notice = alert.notice
        raised.withLockedValue { _ = $0.insert(notice.id) }
        fire(notice.kind, notice.fingerprint, notice.summary, notice.detail, isLasting: false, id: notice.id)
    }

    /// Says what is to be said of an order as it stands, once in this life: whoever wrote it down may not have come to
    /// it, because the answer to its commit was lost or it died.
    func see(_ order: OrderRecord) {
        guard let alert = order.alert else {
            told.withLockedValue { _ = $0.remove(order.request.id) }
            return
        }
        if told.withLockedValue({ !$0.contains(order.request.id) }) { raise(alert) }
    }

    /// Tells what a booking had to tell, unless this process has.
    ///
    /// - Returns: whether it was told now.
    func tellAgain(_ alert: SystemAlert) -> Bool {
        guard raised.withLockedValue({ $0.insert(alert.id.rawValue) }) else { return false }
        fire(
            alert.kind, alert.fingerprint, alert.summary, alert.detail, isLasting: alert.lasting ?? true,
            id: alert.id.rawValue)
        return true
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
        _ kind: String, _ fingerprint: String, _ summary: String, _ detail: [String: String], isLasting: Bool,
        id: String? = nil
    ) {
        host.log.error("alert raised", metadata: [Key.kind: "\(kind)", "detail": "\(detail)"])
        host.alerts.fire(kind, fingerprint: fingerprint, summary, fields: detail, isLasting: isLasting, id: id)
    }
}

/// What an operator reads of an alert that follows from a booking.
struct AlertNotice: Sendable {
    let kind: String
    let fingerprint: String
    let summary: String
    let detail: [String: String]

    /// The same for the same event, whoever tells it and however often.
    var id: String {
        let parts = detail.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return UUIDv5.make(namespace: .dns, name: ([fingerprint] + parts).joined(separator: "\n"))
    }

    fileprivate init(of order: OrderID, kind: String, _ summary: String, _ detail: [String: String] = [:]) {
        self.kind = kind
        fingerprint = "\(kind):\(order)"
        self.summary = summary
        self.detail = detail.merging(["order": order.rawValue]) { $1 }
    }

    /// As the orchestrator is told; `at` is wall time in microseconds since 1970.
    func message(at wall: Int64) throws -> SystemAlert {
        SystemAlert(
            id: try AlertID(id), kind: kind, fingerprint: fingerprint, state: .firing, summary: summary,
            detail: detail, at: wall, lasting: false)
    }
}

extension ExecutionAlert {
    var notice: AlertNotice {
        switch self {
        case .orderUnknown(let order, let reason):
            AlertNotice(of: order, kind: "orderUnknown", "The answer to an order was lost", ["reason": reason])
        case .straggler(let order):
            AlertNotice(of: order, kind: "stragglerOrder", "An order that had ended has traded")
        case .overfilled(let order, let asked, let filled):
            AlertNotice(
                of: order, kind: "orderOverfilled", "The venue filled more than was asked for",
                ["asked": "\(asked)", "filled": "\(filled)"])
        case .reversed(let order, let market, let fills, let cash):
            AlertNotice(
                of: order, kind: "fillReversed", "The venue took back what it had called a trade",
                [
                    "market": market.rawValue, "cash_change": "\(cash)",
                    "fills": fills.prefix(20).map(\.rawValue).joined(separator: " "),
                ])
        }
    }
}
