import Domain

/// The recordings that ship with Linesman, each made from the raw files of others by a fixed rule.
///
/// Importing is pure and deterministic: the same texts give the same recording, byte for byte.
public enum RecordingImport: String, Hashable, Sendable, CaseIterable {
    /// Toronto at Cleveland, 20 April 2026: scores, the source's win probability, and prices at each scoring play.
    case torAtCle = "tor-at-cle-2026-04-20"
    /// Los Angeles (Clippers) at Charlotte, 22 November 2025: every price tick of both markets, no scores.
    case lacAtCha = "lac-at-cha-2025-11-22"

    /// A raw file that an import needs.
    public struct Source: Hashable, Sendable {
        /// Relative to the folder of raw recordings.
        public let path: String
        /// Whether the text has to be unpacked with gzip before it is handed over.
        public let isCompressed: Bool
    }

    /// The raw files, in the order in which `recording(from:)` wants their texts.
    public var sources: [Source] {
        switch self {
        case .torAtCle:
            [Source(path: "joint/espn_wp_vs_kalshi_KXNBAGAME-26APR20TORCLE.csv", isCompressed: false)]
        case .lacAtCha:
            [
                Source(path: "joint/kalshi_ticker_KXNBAGAME-25NOV22LACCHA-CHA.jsonl.gz", isCompressed: true),
                Source(path: "joint/kalshi_ticker_KXNBAGAME-25NOV22LACCHA-LAC.jsonl.gz", isCompressed: true),
            ]
        }
    }

    /// The name of the shipped file.
    public var fileName: String { rawValue + ".recording" }

    /// Makes the recording.
    ///
    /// - Parameter texts: the unpacked texts of `sources`, in that order.
    /// - Returns: the recording that ships, when the sources are the right ones.
    /// - Throws: the first line of a source that is not what the import expects.
    public func recording(from texts: [String]) throws(RecordingError) -> Recording {
        guard texts.count == sources.count else {
            throw RecordingError(.structure, line: 1, field: "sources", "\(sources.count) texts, found \(texts.count)")
        }
        do {
            switch self {
            case .torAtCle:
                let plan = ScoreAndPriceImport(game: try Self.torCleGame(), markets: try torCleMarkets())
                return try plan.recording(name: rawValue, from: texts[0])
            case .lacAtCha:
                let plan = TickerImport(game: try Self.lacChaGame(), markets: try lacChaMarkets())
                return try plan.recording(name: rawValue, from: texts)
            }
        } catch let error as RecordingError {
            throw error
        } catch {
            throw RecordingError(.inconsistent, line: 1, field: "plan", "\(error)")
        }
    }

    private static func torCleGame() throws(DomainError) -> Game {
        try Game(
            id: "401869369", sport: .nba, home: Team(name: "Cleveland Cavaliers", abbreviation: "CLE"),
            away: Team(name: "Toronto Raptors", abbreviation: "TOR"),
            scheduledAt: VenueInstant(rfc3339: "2026-04-20T23:00:00Z"))
    }

    private func torCleMarkets() throws(DomainError) -> [RecordedMarket] {
        try Self.markets(
            game: "401869369", event: "KXNBAGAME-26APR20TORCLE", title: "Toronto vs Cleveland Winner?",
            home: "CLE", away: "TOR", winner: .home)
    }

    private static func lacChaGame() throws(DomainError) -> Game {
        try Game(
            id: "lac-at-cha-2025-11-22", sport: .nba, home: Team(name: "Charlotte Hornets", abbreviation: "CHA"),
            away: Team(name: "LA Clippers", abbreviation: "LAC"),
            scheduledAt: VenueInstant(rfc3339: "2025-11-22T18:00:00Z"))
    }

    private func lacChaMarkets() throws(DomainError) -> [RecordedMarket] {
        try Self.markets(
            game: "lac-at-cha-2025-11-22", event: "KXNBAGAME-25NOV22LACCHA",
            title: "Los Angeles C vs Charlotte Winner?", home: "CHA", away: "LAC", winner: .away)
    }

    /// The two markets of a game at Kalshi, home first.
    private static func markets(
        game: GameID, event: String, title: String, home: String, away: String, winner: HomeAway
    ) throws(DomainError) -> [RecordedMarket] {
        var markets: [RecordedMarket] = []
        for (team, code) in [(HomeAway.home, home), (.away, away)] {
            markets.append(
                RecordedMarket(
                    market: try Market(
                        id: MarketID("\(event)-\(code)"), venue: .kalshi, game: game, eventTicker: event, title: title,
                        team: team),
                    settlement: team == winner ? .one : .zero))
        }
        return markets
    }
}
