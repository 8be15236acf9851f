import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import NIOConcurrencyHelpers
import Runtime

/// Tells the operator of legs that stand alone (CHECKLIST N13).
///
/// By game, not by plan: a market in which one plan after the other misses a leg is one trouble, told as often as the
/// rate limit has it. A leg that is matched within `NAKED_PATIENCE_SECS` is counted and audited, and alerts nobody.
final class PlanAlarm: Sendable {
    private static let kinds = ["nakedLeg", "nakedLegTooLong", "nakedLegHeldBack"]

    private let host: ServiceHost
    private let missed: Counter
    /// Which plans of this process fire each fingerprint; bounded by the plans at work.
    private let firing = NIOLockedValueBox<[String: Set<IntentID>]>([:])

    init(host: ServiceHost) {
        self.host = host
        missed = host.context.metrics.counter("plan_legs_missed_total", "Legs of arbitrages that were missed.")
    }

    /// The word for the audit, and what stands in it; without a word what is told already is told again.
    static func record(_ alert: LegPlanAlert, of plan: ApprovedPlan) -> (event: AuditEvent?, details: [String: String])
    {
        func leg(_ index: Int, _ naked: Quantity) -> [String: String] {
            let leg = plan.signal.legs[index]
            return [
                "plan": plan.id.rawValue, "market": leg.market.rawValue, "outcome": leg.outcome.rawValue,
                "naked": "\(naked)", "maximum_loss": "\(plan.maximumLoss)",
            ]
        }
        return switch alert {
        case .missedLeg(let index, let naked): (.legMissed, leg(index, naked))
        case .staysNaked(let index, let naked): (nil, leg(index, naked))
        case .nakedTooLong(let index, let naked): (.legNakedTooLong, leg(index, naked))
        case .heldBack(let index, let naked): (.legHeldBack, leg(index, naked))
        case .straggler(let number): (.planStraggler, ["plan": plan.id.rawValue, "number": "\(number)"])
        }
    }

    func raise(_ alert: LegPlanAlert, of plan: ApprovedPlan) {
        let (event, details) = Self.record(alert, of: plan)
        let kind = event?.rawValue ?? "leg_stays_naked"
        host.log.warning("plan alert", metadata: [Key.kind: "\(kind)", "detail": "\(details)"])
        switch alert {
        case .missedLeg: missed.increment()
        case .staysNaked:
            fire(
                "nakedLeg", plan, details, isWarning: true,
                "One leg of an arbitrage was missed and still stands alone; it is covered or sold again within "
                    + "MAX_ARBITRAGE_LOSS")
        case .nakedTooLong:
            fire(
                "nakedLegTooLong", plan, details,
                "One leg of an arbitrage stands alone longer than MAX_NAKED_SECS")
        case .heldBack:
            fire(
                "nakedLegHeldBack", plan, details,
                "One leg of an arbitrage stands alone, and the kill switch or an open reconciliation holds back what "
                    + "would cover or sell it")
        case .straggler(let number):
            host.alerts.fire(
                "stragglerOrder", fingerprint: "stragglerOrder:\(plan.id):\(number)",
                "An order of an arbitrage that had been given up has traded", fields: details, isLasting: false)
        }
    }

    private func fire(
        _ kind: String, _ plan: ApprovedPlan, _ details: [String: String], isWarning: Bool = false, _ summary: String
    ) {
        let fingerprint = Self.fingerprint(kind, plan)
        firing.withLockedValue { _ = $0[fingerprint, default: []].insert(plan.id) }
        host.alerts.fire(
            kind, fingerprint: fingerprint, summary, fields: details, severity: isWarning ? .warning : .critical)
    }

    private static func fingerprint(_ kind: String, _ plan: ApprovedPlan) -> String { "\(kind):\(plan.signal.game)" }

    /// No leg of the plan stands alone any more; what an earlier life may have told of it is taken back too.
    func even(_ plan: ApprovedPlan, afterEarlierLife: Bool) {
        for kind in Self.kinds {
            let fingerprint = Self.fingerprint(kind, plan)
            let isOver = firing.withLockedValue { firing in
                let wasOurs = firing[fingerprint]?.remove(plan.id) != nil
                guard firing[fingerprint]?.isEmpty ?? true else { return false }
                firing[fingerprint] = nil
                return wasOurs || afterEarlierLife
            }
            if isOver { host.alerts.resolve(fingerprint, kind: kind, "The arbitrage's legs are even") }
        }
    }

    /// The market has ended, and nobody can match the leg any more.
    func endedNaked(_ plan: ApprovedPlan, _ naked: (leg: Int, quantity: Quantity)) {
        let (_, details) = Self.record(.missedLeg(leg: naked.leg, naked: naked.quantity), of: plan)
        host.log.error("plan ended naked", metadata: ["detail": "\(details)"])
        even(plan, afterEarlierLife: true)
        host.alerts.fire(
            "nakedLegSettled", fingerprint: Self.fingerprint("nakedLegSettled", plan),
            "A market was paid out while one leg of an arbitrage stood alone", fields: details, isLasting: false)
    }
}
