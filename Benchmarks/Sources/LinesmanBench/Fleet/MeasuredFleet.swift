import Domain
import OrchestratorEngine
import Resilience

/// An orchestrator's engine that leads, and shards that show what it gave them; the database stores at once.
struct MeasuredFleet {
    /// Between two heartbeats of a shard, in ticks of the engine.
    private static let ticksPerRound = 5

    /// Without one the engine would raise an alert.
    private static let discovery = ServiceHeartbeat(
        service: "market-discovery", instance: "1", incarnation: "life-1", status: .healthy)

    let shards: [ShardID]
    private(set) var engine = OrchestratorEngine()
    private var now = MachineInstant.origin
    private var held: [[GameID: Epoch]]
    private let capacity: Int
    private var beat: Int64 = 0
    /// Those that are not silent.
    private var live: Range<Int>

    /// Every shard holds as many games as any other, and has room for as many again.
    init(shards count: Int, games: Int) throws {
        shards = try (0..<count).map { try ShardID("shard-\($0)") }
        held = Array(repeating: [:], count: count)
        live = 0..<count
        capacity = games / count * 2
        let desired = try Self.desired(games, on: shards)
        for (number, row) in desired.enumerated() { held[number % count][row.game.id] = row.epoch }
        _ = engine.handle(.rehydrated(desired, term: 1), at: now)
    }

    static func desired(_ count: Int, on shards: [ShardID]) throws -> [DesiredGame] {
        let home = try Team(name: "Cleveland Cavaliers", abbreviation: "CLE")
        let away = try Team(name: "Toronto Raptors", abbreviation: "TOR")
        let start = try VenueInstant(rfc3339: "2026-04-20T23:10:00Z")
        return try (0..<count).map { number in
            let game = try Game(
                id: GameID("nba-\(401_000_000 + number)"), sport: .nba, home: home, away: away, scheduledAt: start)
            let market = try Market(
                id: MarketID("KXNBAGAME-\(number)-CLE"), venue: .kalshi, game: game.id, eventTicker: "KXNBAGAME",
                title: "winner", team: .home)
            return DesiredGame(
                game: game, status: .live, markets: [market], shard: shards[number % shards.count], epoch: .first)
        }
    }

    var games: Int { held.reduce(0) { $0 + $1.count } }

    /// The next heartbeat of each live shard; every one lists its games anew, as one does that was just decoded.
    mutating func beats() -> [ShardHeartbeat] {
        beat += 1
        return live.map { index in
            ShardHeartbeat(
                shard: shards[index], incarnation: "life-1", startedAt: 1, beat: beat, status: .healthy,
                games: Dictionary(uniqueKeysWithValues: held[index].map { ($0.key, $0.value) }), capacity: capacity)
        }
    }

    /// The newest of what the engine did in a round beside granting.
    private(set) var oddity: Effect?

    /// What the engine does in one heartbeat interval.
    ///
    /// - Returns: how many effects it made.
    mutating func round(_ beats: [ShardHeartbeat]) -> Int {
        var effects = count(engine.handle(.serviceHeartbeat(Self.discovery), at: now))
        for beat in beats { effects += count(engine.handle(.heartbeat(beat), at: now)) }
        for _ in 0..<Self.ticksPerRound {
            now = now.advanced(by: .milliseconds(100))
            effects += count(engine.handle(.tick, at: now))
        }
        return effects
    }

    private mutating func count(_ effects: [Effect]) -> Int {
        for effect in effects {
            if case .grant = effect { continue }
            oddity = effect
        }
        return effects.count
    }

    /// One discovery cycle.
    ///
    /// - Returns: how many effects it made.
    mutating func look(at shown: [ScoreboardGame]) -> Int {
        guard let first = shown.first else { return 0 }
        return engine.handle(.scoreboard(shown, at: first.game.scheduledAt), at: now).count
    }

    /// Silences the first shards, until one of the next ticks will find them dead.
    mutating func silence(_ count: Int) {
        live = count..<shards.count
        for _ in 0..<2 { _ = round(beats()) }
        for beat in beats() { _ = engine.handle(.heartbeat(beat), at: now) }
    }

    /// Ticks until `count` games were given to another shard.
    ///
    /// - Returns: how many were.
    mutating func reassign(_ count: Int) -> Int {
        var moved = 0
        for _ in 0..<10 where moved < count {
            now = now.advanced(by: .milliseconds(100))
            var effects = engine.handle(.tick, at: now)
            while let effect = effects.popLast() {
                guard case .commitAssignments(let batch, let changes, _) = effect else { continue }
                moved += changes.count
                effects += engine.handle(.committed(batch: batch, pregame: [:]), at: now)
            }
        }
        return moved
    }
}
