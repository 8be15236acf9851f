/// Where a market stands.
///
/// Legal order: `active -> closed -> settled | voided`, with closed skipped when not seen.
public enum MarketStatus: String, Hashable, Sendable, Codable, CaseIterable {
    case active
    case closed
    case settled
    case voided
}

/// A tradable question about a game: "does this team win?".
public struct Market: Hashable, Sendable, Codable, Identifiable {
    public let id: MarketID
    public let venue: Venue
    public let game: GameID
    /// The venue's name for the group of markets about the same game.
    public let eventTicker: String
    public let title: String
    /// The team whose win pays YES.
    public let team: HomeAway
    public let priceStep: PriceStep

    /// - Throws: `empty` for an empty event ticker.
    public init(
        id: MarketID, venue: Venue, game: GameID, eventTicker: String, title: String, team: HomeAway,
        priceStep: PriceStep = .linearCent
    ) throws(DomainError) {
        if eventTicker.isEmpty {
            throw DomainError(.empty, field: "market.eventTicker", value: "", expected: "the venue's event ticker")
        }
        self.id = id
        self.venue = venue
        self.game = game
        self.eventTicker = eventTicker
        self.title = title
        self.team = team
        self.priceStep = priceStep
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            id: container.decode(MarketID.self, forKey: .id),
            venue: container.decode(Venue.self, forKey: .venue),
            game: container.decode(GameID.self, forKey: .game),
            eventTicker: container.decode(String.self, forKey: .eventTicker),
            title: container.decode(String.self, forKey: .title),
            team: container.decode(HomeAway.self, forKey: .team),
            priceStep: container.decode(PriceStep.self, forKey: .priceStep))
    }
}
