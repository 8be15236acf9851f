import Foundation

/// What a figure should reach; missing one stops nothing, and is the exit code of the whole run.
struct Bar {
    enum Limit {
        case atMost(Double)
        case atLeast(Double)
        case above(Double)
    }

    let title: String
    /// Nil when it could not be measured.
    let value: Double?
    let limit: Limit
    /// Why there is no value.
    let reason: String

    init(_ title: String, _ value: Double?, _ limit: Limit, skipped reason: String = "not measured") {
        self.title = title
        self.value = value
        self.limit = limit
        self.reason = reason
    }

    var isMet: Bool? {
        guard let value else { return nil }
        return switch limit {
        case .atMost(let limit): value <= limit
        case .atLeast(let limit): value >= limit
        case .above(let limit): value > limit
        }
    }

    /// The columns of the table.
    var row: [String] {
        let wanted =
            switch limit {
            case .atMost(let limit): "at most \(Self.number(limit))"
            case .atLeast(let limit): "at least \(Self.number(limit))"
            case .above(let limit): "above \(Self.number(limit))"
            }
        guard let value, let isMet else { return [title, "", wanted, "skipped: \(reason)"] }
        return [title, Self.number(value), wanted, isMet ? "met" : "MISSED"]
    }

    private static func number(_ value: Double) -> String { String(format: "%.2f", value) }
}
