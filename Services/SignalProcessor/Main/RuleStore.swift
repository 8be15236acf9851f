import Domain
import Foundation
import Postgres
import SignalProcessorEngine

/// Reads the operator's rules as they are written (CHECKLIST R83); the engine decides which of them make sense.
///
/// `conditions` is an object of keys and values: `{"sport": "nba", "price_lt": 0.3, "kind_in": ["model_edge_yes"]}`,
/// or `{"all": true}`. `action` is `{"type": "reject"}` or `{"type": "min_edge", "min_edge_pct": 20}`.
struct RuleStore: Sendable {
    let pool: PostgresPool

    private static let isInForce: SQL =
        "status = 'active' AND kind <> 'limit' AND (expires_at IS NULL OR expires_at > now())"

    /// Every active rule; one that is no object of keys and values is among them, with its problem.
    func load() async throws -> [WrittenRule] {
        try Self.rules(
            await pool.query(
                """
                SELECT rule_id, conditions, action, concat(conditions, ' ', action) AS written, expires_at
                FROM trading_rules WHERE \(Self.isInForce) ORDER BY rule_id
                """))
    }

    /// Of each active rule the version that was understood last, by whomever: what an earlier life held to.
    func understood() async throws -> [WrittenRule] {
        try Self.rules(
            await pool.query(
                """
                SELECT rule_id, understood->'conditions' AS conditions, understood->'action' AS action,
                    understood::text AS written, expires_at
                FROM trading_rules WHERE \(Self.isInForce) AND understood IS NOT NULL ORDER BY rule_id
                """))
    }

    /// Keeps the versions that are written now, of rules that were understood as they are.
    ///
    /// One that was changed since it was read is kept by the look that reads the change.
    ///
    /// - Returns: whether all were; one that somebody writes at this moment is not waited for.
    func keep(_ rules: [WrittenRule]) async throws -> Bool {
        try await pool.transaction("keep rules") { transaction in
            let written = try Self.rules(
                await transaction.query(
                    """
                    SELECT rule_id, conditions, action, concat(conditions, ' ', action) AS written, expires_at
                    FROM trading_rules WHERE \(Self.isInForce) ORDER BY rule_id FOR UPDATE SKIP LOCKED
                    """))
            let same = Set(rules).intersection(written).map(\.id.rawValue).sorted()
            try await transaction.execute(
                """
                UPDATE trading_rules SET understood = jsonb_build_object('conditions', conditions, 'action', action)
                WHERE rule_id = ANY(\(same)::text[])
                    AND understood IS DISTINCT FROM jsonb_build_object('conditions', conditions, 'action', action)
                """)
            return same.count == rules.count
        }
    }

    private static func rules(_ rows: [Row]) throws -> [WrittenRule] {
        try rows.map { row in
            let (name, written) = (try row.text("rule_id"), try row.text("written"))
            // What is wrong with the name is said below.
            guard let id = try? RuleID(name) else {
                let problem = DomainError(
                    .malformed, field: "rule_id", value: name, expected: "a name in visible ASCII without spaces")
                return WrittenRule(id: "rule-without-a-valid-name", problem: problem)
            }
            do {
                return try Self.rule(id, row)
            } catch let problem as DomainError {
                return WrittenRule(id: id, problem: problem)
            } catch {
                let problem = DomainError(
                    .malformed, field: "rule", value: written,
                    expected: "an object of keys and values, an action and a time")
                return WrittenRule(id: id, problem: problem)
            }
        }
    }

    private static func rule(_ id: RuleID, _ row: Row) throws -> WrittenRule {
        var conditions: [String: TradingRule.Value] = [:]
        for (key, stored) in try row.json("conditions", as: [String: StoredValue].self) {
            if stored.isFlag, key != "all" { throw unknown("rule.\(key)", stored, "a text, a number or a list") }
            conditions[key] = stored.value
        }
        var action = try row.json("action", as: [String: StoredValue].self)
        let (type, percent) = (action.removeValue(forKey: "type"), action.removeValue(forKey: "min_edge_pct"))
        if let (key, stored) = action.min(by: { $0.key < $1.key }) {
            throw unknown("rule.action.\(key)", stored, "type and min_edge_pct alone")
        }
        guard case .text(let type) = type?.value else { throw unknown("rule.action.type", type, "reject or min_edge") }
        let expires = try row.timestampMicrosOrNil("expires_at").map { try VenueInstant(microseconds: $0) }
        switch percent?.value {
        case nil: return WrittenRule(id: id, conditions: conditions, action: type, expiresAt: expires)
        case .number(let percent):
            return WrittenRule(id: id, conditions: conditions, action: type, percent: percent, expiresAt: expires)
        default: throw unknown("rule.action.min_edge_pct", percent, "a number")
        }
    }

    private static func unknown(_ field: String, _ stored: StoredValue?, _ expected: String) -> DomainError {
        DomainError(
            .malformed, field: field, value: stored.map { "\($0.value)" } ?? "nothing", expected: expected)
    }
}

/// A value as an operator may write it.
private struct StoredValue: Decodable {
    let value: TradingRule.Value
    /// `true` or `false`, which only the key `all` may have.
    var isFlag = false

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let flag = try? container.decode(Bool.self) {
            // What is no flag may be another of the four.
            value = .text("\(flag)")
            isFlag = true
        } else if let number = try? container.decode(Double.self) {
            value = .number(number)
        } else if let text = try? container.decode(String.self) {
            value = .text(text)
        } else {
            value = .texts(Set(try container.decode([String].self)))
        }
    }
}
