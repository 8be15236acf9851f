import Domain
import Resilience
import Testing

@testable import OrchestratorEngine

/// Random trouble from a seed, then calm: what must hold always, and what must be mended.
@Suite struct SimulationTests {
    @Test(arguments: UInt64(1)...30) func `no epoch has two owners, and calm mends everything`(_ seed: UInt64) {
        var fleet = SimulatedFleet(seed: seed, shardCount: 4, gameCount: 24, capacity: 12)
        fleet.run(.seconds(3))
        for round in 1...4 {
            fleet.lossPercent = 15
            fleet.failPercent = 10
            for _ in 1...20 {
                trouble(&fleet)
                fleet.run(.milliseconds(Int.random(in: 100...2_000, using: &fleet.random)))
            }
            calm(&fleet)
            fleet.run(.seconds(45))
            // A move of the rebalancing may be under way at any moment.
            let end = fleet.now.advanced(by: .seconds(3))
            let playing = fleet.scoreboard.filter { !$0.value.isEnd }.map(\.key).sorted()
            while fleet.now < end, !playing.allSatisfy({ fleet.owner(of: $0) != nil }) { fleet.step() }
            let place = "seed \(seed), round \(round)"
            #expect(fleet.violations.isEmpty, "\(place): \(fleet.violations.prefix(3))")
            for (game, status) in fleet.scoreboard.sorted(by: { $0.key < $1.key }) {
                let watchers = fleet.shards.values.filter { $0.games[game] != nil }.map(\.id.rawValue).sorted()
                if status.isEnd {
                    #expect(watchers.isEmpty, "\(place): \(game) is over and watched by \(watchers)")
                } else {
                    let row = fleet.engine.snapshot(at: fleet.now).games.first { $0.game == game.rawValue }
                    let state = "\(row?.state ?? "unknown") on \(row?.shard ?? "nobody")"
                    #expect(fleet.owner(of: game) != nil, "\(place): \(game) is watched by nobody: \(state)")
                    #expect(watchers.count == 1, "\(place): \(game) is watched by \(watchers)")
                }
            }
        }
        #expect(fleet.moves > 24, "seed \(seed): nothing happened")
    }

    private func trouble(_ fleet: inout SimulatedFleet) {
        let ids = fleet.shards.keys.sorted()
        let id = ids[Int.random(in: 0..<ids.count, using: &fleet.random)]
        switch Int.random(in: 0..<12, using: &fleet.random) {
        case 0: fleet.shards[id]?.isRunning = false
        case 1, 2: fleet.restart(id)
        case 3: fleet.shards[id]?.isIll.toggle()
        case 4: fleet.shards[id]?.isCutOff.toggle()
        case 5: fleet.shards[id]?.isStopping = true
        case 6: fleet.replaceOrchestrator()
        case 7: fleet.setBus(isUp: !fleet.isBusUp)
        case 8: fleet.shards[id]?.games["g001"] = .first
        case 9:
            let games = fleet.scoreboard.keys.sorted()
            fleet.scoreboard[games[Int.random(in: 0..<games.count, using: &fleet.random)]] = .final
        case 10:
            if let game = fleet.shards[id]?.games.keys.sorted().first { fleet.shards[id]?.games[game] = nil }
        default: break
        }
    }

    private func calm(_ fleet: inout SimulatedFleet) {
        fleet.lossPercent = 0
        fleet.failPercent = 0
        if !fleet.isBusUp { fleet.setBus(isUp: true) }
        for id in fleet.shards.keys.sorted() {
            fleet.shards[id]?.isCutOff = false
            fleet.shards[id]?.isIll = false
            if let shard = fleet.shards[id], !shard.isRunning || shard.isStopping { fleet.restart(id) }
        }
    }

    /// The bound of the promise "no game goes unwatched for more than seconds", without message loss.
    @Test(arguments: UInt64(100)...110)
    func `a killed shard's games are watched again within three seconds`(_ seed: UInt64) {
        var fleet = SimulatedFleet(seed: seed, shardCount: 3, gameCount: 20, capacity: 20)
        fleet.run(.seconds(4))
        fleet.run(.milliseconds(Int.random(in: 0...1_000, using: &fleet.random)))
        #expect(fleet.scoreboard.keys.allSatisfy { fleet.owner(of: $0) != nil })
        fleet.shards["s1"]?.isRunning = false
        let killed = fleet.now
        while fleet.now.since(killed) < .seconds(3) { fleet.step() }
        #expect(fleet.scoreboard.keys.allSatisfy { fleet.owner(of: $0) != nil }, "seed \(seed)")
        #expect(fleet.violations.isEmpty)
    }
}
