/// What made a shard emit a signal (DOMAIN 1.4; the kinds that are really produced).
public enum SignalKind: String, Hashable, Sendable, Codable, CaseIterable {
    case modelEdgeYes = "model_edge_yes"
    case modelEdgeNo = "model_edge_no"
    /// Both teams in two markets, at one venue or at two.
    case crossMarketArbitrage = "cross_market_arb"
    /// Both outcomes of one market.
    case singleConditionArbitrage = "single_condition_arb"

    public var isArbitrage: Bool { self == .crossMarketArbitrage || self == .singleConditionArbitrage }
}

/// Advice from a shard, not yet checked: buy this outcome, at most at this price.
public struct Signal: Hashable, Sendable, Codable, Identifiable {
    public let id: SignalID
    public let kind: SignalKind
    public let game: GameID
    public let sport: Sport
    public let market: MarketID
    public let venue: Venue
    /// Under which the shard watches the game; a stale one is refused where exposure is reserved.
    public let epoch: Epoch
    public let shard: ShardID
    /// What to buy.
    public let outcome: Outcome
    /// The model's chance of that outcome.
    public let probability: Probability
    /// The most to pay for it: the ask that was seen.
    public let price: Price
    /// What rests at that price or better.
    public let available: Quantity
    /// Net of fees, in 1/100 of a percentage point of a dollar: 400 is 4 cents a contract.
    public let edgeBasisPoints: Int
    public let play: PlayID?
    public let createdAt: VenueInstant
    public let expiresAt: VenueInstant

    /// - Throws: `outOfRange` for a price that is not tradable, `inconsistent` when it would expire before it was made.
    public init(
        id: SignalID, kind: SignalKind, game: GameID, sport: Sport, market: MarketID, venue: Venue, epoch: Epoch,
        shard: ShardID, outcome: Outcome, probability: Probability, price: Price, available: Quantity,
        edgeBasisPoints: Int, play: PlayID?, createdAt: VenueInstant, expiresAt: VenueInstant
    ) throws(DomainError) {
        guard price.isTradable else {
            throw DomainError(
                .outOfRange, field: "signal.price", value: "\(price)", expected: "strictly between 0 and 1 dollar")
        }
        guard expiresAt > createdAt else {
            throw DomainError(
                .inconsistent, field: "signal.expiresAt", value: "\(expiresAt)", expected: "later than \(createdAt)")
        }
        guard (-10_000...10_000).contains(edgeBasisPoints) else {
            throw DomainError(
                .outOfRange, field: "signal.edge", value: "\(edgeBasisPoints)", expected: "-10000 to 10000")
        }
        self.id = id
        self.kind = kind
        self.game = game
        self.sport = sport
        self.market = market
        self.venue = venue
        self.epoch = epoch
        self.shard = shard
        self.outcome = outcome
        self.probability = probability
        self.price = price
        self.available = available
        self.edgeBasisPoints = edgeBasisPoints
        self.play = play
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try self.init(
            id: container.decode(SignalID.self, forKey: .id),
            kind: container.decode(SignalKind.self, forKey: .kind),
            game: container.decode(GameID.self, forKey: .game),
            sport: container.decode(Sport.self, forKey: .sport),
            market: container.decode(MarketID.self, forKey: .market),
            venue: container.decode(Venue.self, forKey: .venue),
            epoch: container.decode(Epoch.self, forKey: .epoch),
            shard: container.decode(ShardID.self, forKey: .shard),
            outcome: container.decode(Outcome.self, forKey: .outcome),
            probability: container.decode(Probability.self, forKey: .probability),
            price: container.decode(Price.self, forKey: .price),
            available: container.decode(Quantity.self, forKey: .available),
            edgeBasisPoints: container.decode(Int.self, forKey: .edgeBasisPoints),
            play: container.decodeIfPresent(PlayID.self, forKey: .play),
            createdAt: container.decode(VenueInstant.self, forKey: .createdAt),
            expiresAt: container.decode(VenueInstant.self, forKey: .expiresAt))
    }
}
