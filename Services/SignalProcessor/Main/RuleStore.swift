import Domain
import Foundation
import Logging
import Postgres
import Runtime
import SignalProcessorEngine

/// Reads the operator's rules (CHECKLIST R83).
struct RuleStore: Sendable {
    let pool: PostgresPool
    let log: Logger

    private struct StoredCondition: Decodable {
        let field: String
        let comparison: String
        let text: String?
        let number: Double?
    }

    private struct StoredAction: Decodable {
        let type: String
        let minimumEdgePercent: Double?

        private enum CodingKeys: String, CodingKey {
            case type
            case minimumEdgePercent = "min_edge_pct"
        }
    }

    private struct Unreadable: Error {}

    /// Every active rule.
    ///
    /// One that cannot be read blocks every signal: a limit that is unreadable is no permission.
    func load() async throws -> [TradingRule] {
        let rows = try await pool.query(
            """
            SELECT rule_id, conditions, action, expires_at FROM trading_rules
            WHERE status = 'active' AND (expires_at IS NULL OR expires_at > now()) ORDER BY rule_id
            """)
        return try rows.map { row in
            let id = try RuleID(row.text("rule_id"))
            do {
                return try rule(id, row)
            } catch {
                log.error("trading rule is unreadable and blocks every signal", metadata: ["rule": "\(id)"])
                return TradingRule(id: id, conditions: [], action: .reject)
            }
        }
    }

    private func rule(_ id: RuleID, _ row: Row) throws -> TradingRule {
        let conditions = try row.json("conditions", as: [StoredCondition].self).map { stored in
            guard let field = TradingRule.Field(rawValue: stored.field),
                let comparison = TradingRule.Comparison(rawValue: stored.comparison)
            else { throw Unreadable() }
            switch (stored.text, stored.number) {
            case (let text?, nil): return try TradingRule.Condition(field, comparison, .text(text))
            case (nil, let number?): return try TradingRule.Condition(field, comparison, .number(number))
            default: throw Unreadable()
            }
        }
        let action = try row.json("action", as: StoredAction.self)
        let expires = try row.timestampMicrosOrNil("expires_at").map { try VenueInstant(microseconds: $0) }
        switch (action.type, action.minimumEdgePercent) {
        case ("reject", _): return TradingRule(id: id, conditions: conditions, action: .reject, expiresAt: expires)
        case ("min_edge", let percent?) where percent >= 0 && percent <= 100:
            return TradingRule(
                id: id, conditions: conditions, action: .minimumEdge(basisPoints: Int((percent * 100).rounded())),
                expiresAt: expires)
        default: throw Unreadable()
        }
    }
}
