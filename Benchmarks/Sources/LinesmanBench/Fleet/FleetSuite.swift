import Domain
import Foundation
import OrchestratorEngine
import Wire

/// The orchestrator's engine alone, with a fleet a hundred times what one expects.
enum FleetSuite {
    private static let shards = 1_000
    private static let games = 100_000
    private static let moved = 1_000

    static func run(_ options: Options) throws -> Report {
        var report = Report(
            title: "fleet: the orchestrator's engine with \(shards) shards and \(games) games, "
                + "median of \(options.rounds) rounds")
        var rounds: [(games: Int, seconds: Double)] = []
        for size in [games / 8, games / 4, games / 2, games] {
            var fleet = try MeasuredFleet(shards: shards, games: size)
            rounds.append((size, try heartbeatRound(&fleet, options.rounds)))
        }
        let round = rounds.last?.seconds
        report.add(
            Bar("CPU seconds of a heartbeat round, decisions", round, .atMost(0.2)), as: "heartbeat_round_cpu_seconds")
        try addReassignment(options, &report)
        report.add(
            Bar("growth exponent of a round over its games", growth(rounds), .atMost(1.2)), as: "growth_exponent")
        try addOthers(options, &report)
        report.note("a round: each shard's heartbeat with all its games, and the five ticks until the next")
        report.note("decoding: the same heartbeats from JSON by Foundation, as the bus does it; not part of the bar")
        return report
    }

    // MARK: What is measured

    private static func heartbeatRound(_ fleet: inout MeasuredFleet, _ count: Int) throws -> Double {
        _ = fleet.round(fleet.beats())
        return try median(count) {
            let beats = fleet.beats()
            return try seconds {
                // One grant a heartbeat, and nothing else to do.
                guard fleet.round(beats) == beats.count else {
                    let what = fleet.oddity.map { "\($0)".prefix(200) } ?? "nothing else"
                    throw BenchError(.disagreement, "a quiet round had more to do than to grant: \(what)")
                }
            }
        }
    }

    /// Shards that die together, from the tick that finds out to the last command; storing is not ours.
    private static func addReassignment(_ options: Options, _ report: inout Report) throws {
        var spent: [(games: Int, seconds: Double)] = []
        for size in [moved, moved * 2, moved * 4, moved * 8] {
            let seconds = try median(min(options.rounds, 5)) {
                var fleet = try MeasuredFleet(shards: shards, games: games)
                // A new leader judges nobody at first.
                for _ in 0..<6 { _ = fleet.round(fleet.beats()) }
                fleet.silence(size * shards / games)
                return try Self.seconds {
                    guard fleet.reassign(size) == size else {
                        throw BenchError(.disagreement, "not all of \(size) games were reassigned")
                    }
                }
            }
            spent.append((size, seconds))
        }
        report.add(
            Bar("seconds to reassign \(moved) games", spent.first?.seconds, .atMost(1)), as: "reassign_1000_seconds")
        report.add(
            Bar("growth exponent of reassigning over the games moved", growth(spent), .atMost(1.2)),
            as: "reassign_growth_exponent")
    }

    private static func addOthers(_ options: Options, _ report: inout Report) throws {
        let bytes = try encodedBeats()
        let decoding = try median(min(options.rounds, 5)) { try seconds { try decode(bytes) } }
        report.set("heartbeat_round_decode_cpu_seconds", to: .number(decoding))
        let names = try (0..<shards).map { try ShardID("shard-\($0)") }
        let desired = try MeasuredFleet.desired(games, on: names)
        let start = try median(min(options.rounds, 5)) {
            var engine = OrchestratorEngine()
            return try seconds { _ = engine.handle(.rehydrated(desired, term: 1), at: .origin) }
        }
        report.set("rehydrate_cpu_seconds", to: .number(start))
        let shown = desired.map { ScoreboardGame(game: $0.game, status: .live) }
        var fleet = try MeasuredFleet(shards: shards, games: games)
        let look = try median(min(options.rounds, 5)) { try seconds { _ = fleet.look(at: shown) } }
        report.set("discovery_cycle_cpu_seconds", to: .number(look))
        report.note("decoding the heartbeats of a round: \(text(decoding)) CPU seconds")
        report.note("a new leader takes over all games: \(text(start)); a discovery cycle shows all: \(text(look))")
    }

    // MARK: The wire

    /// What the shards' heartbeats are as they travel.
    private static func encodedBeats() throws -> [Data] {
        var fleet = try MeasuredFleet(shards: shards, games: games)
        let encoder = JSONEncoder()
        return try fleet.beats().map { beat in
            let body = Heartbeat(
                service: "game-shard", instance: beat.shard.rawValue, incarnation: beat.incarnation, processID: 4_711,
                startedAt: 1_782_864_000_000_000, beat: beat.beat, status: .healthy,
                checks: ["redis": true, "postgres": true, "scores": true, "books": true, "journal": true],
                metrics: ["shard_signals_total{kind=model_edge_yes}": 12, "db_pool_active": 1, "db_pool_idle": 4],
                games: beat.games.sorted { $0.key < $1.key }.map { .init(game: $0.key, epoch: $0.value) },
                capacity: beat.capacity, shardType: "sports", build: "1.0.0")
            return try encoder.encode(
                Envelope(
                    source: "game-shard/\(beat.shard)", incarnation: beat.incarnation, sequence: beat.beat, trace: nil,
                    sentAt: 1_782_864_000_000_000, body: body))
        }
    }

    private static func decode(_ messages: [Data]) throws {
        let decoder = JSONDecoder()
        for message in messages {
            let heartbeat = try decoder.decode(Envelope<Heartbeat>.self, from: message).body
            let known = Dictionary(heartbeat.games.map { ($0.game, $0.epoch) }, uniquingKeysWith: max)
            guard known.count == games / shards else { throw BenchError(.disagreement, "a heartbeat lost games") }
        }
    }

    // MARK: Figures

    private static func seconds(_ work: () throws -> Void) throws -> Double {
        let start = try ProcessTime.cpuMicroseconds()
        try work()
        return (try ProcessTime.cpuMicroseconds() - start) / 1_000_000
    }

    private static func median(_ count: Int, _ measure: () throws -> Double) throws -> Double {
        let measured = try (0..<count).map { _ in try measure() }
        return Figure(name: "", slices: measured).median
    }

    /// The slope of the time over the games where both are logarithms: 1 is linear, 2 quadratic.
    private static func growth(_ points: [(games: Int, seconds: Double)]) -> Double {
        let logs = points.map { (x: log(Double($0.games)), y: log($0.seconds)) }
        let meanX = logs.reduce(0) { $0 + $1.x } / Double(logs.count)
        let meanY = logs.reduce(0) { $0 + $1.y } / Double(logs.count)
        let covariance = logs.reduce(0) { $0 + ($1.x - meanX) * ($1.y - meanY) }
        return covariance / logs.reduce(0) { $0 + ($1.x - meanX) * ($1.x - meanX) }
    }

    private static func text(_ seconds: Double) -> String { String(format: "%.3f", seconds) }
}
