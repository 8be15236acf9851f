import Domain
import Resilience

@testable import GameShardEngine

/// A shard with one game and both of its markets, and short words for what happens to it.
struct Fixture {
    static let start = instant(1_776_729_600)
    static let home: MarketID = "KXNBAGAME-26APR20TORCLE-CLE"
    static let away: MarketID = "KXNBAGAME-26APR20TORCLE-TOR"

    var engine: ShardEngine
    var now = Fixture.start
    var machine = MachineInstant.origin
    private var beat: Int64 = 0

    init(rules: ShardRules = ShardRules()) {
        engine = ShardEngine(shard: "shard-01", incarnation: "life-1", rules: rules)
    }

    /// Watches `game` under a lease, the game live with the home team well in front.
    static func watching(rules: ShardRules = ShardRules()) throws -> Fixture {
        var fixture = Fixture(rules: rules)
        _ = try fixture.assign(epoch: 1)
        fixture.beat(granted: true)
        _ = try fixture.state()
        return fixture
    }

    static func instant(_ seconds: Double) -> VenueInstant {
        VenueInstant.epoch.advanced(by: .seconds(seconds))
    }

    static func game(
        _ id: GameID = "nba-401869369", sport: Sport = .nba, scheduledAt: VenueInstant = start
    ) throws -> Game {
        try Game(
            id: id, sport: sport, home: Team(name: "Cleveland Cavaliers", abbreviation: "CLE"),
            away: Team(name: "Toronto Raptors", abbreviation: "TOR"), scheduledAt: scheduledAt)
    }

    static func markets(_ game: GameID = "nba-401869369", prefix: String = "") throws -> [Market] {
        try [(home, HomeAway.home), (away, .away)].map { id, team in
            try Market(
                id: MarketID(prefix + id.rawValue), venue: .kalshi, game: game,
                eventTicker: "KXNBAGAME-26APR20TORCLE", title: "Toronto at Cleveland", team: team)
        }
    }

    static func book(bid: Int64, ask: Int64, quantity: Int64 = 50) throws -> OrderBook {
        try OrderBook(
            yesBids: [BookLevel(price: .cents(bid), quantity: .contracts(quantity))],
            noBids: [BookLevel(price: .cents(100 - ask), quantity: .contracts(quantity))])
    }

    // MARK: Events

    mutating func send(_ event: ShardEvent) -> [ShardEffect] {
        engine.handle(event, at: now, machine: machine)
    }

    /// Venue and machine time pass together, with a granted heartbeat each half second.
    mutating func pass(_ seconds: Double, granted: Bool = true) {
        var left = seconds
        while left > 0 {
            let step = min(left, 0.5)
            now = now.advanced(by: .seconds(step))
            machine = machine.advanced(by: .seconds(step))
            if granted { beat(granted: true) }
            left -= step
        }
    }

    mutating func beat(granted: Bool, term: Int64 = 1) {
        beat += 1
        _ = send(.heartbeatSent(beat: beat))
        if granted { _ = send(.granted(beat: beat, term: term)) }
    }

    mutating func assign(
        epoch: Int64, command: CommandID = "command-1", game: GameID = "nba-401869369", sport: Sport = .nba,
        pregame: Double? = nil
    ) throws -> [ShardEffect] {
        send(.assign(command, try Fixture.assigned(epoch: epoch, game: game, sport: sport, pregame: pregame)))
    }

    static func assigned(
        epoch: Int64, game: GameID = "nba-401869369", sport: Sport = .nba, pregame: Double? = nil
    ) throws -> Assigned {
        let prefix = game == "nba-401869369" ? "" : "\(game)-"
        return Assigned(
            game: try Fixture.game(game, sport: sport), markets: try Fixture.markets(game, prefix: prefix),
            epoch: try Epoch(epoch), pregameHomeProbability: try pregame.map { try Probability($0) })
    }

    /// By default 97–90 with eight minutes to play: the model says 89 %.
    mutating func state(
        _ status: GameStatus = .live, home: Int = 97, away: Int = 90, period: Int = 4, clock: Double? = 480,
        play: PlayID? = "play-1", age: Double = 0, game: GameID = "nba-401869369"
    ) throws -> [ShardEffect] {
        send(
            .state(
                try GameState(
                    game: game, status: status, homeScore: home, awayScore: away, period: period,
                    clockSeconds: clock, play: play, observedAt: now.advanced(by: .seconds(-age)))))
    }

    mutating func book(
        _ market: MarketID = Fixture.home, bid: Int64, ask: Int64, age: Double = 0
    ) throws -> [ShardEffect] {
        send(
            .bookUpdated(
                market, try Fixture.book(bid: bid, ask: ask), confirmedAt: now.advanced(by: .seconds(-age))))
    }
}

extension [ShardEffect] {
    var signals: [Signal] {
        compactMap { if case .emit(let signal) = $0 { signal } else { nil } }
    }

    var reasons: [NoSignal] {
        compactMap { if case .report(.noSignal(let reason)) = $0 { reason } else { nil } }
    }

    var oddities: [Oddity] {
        compactMap { if case .report(.oddity(let oddity)) = $0 { oddity } else { nil } }
    }

    var verdicts: [CommandVerdict] {
        compactMap { if case .acknowledge(_, _, _, let verdict) = $0 { verdict } else { nil } }
    }

    var questions: [MachineInstant] {
        compactMap { if case .askEpochs(let asked) = $0 { asked } else { nil } }
    }

    var followed: Set<MarketID>? {
        compactMap { if case .followMarkets(let markets) = $0 { markets } else { nil } }.last
    }

    var stored: [GameState] {
        compactMap { if case .storeState(let state, _) = $0 { state } else { nil } }
    }

    var published: [GameState] {
        compactMap { if case .publishState(let state, _, _) = $0 { state } else { nil } }
    }

    var prices: [PricePublication] {
        compactMap { if case .publishPrice(let price) = $0 { price } else { nil } }
    }
}
