import Domain

/// A rule as it is written in the database: keys to values, checked on the way in.
public struct WrittenRule: Hashable, Sendable {
    public let id: RuleID
    /// `sport`, `price_lt`, `edge_pct_gte`: a field, and the comparison when it is not equality.
    public let conditions: [String: TradingRule.Value]
    /// `reject` or `min_edge`.
    public let action: String
    /// For `min_edge`, in percent.
    public let percent: Double?
    public let expiresAt: VenueInstant?
    /// What keeps it from being read as keys and values at all.
    public let problem: DomainError?

    public init(
        id: RuleID, conditions: [String: TradingRule.Value], action: String, percent: Double? = nil,
        expiresAt: VenueInstant? = nil
    ) {
        self.id = id
        self.conditions = conditions
        self.action = action
        self.percent = percent
        self.expiresAt = expiresAt
        problem = nil
    }

    /// A rule that is there, but not as keys and values.
    public init(id: RuleID, problem: DomainError) {
        self.id = id
        self.problem = problem
        conditions = [:]
        action = ""
        percent = nil
        expiresAt = nil
    }

    /// Reads it; any key that is not known refuses the whole rule.
    ///
    /// A rule without conditions speaks of everything and must say so by the condition `all` = `true`.
    /// - Throws: what is wrong, and what would be right.
    public func read() throws(DomainError) -> TradingRule {
        if let problem { throw problem }
        var written = conditions
        let speaksOfAll = written.removeValue(forKey: "all")
        if let speaksOfAll, speaksOfAll != .text("true") {
            throw DomainError(.malformed, field: "rule.all", value: "\(speaksOfAll)", expected: "true")
        }
        if written.isEmpty != (speaksOfAll != nil) {
            throw DomainError(
                .inconsistent, field: "rule.conditions", value: "\(conditions.keys.sorted())",
                expected: "conditions, or all = true alone")
        }
        var read: [TradingRule.Condition] = []
        for (key, value) in written.sorted(by: { $0.key < $1.key }) {
            let (field, comparison) = try Self.split(key)
            read.append(try TradingRule.Condition(field, comparison, value))
        }
        return TradingRule(id: id, conditions: read, action: try readAction(), expiresAt: expiresAt)
    }

    private func readAction() throws(DomainError) -> TradingRule.Action {
        switch (action, percent) {
        case ("reject", nil): return .reject
        case ("min_edge", let percent?) where percent >= 0 && percent <= 100:
            return .minimumEdge(basisPoints: Int((percent * 100).rounded()))
        default:
            throw DomainError(
                .malformed, field: "rule.action", value: "\(action) \(percent.map { "\($0)" } ?? "")",
                expected: "reject, or min_edge with a percentage from 0 to 100")
        }
    }

    private static let suffixes: [(String, TradingRule.Comparison)] = [
        ("_not_in", .isNotIn), ("_in", .isIn), ("_lte", .lessOrEqual), ("_gte", .greaterOrEqual), ("_lt", .less),
        ("_gt", .greater), ("_ne", .notEqual), ("_eq", .equal),
    ]

    /// What operators write, and the names of earlier systems (DOMAIN 1.4).
    private static let fields: [String: TradingRule.Field] = [
        "sport": .sport, "kind": .kind, "signal_type": .kind, "game": .game, "game_id": .game, "market": .market,
        "market_id": .market, "venue": .venue, "platform": .venue, "outcome": .outcome, "side": .outcome,
        "price": .price, "probability": .probability, "model_prob": .probability, "edge": .edge, "edge_pct": .edge,
    ]

    private static func split(_ key: String) throws(DomainError) -> (TradingRule.Field, TradingRule.Comparison) {
        if let field = fields[key] { return (field, .equal) }
        for (suffix, comparison) in suffixes where key.hasSuffix(suffix) {
            if let field = fields[String(key.dropLast(suffix.count))] { return (field, comparison) }
        }
        throw DomainError(
            .malformed, field: "rule.conditions", value: key,
            expected: "one of \(fields.keys.sorted().joined(separator: ", ")), with _lt, _lte, _gt, _gte, _ne, _in")
    }
}

/// A rule that could not be read.
public struct RefusedRule: Hashable, Sendable {
    public let id: RuleID
    public let error: DomainError
    /// Whether the version that was read before is kept: a typing error must not lift a bar.
    public let keepsEarlier: Bool
}

/// The rules that hold, replaced as a whole at each reload.
public struct RuleBook: Hashable, Sendable {
    public private(set) var rules: [TradingRule]

    public init(_ rules: [TradingRule] = []) {
        self.rules = rules.sorted { $0.id < $1.id }
    }

    /// Takes what is written now; returns what was refused, for an alert.
    ///
    /// A refused rule matches nothing, but where an earlier version of it was read that one stays.
    public mutating func replace(with written: [WrittenRule]) -> [RefusedRule] {
        var next: [TradingRule] = []
        var refused: [RefusedRule] = []
        for rule in written {
            do {
                next.append(try rule.read())
            } catch {
                let earlier = rules.first { $0.id == rule.id }
                if let earlier { next.append(earlier) }
                refused.append(RefusedRule(id: rule.id, error: error, keepsEarlier: earlier != nil))
            }
        }
        rules = next.sorted { $0.id < $1.id }
        return refused
    }
}
