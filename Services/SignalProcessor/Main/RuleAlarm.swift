import Domain
import Hosting
import SignalProcessorEngine

/// Tells the operator of each rule that is refused, once for each version of it, and when it is understood again.
struct RuleAlarm: Sendable {
    enum Step: Hashable, Sendable {
        case fire(RefusedRule)
        case resolve(RuleID)
    }

    static let kind = "tradingRuleRefused"

    /// The refused version of each rule; nil before the rules were read.
    private var told: [RuleID: WrittenRule]?

    /// What to say of the rules as they are written now.
    ///
    /// The first time it resolves whatever is understood: an earlier life may have told of it.
    mutating func observe(_ written: [WrittenRule], refused: [RefusedRule]) -> [Step] {
        let versions = Dictionary(written.map { ($0.id, $0) }) { $1 }
        let now = Dictionary(refused.map { ($0.id, $0) }) { $1 }
        let known = told ?? [:]
        let earlier = told == nil ? Set(versions.keys) : Set(known.keys)
        told = versions.filter { now[$0.key] != nil }
        let fired = now.values.filter { known[$0.id] != versions[$0.id] }.sorted { $0.id < $1.id }
        let resolved = earlier.filter { now[$0] == nil }.sorted()
        return fired.map { .fire($0) } + resolved.map { .resolve($0) }
    }

    static func say(_ step: Step, to alerts: ServiceAlerts) {
        switch step {
        case .fire(let refused):
            alerts.fire(
                kind, fingerprint: "\(kind):\(refused.id)",
                refused.keepsEarlier
                    ? "A trading rule is not understood; its last good version stays"
                    : "A trading rule is not understood and matches nothing",
                fields: ["rule": refused.id.rawValue, "problem": "\(refused.error)"], severity: .warning)
        case .resolve(let id):
            alerts.resolve("\(kind):\(id)", kind: kind, "The trading rule is understood, or gone")
        }
    }
}
