import Domain

/// Finds the markets of a game among what the venue lists.
public enum MarketMatcher {
    /// Words of a title that mean another question than "who wins"; whole words, so that neither `Thunder` contains
    /// `under` nor `Vancouver` `over`.
    private static let otherQuestions: Set<String> = [
        "over", "under", "total", "totals", "spread", "points", "handicap", "half", "quarter", "btts", "margin",
    ]

    /// The two markets of the game, home first; or why there are none.
    public static func match(_ game: Game, among candidates: [Candidate]) -> MatchResult {
        guard let series = KalshiSeries.game(game.sport) else { return .unmatched(.noSeries) }
        // The series is compared whole: another league's or another question's never fits, whatever the names.
        let open = candidates.filter { $0.isOpen && EventTicker($0.eventTicker)?.series == series && isMoneyline($0) }
        guard !open.isEmpty else { return .unmatched(.noOpenMarkets) }
        let day = USEastern.day(of: game.scheduledAt)
        let sameDay = open.filter { EventTicker($0.eventTicker)?.day == day }
        guard !sameDay.isEmpty else { return .unmatched(.otherDays) }
        let events = Dictionary(grouping: sameDay, by: \.eventTicker)
        let fits = events.keys.sorted().compactMap { event -> [Market]? in
            markets(of: game, event, events[event] ?? [])
        }
        switch fits.count {
        case 0: return .unmatched(.otherTeams)
        case 1: return .matched(fits[0])
        default: return .unmatched(.ambiguous)
        }
    }

    public static func isMoneyline(_ candidate: Candidate) -> Bool {
        !TeamMatcher.words(candidate.title).contains { otherQuestions.contains($0) }
    }

    /// Nil unless the event is about both teams of the game, each side found once.
    private static func markets(of game: Game, _ event: String, _ candidates: [Candidate]) -> [Market]? {
        var sides: [HomeAway: (candidate: Candidate, score: Double)] = [:]
        for candidate in candidates.sorted(by: { $0.ticker < $1.ticker }) {
            guard let (side, score) = side(of: candidate, event, game) else { continue }
            if let known = sides[side] {
                // Two markets that claim the same team: the better one, and never a coin toss.
                if known.score == score { return nil }
                if known.score > score { continue }
            }
            sides[side] = (candidate, score)
        }
        guard let home = sides[.home]?.candidate, let away = sides[.away]?.candidate else { return nil }
        return [(home, HomeAway.home), (away, .away)].compactMap { candidate, team in
            guard let id = try? MarketID(candidate.ticker) else { return nil }  // a name that nobody could trade by
            return try? Market(
                id: id, venue: .kalshi, game: game.id, eventTicker: candidate.eventTicker, title: candidate.title,
                team: team, priceStep: candidate.priceStep)  // the event ticker is not empty: it was taken apart
        }
    }

    /// Which team a market pays for: by the code after the event's ticker, else by the name it shows.
    private static func side(of candidate: Candidate, _ event: String, _ game: Game) -> (HomeAway, Double)? {
        guard candidate.ticker.hasPrefix(event + "-") else { return nil }
        let code = TeamAliases.canonical(String(candidate.ticker.dropFirst(event.utf8.count + 1)), game.sport)
        let home = TeamAliases.canonical(game.home.abbreviation, game.sport)
        let away = TeamAliases.canonical(game.away.abbreviation, game.sport)
        if code == home { return (.home, 1) }
        if code == away { return (.away, 1) }
        let homeScore = TeamMatcher.match(candidate.yesSubTitle, game.home, game.sport).score
        let awayScore = TeamMatcher.match(candidate.yesSubTitle, game.away, game.sport).score
        guard homeScore != awayScore, max(homeScore, awayScore) >= TeamMatcher.enough else { return nil }
        // A name is weaker than a code: it never beats one.
        return homeScore > awayScore ? (.home, homeScore * 0.99) : (.away, awayScore * 0.99)
    }
}
