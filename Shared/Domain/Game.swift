/// A team as its score feed names it.
public struct Team: Hashable, Sendable, Codable {
    /// For example `Cleveland Cavaliers`.
    public let name: String
    /// For example `CLE`; venues may write it otherwise (`NY` here, `NYK` there).
    public let abbreviation: String

    /// - Throws: `empty` for an empty name or abbreviation, `malformed` for more than 64 characters.
    public init(name: String, abbreviation: String) throws(DomainError) {
        for (field, value) in [("team.name", name), ("team.abbreviation", abbreviation)] {
            if value.isEmpty { throw DomainError(.empty, field: field, value: value, expected: "1 to 64 characters") }
            if value.count > 64 {
                throw DomainError(.malformed, field: field, value: value, expected: "1 to 64 characters")
            }
        }
        self.name = name
        self.abbreviation = abbreviation
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            name: container.decode(String.self, forKey: .name),
            abbreviation: container.decode(String.self, forKey: .abbreviation))
    }
}

/// Where a game stands.
///
/// Legal order: `scheduled -> live -> final`, with `postponed`, `suspended` and `cancelled` reachable before `final`,
/// and `postponed` and `suspended` able to go live. `final` and `cancelled` are the end.
public enum GameStatus: String, Hashable, Sendable, Codable, CaseIterable {
    case scheduled
    case live
    case final
    case postponed
    case suspended
    case cancelled

    public var isEnd: Bool { self == .final || self == .cancelled }

    public func permits(_ next: GameStatus) -> Bool {
        if self == next { return true }
        return switch self {
        case .scheduled, .postponed, .suspended: next != .scheduled
        case .live: next != .scheduled
        case .final, .cancelled: false
        }
    }
}

/// A game as the whole suite knows it: who plays what, and when.
public struct Game: Hashable, Sendable, Codable, Identifiable {
    public let id: GameID
    public let sport: Sport
    public let home: Team
    public let away: Team
    public let scheduledAt: VenueInstant

    /// - Throws: `inconsistent` when a team would play itself.
    public init(id: GameID, sport: Sport, home: Team, away: Team, scheduledAt: VenueInstant) throws(DomainError) {
        guard home.abbreviation != away.abbreviation else {
            throw DomainError(
                .inconsistent, field: "game.teams", value: home.abbreviation, expected: "two different teams")
        }
        self.id = id
        self.sport = sport
        self.home = home
        self.away = away
        self.scheduledAt = scheduledAt
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            id: container.decode(GameID.self, forKey: .id),
            sport: container.decode(Sport.self, forKey: .sport),
            home: container.decode(Team.self, forKey: .home),
            away: container.decode(Team.self, forKey: .away),
            scheduledAt: container.decode(VenueInstant.self, forKey: .scheduledAt))
    }
}

/// What the score feed says of a game at one moment.
///
/// Scores may run backwards: feeds correct themselves. Nothing here assumes that they only grow.
public struct GameState: Hashable, Sendable, Codable {
    public let game: GameID
    public let status: GameStatus
    public let homeScore: Int
    public let awayScore: Int
    /// 1-based; 0 before the start.
    ///
    /// Greater than the regular number of periods is overtime.
    public let period: Int
    /// Seconds left in the period; nil where the sport has no clock.
    public let clockSeconds: Double?
    public let possession: HomeAway?
    public let play: PlayID?
    /// The feed's own home win probability: stored beside ours, never an input to the model.
    public let sourceHomeProbability: Probability?
    /// When the feed said so; the age of a state counts from here, not from when we parsed it.
    public let observedAt: VenueInstant

    /// - Throws: `outOfRange` for a negative or absurd score (above 1,000), period (above 40) or clock (above 3 hours).
    public init(
        game: GameID, status: GameStatus, homeScore: Int, awayScore: Int, period: Int, clockSeconds: Double?,
        possession: HomeAway? = nil, play: PlayID? = nil, sourceHomeProbability: Probability? = nil,
        observedAt: VenueInstant
    ) throws(DomainError) {
        for (field, score) in [("homeScore", homeScore), ("awayScore", awayScore)] {
            guard (0...1_000).contains(score) else {
                throw DomainError(.outOfRange, field: field, value: "\(score)", expected: "0 to 1000")
            }
        }
        guard (0...40).contains(period) else {
            throw DomainError(.outOfRange, field: "period", value: "\(period)", expected: "0 to 40")
        }
        if let clockSeconds {
            guard clockSeconds >= 0, clockSeconds <= 10_800 else {
                throw DomainError(.outOfRange, field: "clockSeconds", value: "\(clockSeconds)", expected: "0 to 10800")
            }
        }
        self.game = game
        self.status = status
        self.homeScore = homeScore
        self.awayScore = awayScore
        self.period = period
        self.clockSeconds = clockSeconds
        self.possession = possession
        self.play = play
        self.sourceHomeProbability = sourceHomeProbability
        self.observedAt = observedAt
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            game: container.decode(GameID.self, forKey: .game),
            status: container.decode(GameStatus.self, forKey: .status),
            homeScore: container.decode(Int.self, forKey: .homeScore),
            awayScore: container.decode(Int.self, forKey: .awayScore),
            period: container.decode(Int.self, forKey: .period),
            clockSeconds: container.decodeIfPresent(Double.self, forKey: .clockSeconds),
            possession: container.decodeIfPresent(HomeAway.self, forKey: .possession),
            play: container.decodeIfPresent(PlayID.self, forKey: .play),
            sourceHomeProbability: container.decodeIfPresent(Probability.self, forKey: .sourceHomeProbability),
            observedAt: container.decode(VenueInstant.self, forKey: .observedAt))
    }

    /// Whether two states differ in anything but when they were observed.
    public func isSameMoment(as other: GameState) -> Bool {
        game == other.game && status == other.status && homeScore == other.homeScore && awayScore == other.awayScore
            && period == other.period && clockSeconds == other.clockSeconds && possession == other.possession
            && play == other.play
    }
}
