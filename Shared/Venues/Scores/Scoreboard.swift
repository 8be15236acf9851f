import Domain

/// A game and its state, as one answer of the score feed had them.
public struct ScoredGame: Hashable, Sendable {
    public let game: Game
    public let state: GameState
}

/// Why one event of a scoreboard could not be used; the others stand.
public struct ScoreboardError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A bounded set, safe as a metric label.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        case missingField = "missing_field"
        case invalidField = "invalid_field"
        case unknownStatus = "unknown_status"
    }

    public let code: Code
    /// The event's id, or its place in the list.
    public let event: String
    public let field: String

    public init(_ code: Code, event: String, field: String) {
        self.code = code
        self.event = String(event.prefix(64))
        self.field = String(field.prefix(160))
    }

    public var description: String { "event \(event): \(code.rawValue) \(field)" }
}

/// What a scoreboard said, and what of it could not be read.
public struct Scoreboard: Hashable, Sendable {
    public let games: [ScoredGame]
    public let errors: [ScoreboardError]
    /// When it was said, in venue time.
    public let observedAt: VenueInstant
}

/// The sports whose scoreboard is read, and where it is (WIRE 3).
public enum ScoreboardPath {
    /// Nil for a sport without a scoreboard of ours.
    public static func of(_ sport: Sport) -> String? {
        switch sport {
        case .nfl: "football/nfl"
        case .ncaaf: "football/college-football"
        case .nba: "basketball/nba"
        case .nhl: "hockey/nhl"
        case .mlb: "baseball/mlb"
        case .ncaab, .mls, .soccer, .tennis, .mma, .crypto: nil
        }
    }

    public static let sports: [Sport] = Sport.allCases.filter { of($0) != nil }
}
