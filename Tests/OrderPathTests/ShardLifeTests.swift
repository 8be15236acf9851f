import Domain
import Logging
import SignalProcessorEngine
import Testing

@testable import GameShard
@testable import SignalProcessor

/// Two processes of one shard's name: a stopped one and its replacement, or a suite that was started twice.
@Suite struct ShardLifeTests {
    private let first: Incarnation = "life-1"
    private let second: Incarnation = "life-2"

    private func shard(_ rig: Rig, _ life: Incarnation) -> ShardStore {
        ShardStore(
            pool: rig.pool, shard: "shard-01", incarnation: life,
            log: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }

    @Test func `the games of a name are the life's that claimed it last`() async throws {
        let rig = try await Rig()
        try await rig.addGame()
        let (old, new) = (shard(rig, first), shard(rig, second))
        #expect(try await old.assigned().isEmpty, "nothing before the claim")
        try await old.claim()
        #expect(try await old.assigned().map(\.game.id) == ["game-1"])
        #expect(try await old.epochs(timeout: .seconds(5)) == ["game-1": .first])
        #expect(try await new.epochs(timeout: .seconds(5)).isEmpty)
        #expect(try await old.successor() == nil)
        try await new.claim()
        #expect(try await old.successor() == second)
        #expect(try await new.successor() == nil)
        #expect(try await old.assigned().isEmpty)
        #expect(try await old.epochs(timeout: .seconds(5)).isEmpty)
        #expect(try await new.assigned().map(\.game.id) == ["game-1"])
        #expect(try await new.epochs(timeout: .seconds(5)) == ["game-1": .first])
        #expect(try await rig.number("SELECT count(*) AS n FROM shard_lives") == 1)
    }

    // However close two claims are, and whatever the clock does in between: heartbeats are told apart by it.
    @Test func `of claims at the same moment the one that stands is the latest`() async throws {
        let rig = try await Rig()
        var last: Int64 = 0
        for round in 1...5 {
            let claims = try await withThrowingTaskGroup(of: (Incarnation, Int64).self) { tasks in
                for number in 1...4 {
                    let life = Incarnation(stringLiteral: "life-\(round)-\(number)")
                    let store = shard(rig, life)
                    tasks.addTask { (life, try await store.claim()) }
                }
                return try await tasks.reduce(into: [Incarnation: Int64]()) { $0[$1.0] = $1.1 }
            }
            #expect(Set(claims.values).count == 4)
            let holder = try await rig.text("SELECT incarnation AS t FROM shard_lives")
            #expect(claims.max { $0.value < $1.value }?.key.rawValue == holder)
            #expect(claims.values.allSatisfy { $0 > last })
            last = claims.values.max() ?? 0
            // A clock that is set back.
            try await rig.pool.execute("UPDATE shard_lives SET started_at = started_at + interval '1 hour'")
            last += 3_600_000_000
        }
    }

    @Test func `a signal of a life that was replaced reserves nothing, under whatever epoch`() async throws {
        let rig = try await Rig()
        for number in 1...4 { try await rig.addGame(GameID(stringLiteral: "game-\(number)")) }
        let signals = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        let engine = SignalProcessorEngine(limits: TradingLimits())
        func verdict(_ number: Int, of life: Incarnation?) async throws -> String {
            let signal = try rig.signal(
                SignalID(stringLiteral: "s\(number)"), game: GameID(stringLiteral: "game-\(number)"))
            let outcome = try await signals.process(signal, from: life, trace: nil, engine: engine, at: tipOff)
            guard case .decided(let verdict) = outcome else { return "known" }
            return verdict.name
        }
        #expect(try await verdict(1, of: first) == "approved", "a build without claims")
        try await shard(rig, first).claim()
        #expect(try await verdict(2, of: first) == "approved")
        try await shard(rig, second).claim()
        #expect(try await verdict(3, of: first) == "stale_epoch")
        #expect(try await rig.number("SELECT count(*) AS n FROM reservations") == 2)
        #expect(try await verdict(4, of: second) == "approved")
        #expect(try await rig.number("SELECT count(*) AS n FROM reservations") == 3)
    }
}
