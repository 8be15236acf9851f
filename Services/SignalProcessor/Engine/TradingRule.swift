import Domain

/// An operator's rule about which signals may pass (CHECKLIST R83).
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
    }

    public enum Comparison: String, Hashable, Sendable, Codable, CaseIterable {
        case equal = "=="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
    }

    public enum Value: Hashable, Sendable {
        case text(String)
        case number(Double)
    }

    public struct Condition: Hashable, Sendable {
        public let field: Field
        public let comparison: Comparison
        public let value: Value

        public init(_ field: Field, _ comparison: Comparison, _ value: Value) {
            self.field = field
            self.comparison = comparison
            self.value = value
        }

        /// A comparison that makes no sense, such as a sport below a number, holds: a broken rule blocks.
        func holds(for signal: Signal) -> Bool {
            switch (Self.value(of: field, in: signal), value) {
            case (.text(let left), .text(let right)): compare(left, right)
            case (.number(let left), .number(let right)): compare(left, right)
            default: true
            }
        }

        private func compare<V: Comparable>(_ left: V, _ right: V) -> Bool {
            switch comparison {
            case .equal: left == right
            case .notEqual: left != right
            case .less: left < right
            case .lessOrEqual: left <= right
            case .greater: left > right
            case .greaterOrEqual: left >= right
            }
        }

        private static func value(of field: Field, in signal: Signal) -> Value {
            switch field {
            case .sport: .text(signal.sport.rawValue)
            case .kind: .text(signal.kind.rawValue)
            case .game: .text(signal.game.rawValue)
            case .market: .text(signal.market.rawValue)
            case .venue: .text(signal.venue.rawValue)
            case .outcome: .text(signal.outcome.rawValue)
            case .price: .number(signal.price.probability)
            case .probability: .number(signal.probability.value)
            case .edge: .number(Double(signal.edgeBasisPoints) / 100)
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

    func applies(to signal: Signal, at now: VenueInstant) -> Bool {
        if let expiresAt, expiresAt <= now { return false }
        return conditions.allSatisfy { $0.holds(for: signal) }
    }
}
