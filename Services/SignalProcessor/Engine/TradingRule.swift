import Domain

/// An operator's rule about which signals may pass (CHECKLIST R83).
///
/// A rule that makes no sense is never made: an unknown key, operator or name, a number compared with a text. What is
/// refused is told to the operator and matches nothing, instead of matching everything (PITFALLS D57).
public struct TradingRule: Hashable, Sendable {
    public enum Field: String, Hashable, Sendable, Codable, CaseIterable {
        case sport
        case kind
        case game
        case market
        case venue
        case outcome
        /// In dollars, 0 to 1.
        case price
        /// 0 to 1.
        case probability
        /// In percent: 15 is 15 %.
        case edge

        var isNumber: Bool { self == .price || self == .probability || self == .edge }

        /// The names that a value may have; nil where any is possible.
        var names: Set<String>? {
            switch self {
            case .sport: Set(Sport.allCases.map(\.rawValue))
            case .kind: Set(SignalKind.allCases.map(\.rawValue))
            case .venue: Set(Venue.allCases.map(\.rawValue))
            case .outcome: Set(Outcome.allCases.map(\.rawValue))
            case .game, .market, .price, .probability, .edge: nil
            }
        }
    }

    public enum Comparison: String, Hashable, Sendable, Codable, CaseIterable {
        case equal = "=="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case isIn = "in"
        case isNotIn = "not in"
    }

    public enum Value: Hashable, Sendable {
        case text(String)
        case number(Double)
        case texts(Set<String>)
    }

    public struct Condition: Hashable, Sendable {
        public let field: Field
        public let comparison: Comparison
        public let value: Value

        /// - Throws: `inconsistent` for a comparison that makes no sense for the field, `malformed` for a name that
        ///   does not exist or a number that is none, `empty` for an empty list.
        public init(_ field: Field, _ comparison: Comparison, _ value: Value) throws(DomainError) {
            switch (value, comparison) {
            case (.number(let number), let comparison) where comparison != .isIn && comparison != .isNotIn:
                guard field.isNumber else { throw Self.refused(field, comparison, value, "a text") }
                guard number.isFinite else { throw Self.refused(field, comparison, value, "a finite number") }
            case (.text(let text), .equal), (.text(let text), .notEqual):
                try Self.check([text], field)
            case (.texts(let texts), .isIn), (.texts(let texts), .isNotIn):
                guard !texts.isEmpty else {
                    throw DomainError(
                        .empty, field: "rule.\(field.rawValue)", value: "[]", expected: "one name or more")
                }
                try Self.check(texts, field)
            default: throw Self.refused(field, comparison, value, field.isNumber ? "a number" : "==, !=, in or not in")
            }
            self.field = field
            self.comparison = comparison
            self.value = value
        }

        private static func check(_ texts: Set<String>, _ field: Field) throws(DomainError) {
            guard !field.isNumber else {
                throw DomainError(
                    .inconsistent, field: "rule.\(field.rawValue)", value: "\(texts.sorted())", expected: "a number")
            }
            guard let names = field.names else { return }
            for text in texts.sorted() where !names.contains(text) {
                throw DomainError(
                    .malformed, field: "rule.\(field.rawValue)", value: text,
                    expected: names.sorted().joined(separator: ", "))
            }
        }

        private static func refused(
            _ field: Field, _ comparison: Comparison, _ value: Value, _ expected: String
        ) -> DomainError {
            DomainError(
                .inconsistent, field: "rule.\(field.rawValue)", value: "\(comparison.rawValue) \(value)",
                expected: expected)
        }

        /// What has no such value does not meet the condition.
        func holds(for facts: RuleFacts) -> Bool {
            switch (facts.value(of: field), value) {
            case (.text(let left), .text(let right)): (left == right) == (comparison == .equal)
            case (.text(let left), .texts(let right)): right.contains(left) == (comparison == .isIn)
            case (.number(let left), .number(let right)): compare(left, right)
            default: false
            }
        }

        private func compare(_ left: Double, _ right: Double) -> Bool {
            switch comparison {
            case .equal: left == right
            case .notEqual: left != right
            case .less: left < right
            case .lessOrEqual: left <= right
            case .greater: left > right
            case .greaterOrEqual: left >= right
            case .isIn, .isNotIn: false
            }
        }
    }

    public enum Action: Hashable, Sendable {
        case reject
        /// Asks for another edge than the limit's, in 1/100 of a percentage point.
        case minimumEdge(basisPoints: Int)
    }

    public let id: RuleID
    /// All must hold; none always holds.
    public let conditions: [Condition]
    public let action: Action
    public let expiresAt: VenueInstant?

    public init(id: RuleID, conditions: [Condition], action: Action, expiresAt: VenueInstant? = nil) {
        self.id = id
        self.conditions = conditions
        self.action = action
        self.expiresAt = expiresAt
    }

    /// Whether it speaks of a signal.
    public func applies(to signal: Signal, at now: VenueInstant) -> Bool { applies(to: RuleFacts(signal), at: now) }

    /// Whether it speaks of one of an arbitrage's legs: what is barred on one leg bars both.
    public func applies(to signal: ArbitrageSignal, at now: VenueInstant) -> Bool {
        signal.legs.contains { applies(to: RuleFacts($0, of: signal), at: now) }
    }

    private func applies(to facts: RuleFacts, at now: VenueInstant) -> Bool {
        if let expiresAt, expiresAt <= now { return false }
        return conditions.allSatisfy { $0.holds(for: facts) }
    }
}

/// What a rule may ask about.
struct RuleFacts {
    private let texts: [TradingRule.Field: String]
    private let numbers: [TradingRule.Field: Double]

    init(_ signal: Signal) {
        texts = [
            .sport: signal.sport.rawValue, .kind: signal.kind.rawValue, .game: signal.game.rawValue,
            .market: signal.market.rawValue, .venue: signal.venue.rawValue, .outcome: signal.outcome.rawValue,
        ]
        numbers = [
            .price: signal.price.probability, .probability: signal.probability.value,
            .edge: Double(signal.edgeBasisPoints) / 100,
        ]
    }

    /// A leg has no probability: an arbitrage has no opinion about who wins.
    init(_ leg: ArbitrageLeg, of signal: ArbitrageSignal) {
        texts = [
            .sport: signal.sport.rawValue, .kind: signal.kind.rawValue, .game: signal.game.rawValue,
            .market: leg.market.rawValue, .venue: leg.venue.rawValue, .outcome: leg.outcome.rawValue,
        ]
        numbers = [
            .price: leg.price.probability, .edge: Double(signal.edgeBasisPoints(of: signal.available)) / 100,
        ]
    }

    func value(of field: TradingRule.Field) -> TradingRule.Value? {
        texts[field].map { .text($0) } ?? numbers[field].map { .number($0) }
    }
}
