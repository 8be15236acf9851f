import Domain
import OrchestratorEngine
import Resilience

/// An orchestrator engine with a hand on the clock, and shorthands for what reaches it.
struct Fleet {
    var engine: OrchestratorEngine
    var now = MachineInstant.origin
    /// Effects since they were last taken.
    var effects: [Effect] = []
    /// Whether commits are answered at once, as a healthy database would.
    var commitsAtOnce = true
    /// How many heartbeats every shard had sent before its first one here.
    var earlierBeats: Int64 = 0
    private var beats: [ShardID: Int64] = [:]

    init(_ policy: OrchestratorPolicy = OrchestratorPolicy(), rehydratedWith desired: [DesiredGame] = []) {
        engine = OrchestratorEngine(policy: policy)
        send(.rehydrated(desired, term: 1))
    }

    mutating func send(_ event: Event) {
        var queue = [event]
        while let next = queue.first {
            queue.removeFirst()
            let made = engine.handle(next, at: now)
            effects += made
            guard commitsAtOnce else { continue }
            for effect in made {
                switch effect {
                case .commitAssignments(let batch, _, _): queue.append(.committed(batch: batch, pregame: [:]))
                case .releaseGame(let game, _, _, _, _): queue.append(.released(game))
                default: break
                }
            }
        }
    }

    /// Lets time pass in ticks of 100 ms.
    mutating func pass(_ duration: Duration, hearing shards: [Beat] = []) {
        let end = now.advanced(by: duration)
        var nextBeat = now
        while now < end {
            if now >= nextBeat {
                for shard in shards { beat(shard) }
                nextBeat = nextBeat.advanced(by: .milliseconds(500))
            }
            now = now.advanced(by: .milliseconds(100))
            send(.tick)
        }
    }

    struct Beat {
        var shard: ShardID
        var games: [GameID: Int64] = [:]
        var incarnation: Incarnation = "life-1"
        var startedAt: Int64 = 1
        var status = ReportedStatus.healthy
        var failedChecks: [String] = []
        var capacity = 20
    }

    mutating func beat(_ beat: Beat) {
        beats[beat.shard, default: earlierBeats] += 1
        send(
            .heartbeat(
                ShardHeartbeat(
                    shard: beat.shard, incarnation: beat.incarnation, startedAt: beat.startedAt,
                    beat: beats[beat.shard] ?? 1, status: beat.status, failedChecks: beat.failedChecks,
                    games: beat.games.mapValues { Fleet.epoch($0) }, capacity: beat.capacity)))
    }

    mutating func beat(
        _ shard: ShardID, _ games: [GameID: Int64] = [:], life: Incarnation = "life-1", startedAt: Int64 = 1,
        status: ReportedStatus = .healthy, failedChecks: [String] = [], capacity: Int = 20
    ) {
        beat(
            Beat(
                shard: shard, games: games, incarnation: life, startedAt: startedAt, status: status,
                failedChecks: failedChecks, capacity: capacity))
    }

    mutating func take() -> [Effect] {
        defer { effects = [] }
        return effects
    }

    /// Shows games on the scoreboard and answers every question about markets.
    mutating func discover(_ games: [Game], status: GameStatus = .live) {
        send(.scoreboard(games.map { ScoreboardGame(game: $0, status: status) }, at: Fleet.venueNow))
        for game in games { send(.discovered(game.id, [Fleet.market(game)], reason: nil)) }
    }

    // MARK: What it made

    var commands: [Command] {
        effects.compactMap { if case .sendCommand(let command) = $0 { command } else { nil } }
    }
    var assigns: [Command] { commands.filter(\.isAssignment) }
    var revokes: [Command] { commands.filter { !$0.isAssignment } }
    var changes: [[AssignmentChange]] {
        effects.compactMap { if case .commitAssignments(_, let changes, _) = $0 { changes } else { nil } }
    }
    var questions: [GameID] {
        effects.compactMap { if case .requestMarkets(let game, _) = $0 { game.id } else { nil } }
    }
    var notes: [FleetChange] {
        effects.compactMap { if case .notify(let note) = $0 { note } else { nil } }
    }
    var raised: [AlertKind] {
        effects.compactMap { if case .raiseAlert(let kind, _, _) = $0 { kind } else { nil } }
    }
    var recovered: [AlertKind] {
        effects.compactMap { if case .recoverAlert(let kind, _, _) = $0 { kind } else { nil } }
    }
    var handedOver: Set<AlertKind> {
        Set(effects.compactMap { if case .handOverAlert(let kind, _) = $0 { kind } else { nil } })
    }
    var grants: [ShardID] {
        effects.compactMap { if case .grant(let shard, _, _, _) = $0 { shard } else { nil } }
    }
    var state: FleetSnapshot { engine.snapshot(at: now) }
    func row(_ game: GameID) -> FleetSnapshot.GameRow? { state.games.first { $0.game == game.rawValue } }

    /// The games that the engine has on a shard, as that shard would show them.
    static func watched(_ fleet: Fleet, _ shard: ShardID) -> [GameID: Int64] {
        let rows = fleet.state.games.filter { $0.shard == shard.rawValue }
        return Dictionary(uniqueKeysWithValues: rows.map { (GameID(stringLiteral: $0.game), $0.epoch ?? 1) })
    }

    // MARK: Values

    static let venueNow = instant("2026-04-20T23:00:00Z")

    static func instant(_ text: String) -> VenueInstant {
        guard let instant = try? VenueInstant(rfc3339: text) else { preconditionFailure("bad time \(text)") }
        return instant
    }

    static func epoch(_ number: Int64) -> Epoch {
        guard let epoch = try? Epoch(number) else { preconditionFailure("bad epoch \(number)") }
        return epoch
    }

    static func game(_ id: GameID, at time: String = "2026-04-20T23:10:00Z", sport: Sport = .nba) -> Game {
        guard let home = try? Team(name: "Cleveland Cavaliers", abbreviation: "CLE"),
            let away = try? Team(name: "Toronto Raptors", abbreviation: "TOR"),
            let game = try? Game(id: id, sport: sport, home: home, away: away, scheduledAt: instant(time))
        else { preconditionFailure("bad game") }
        return game
    }

    static func games(_ count: Int) -> [Game] {
        (0..<count).map { game(GameID(stringLiteral: "g\($0 / 100)\($0 / 10 % 10)\($0 % 10)")) }
    }

    static func market(_ game: Game) -> Market {
        guard
            let market = try? Market(
                id: MarketID(stringLiteral: "KX-\(game.id)-CLE"), venue: .kalshi, game: game.id, eventTicker: "KX",
                title: "winner", team: .home)
        else { preconditionFailure("bad market") }
        return market
    }

    static func desired(_ id: GameID, on shard: ShardID?, epoch number: Int64?) -> DesiredGame {
        let game = game(id)
        return DesiredGame(
            game: game, status: .live, markets: [market(game)], shard: shard, epoch: number.map { epoch($0) })
    }
}
