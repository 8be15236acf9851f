/// Where a market is traded.
public enum Venue: String, Hashable, Sendable, Codable, CaseIterable {
    case kalshi
    case polymarket
}

/// One of the two sides of a binary market.
public enum Outcome: String, Hashable, Sendable, Codable, CaseIterable {
    case yes
    case no

    public var opposite: Outcome { self == .yes ? .no : .yes }
}

/// Whether contracts are taken or given up.
public enum Action: String, Hashable, Sendable, Codable, CaseIterable {
    case buy
    case sell
}

/// Which of the two teams.
public enum HomeAway: String, Hashable, Sendable, Codable, CaseIterable {
    case home
    case away

    public var opposite: HomeAway { self == .home ? .away : .home }
}

/// What is played; crypto slots are treated as games of a sport of their own.
///
/// Every other one has a model of the win probability (DOMAIN 2.5).
public enum Sport: String, Hashable, Sendable, Codable, CaseIterable {
    case nfl
    case nba
    case nhl
    case mlb
    case ncaaf
    case ncaab
    case mls
    case soccer
    case tennis
    case mma
    /// Whether a coin's price ends a short span of time higher than it began.
    case crypto
}
