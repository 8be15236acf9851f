import Domain

/// A market as its venue lists it, before anybody knows which game it belongs to.
public struct Candidate: Hashable, Sendable {
    /// For example `KXNBAGAME-25DEC07ORLNYK-NYK`.
    public let ticker: String
    /// For example `KXNBAGAME-25DEC07ORLNYK`.
    public let eventTicker: String
    /// For example `Orlando vs New York Winner?`.
    public let title: String
    /// The team whose win pays YES, as the venue calls it; it abbreviates cities (`New York K`, `LA`).
    public let yesSubTitle: String
    public let isOpen: Bool
    public let priceStep: PriceStep

    public init(
        ticker: String, eventTicker: String, title: String, yesSubTitle: String, isOpen: Bool,
        priceStep: PriceStep = .linearCent
    ) {
        self.ticker = ticker
        self.eventTicker = eventTicker
        self.title = title
        self.yesSubTitle = yesSubTitle
        self.isOpen = isOpen
        self.priceStep = priceStep
    }
}

/// Why a game got no markets: a bounded set, safe as a metric label.
public enum Unmatched: String, Hashable, Sendable, Codable, CaseIterable {
    /// We know no series of the venue for this sport.
    case noSeries
    /// The venue lists nothing open in the series.
    case noOpenMarkets
    /// Markets were listed, none for this day.
    case otherDays
    /// Markets for this day, none about these two teams.
    case otherTeams
    /// More than one event fits; guessing would trade the wrong game.
    case ambiguous
    /// The venue could not be asked.
    case searchFailed
    /// Too many questions wait already.
    case tooManyQuestions
}

/// What came of matching: markets, or why there are none.
public enum MatchResult: Hashable, Sendable {
    case matched([Market])
    case unmatched(Unmatched)
}
