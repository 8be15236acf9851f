import Domain
import OrchestratorEngine
import Resilience
import Testing

/// News that nobody should send: counted, said once a kind, never fatal.
@Suite struct OddNewsTests {
    private func fleet() -> Fleet {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        fleet.beat("s1", ["g1": 1])
        fleet.beat("s2")
        _ = fleet.take()
        return fleet
    }

    private func count(_ fleet: Fleet, _ oddity: FleetOddity) -> Int {
        fleet.state.counters["oddities_\(oddity.rawValue)"] ?? -1
    }

    @Test func `answers of strangers and to unknown commands are counted and said once`() {
        var fleet = fleet()
        for number in 1...3 {
            let command = CommandID(stringLiteral: "made-up-\(number)")
            fleet.send(.acknowledged(.init(command: command, shard: "nobody", game: "g1", verdict: .accepted)))
            fleet.send(.acknowledged(.init(command: command, shard: "s1", game: "g1", verdict: .stale)))
        }
        #expect(fleet.effects == [.report(.unknownShard), .report(.unknownCommand)])
        #expect(count(fleet, .unknownShard) == 3)
        #expect(count(fleet, .unknownCommand) == 3)
        #expect(fleet.row("g1")?.state == "watched")
    }

    @Test func `a shard that claims an epoch nobody made loses the game when PostgreSQL does not know it either`() {
        var fleet = fleet()
        let liar = Fleet.Beat(shard: "s1", games: ["g1": .max])
        fleet.pass(.seconds(1), hearing: [liar, .init(shard: "s2")])
        #expect(fleet.effects.contains(.readDesiredState))
        #expect(fleet.changes.isEmpty && count(fleet, .impossibleEpoch) == 0)
        fleet.send(.rehydrated([Fleet.desired("g1", on: "s1", epoch: 1)], term: 1))
        fleet.pass(.seconds(4), hearing: [liar, .init(shard: "s2")])
        #expect(count(fleet, .impossibleEpoch) >= 1)
        #expect(fleet.changes.flatMap(\.self).map(\.to) == [Seat(shard: "s2", epoch: Fleet.epoch(2))])
        #expect(fleet.revokes.contains { $0.shard == "s1" && $0.epoch == Fleet.epoch(.max) })
    }

    @Test func `a capacity that cannot be is not believed and does not trap`() {
        var fleet = Fleet()
        for (shard, capacity) in [("a", Int.max), ("b", Int.max), ("c", Int.min), ("d", -1)] {
            fleet.beat(ShardID(stringLiteral: shard), capacity: capacity)
        }
        fleet.discover(Fleet.games(3))
        fleet.pass(.milliseconds(300))
        #expect(count(fleet, .impossibleCapacity) == 4)
        #expect(fleet.assigns.allSatisfy { $0.shard == "a" || $0.shard == "b" })
        #expect(fleet.effects.filter { $0 == .report(.impossibleCapacity) }.count == 1)
    }

    @Test func `a shard that shows more than it can hold is counted, and gets no more`() {
        var fleet = fleet()
        let many = Dictionary(uniqueKeysWithValues: Fleet.games(30).map { ($0.id, Int64(1)) })
        for _ in 1...4 { fleet.beat("s2", many) }
        #expect(count(fleet, .overfull) == 4)
        #expect(fleet.revokes.count == 30)
        #expect(fleet.state.shards.first { $0.shard == "s2" }?.free == 0)
    }

    @Test func `markets nobody asked for are counted`() {
        var fleet = fleet()
        fleet.send(.discovered("never-heard-of", [Fleet.market(Fleet.game("never-heard-of"))], reason: nil))
        fleet.send(.discovered("g1", [Fleet.market(Fleet.game("other"))], reason: nil))
        #expect(count(fleet, .unaskedMarkets) == 2)
        #expect(fleet.effects == [.report(.unaskedMarkets)])
    }

    @Test func `two services of one name are one restart, not one each heartbeat`() {
        var fleet = Fleet()
        func beat(_ life: Incarnation) {
            fleet.send(
                .serviceHeartbeat(.init(service: "discovery", instance: "d", incarnation: life, status: .healthy)))
        }
        for _ in 1...20 {
            beat("life-1")
            beat("life-2")
            fleet.pass(.milliseconds(500))
        }
        #expect(fleet.notes == [.serviceRestarted(service: "discovery", instance: "d")])
        #expect(count(fleet, .lateHeartbeat) == 19)
        // The newer one ends: the other is the service again.
        for _ in 1...3 {
            fleet.pass(.seconds(5))
            beat("life-1")
        }
        #expect(fleet.notes.contains(.serviceRecovered(service: "discovery", instance: "d")))
    }

    @Test func `a process that makes up names is heard no more`() {
        var fleet = fleet()
        for number in 1...OrchestratorEngine.largestFleet {
            fleet.beat(ShardID(stringLiteral: "made-up-\(number)"))
            fleet.send(
                .serviceHeartbeat(
                    .init(service: "made-up", instance: "\(number)", incarnation: "life-1", status: .healthy)))
        }
        fleet.send(
            .serviceHeartbeat(.init(service: "one", instance: "more", incarnation: "life-1", status: .healthy)))
        let state = fleet.state
        #expect(state.shards.count == OrchestratorEngine.largestFleet)
        #expect(state.services.count == OrchestratorEngine.largestFleet)
        #expect(count(fleet, .crowd) == 3)
        #expect(fleet.effects.filter { $0 == .report(.crowd) }.count == 1)
        // Who is known is heard.
        fleet.beat("s1", ["g1": 1])
        #expect(fleet.effects.contains { if case .grant("s1", _, _, _) = $0 { true } else { false } })
    }

    @Test func `what only the shell can see is counted here too`() {
        var fleet = fleet()
        for _ in 1...3 { fleet.send(.odd(.namelessShard)) }
        #expect(fleet.effects == [.report(.namelessShard)])
        #expect(count(fleet, .namelessShard) == 3)
    }

    @Test func `a restart with a clock that went back an hour is a restart all the same`() {
        var fleet = Fleet()
        fleet.beat("s1", life: "life-1", startedAt: 3_600_000_000)
        fleet.discover([Fleet.game("g1")])
        fleet.beat("s1", ["g1": 1], life: "life-1", startedAt: 3_600_000_000)
        fleet.pass(.seconds(1))
        fleet.beat("s1", life: "life-2", startedAt: 5)
        // The other could still be alive, and be the newer one.
        #expect(fleet.notes.isEmpty)
        fleet.pass(.seconds(3), hearing: [.init(shard: "s1", incarnation: "life-2", startedAt: 5)])
        let restarts = fleet.notes.filter { $0 == .shardRestarted("s1", from: "life-1", to: "life-2") }
        #expect(restarts.count == 1)
        #expect(fleet.state.shards.first?.incarnation == "life-2")
        _ = fleet.take()
        fleet.beat("s1", life: "life-1", startedAt: 3_600_000_000)
        fleet.beat("s1", ["g1": 1], life: "life-2", startedAt: 5)
        #expect(fleet.state.shards.first?.incarnation == "life-1", "who started later counts while both live")
    }
}
