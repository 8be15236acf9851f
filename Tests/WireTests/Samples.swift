import Domain
import Wire

enum Samples {
    static let ticker: MarketID = "KXNBAGAME-26APR20TORCLE-CLE"
    static let at = VenueInstant.epoch.advanced(by: .seconds(1_776_726_799))
    static let types: Set<String> = [
        Heartbeat.type, ShardCommand.type, CommandAcknowledgement.type, LeaseGrant.type, DiscoveryRequest.type,
        DiscoveryResult.type, ServiceNotification.type, GameStateUpdate.type, PriceUpdate.type, GameEnded.type,
        SignalMessage.type, IntentMessage.type, IntentHint.type, OrderUpdate.type, PositionUpdate.type,
        KillSwitchChange.type, RulesChanged.type, SystemAlert.type, AlertAcknowledgement.type, SequenceMark.type,
        MarketAssignment.type, StartupStateRequest.type, StartupState.type, ArbitrageMessage.type, PlanMessage.type,
        PlanResult.type,
    ]

    static func game() throws -> Game {
        try Game(
            id: "401869369", sport: .nba, home: Team(name: "Cleveland Cavaliers", abbreviation: "CLE"),
            away: Team(name: "Toronto Raptors", abbreviation: "TOR"), scheduledAt: at)
    }

    static func market() throws -> Market {
        try Market(
            id: ticker, venue: .kalshi, game: "401869369", eventTicker: "KXNBAGAME-26APR20TORCLE",
            title: "Toronto at Cleveland Winner?", team: .home)
    }

    static func state() throws -> GameState {
        try GameState(
            game: "401869369", status: .live, homeScore: 6, awayScore: 3, period: 1, clockSeconds: 624,
            possession: .home, play: "401869369-12", sourceHomeProbability: Probability(0.713), observedAt: at)
    }

    static func signal() throws -> Signal {
        try Signal(
            id: "0b8f-1", kind: .modelEdgeYes, game: "401869369", sport: .nba, market: ticker, venue: .kalshi,
            epoch: Epoch(3), shard: "shard-01", outcome: .yes, probability: Probability(0.86), price: .cents(80),
            available: .contracts(40), edgeBasisPoints: 488, play: "401869369-12", createdAt: at,
            expiresAt: at.advanced(by: .seconds(60)))
    }

    static func intent() throws -> ApprovedIntent {
        try ApprovedIntent(
            id: "9ab2", signal: "0b8f-1", reservation: "9ab2", game: "401869369", sport: .nba, market: ticker,
            venue: .kalshi, epoch: Epoch(3), outcome: .yes, action: .buy, limit: .cents(80), quantity: .contracts(12),
            expiresAt: at.advanced(by: .seconds(60)))
    }

    static func arbitrage() throws -> ArbitrageSignal {
        try ArbitrageSignal(
            id: "0b8f-2", game: "401869369", sport: .nba, epoch: Epoch(3), shard: "shard-01",
            legs: [
                ArbitrageLeg(
                    market: ticker, venue: .kalshi, outcome: .yes, backs: .home, price: .cents(45),
                    available: .contracts(40)),
                ArbitrageLeg(
                    market: "KXNBAGAME-26APR20TORCLE-TOR", venue: .kalshi, outcome: .yes, backs: .away,
                    price: .cents(48), available: .contracts(30)),
            ],
            createdAt: at, expiresAt: at.advanced(by: .seconds(10)))
    }

    static func plan() throws -> ApprovedPlan {
        try ApprovedPlan(
            id: "9ab3", signal: arbitrage(), reservation: "9ab3", quantity: .contracts(24), maximumLoss: .dollars(5))
    }

    static func fill() throws -> Fill {
        try Fill(
            id: "fill-1", order: "3f1c", market: ticker, outcome: .yes, action: .buy, price: .cents(80),
            quantity: .contracts(12), fee: Money(dollars: "0.134400"), at: at)
    }
}
