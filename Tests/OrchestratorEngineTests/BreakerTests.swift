import Domain
import OrchestratorEngine
import Resilience
import Testing

/// CHECKLIST R47, R48, R51: a shard that does not take up what it is given, and one that wavers.
@Suite struct BreakerTests {
    /// One shard that shows nothing of what it is told, and games for it.
    private func ignored(_ count: Int, _ fleet: inout Fleet, for duration: Duration) {
        fleet.pass(duration, hearing: [.init(shard: "s1")])
    }

    private func breaker(_ fleet: Fleet, _ shard: String = "s1") -> String? {
        fleet.state.shards.first { $0.shard == shard }?.breaker
    }

    private func ignoring() -> Fleet {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover(Fleet.games(3))
        fleet.pass(.milliseconds(5_200), hearing: [.init(shard: "s1")])
        return fleet
    }

    @Test func `three games that are not taken up open the breaker, and no more are given`() {
        var fleet = ignoring()
        #expect(breaker(fleet) == "open")
        #expect(fleet.notes.contains(.breakerOpened("s1", failures: 3)))
        _ = fleet.take()
        fleet.pass(.seconds(20), hearing: [.init(shard: "s1")])
        #expect(fleet.changes.isEmpty)
        #expect(fleet.raised == [.allShardsUnhealthy] || fleet.raised.contains(.capacityExhausted))
    }

    @Test func `after its cool-down one game is tried, and two that succeed close it`() {
        var fleet = ignoring()
        _ = fleet.take()
        fleet.pass(.seconds(31), hearing: [.init(shard: "s1")])
        #expect(fleet.changes.map(\.count) == [1])
        #expect(breaker(fleet) == "halfOpen")
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1", games: Fleet.watched(fleet, "s1"))])
        #expect(fleet.changes.map(\.count) == [1, 1])
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1", games: Fleet.watched(fleet, "s1"))])
        #expect(breaker(fleet) == "closed")
        #expect(fleet.notes.filter { $0 == .breakerClosed("s1") }.count == 1)
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1", games: Fleet.watched(fleet, "s1"))])
        #expect(fleet.state.games.allSatisfy { $0.state == "watched" })
    }

    @Test func `a trial that fails opens it again`() {
        var fleet = ignoring()
        fleet.pass(.seconds(31), hearing: [.init(shard: "s1")])
        _ = fleet.take()
        fleet.pass(.seconds(8), hearing: [.init(shard: "s1")])
        #expect(breaker(fleet) == "open")
        #expect(fleet.changes.isEmpty)
    }

    @Test func `a restart closes it`() {
        var fleet = ignoring()
        fleet.beat("s1", life: "life-2", startedAt: 2)
        #expect(breaker(fleet) == "closed")
        #expect(fleet.notes.contains(.breakerClosed("s1")))
    }

    @Test func `a full shard is given nothing more before its next heartbeat`() throws {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover(Fleet.games(1))
        let command = try #require(fleet.assigns.first)
        fleet.send(.acknowledged(.init(command: command.id, shard: "s1", game: "g000", verdict: .atCapacity)))
        fleet.pass(.milliseconds(400))
        #expect(fleet.changes.count == 1)
        #expect(fleet.row("g000")?.state == "waiting")
        fleet.beat("s1")
        fleet.pass(.milliseconds(100))
        #expect(fleet.changes.count == 2)
    }

    @Test func `a game that every shard calls malformed opens no breaker and is tried ever less often`() {
        var fleet = Fleet()
        for shard: ShardID in ["s1", "s2"] { fleet.beat(shard) }
        fleet.discover(Fleet.games(1))
        var seen = 0
        for _ in 1...600 {
            for command in fleet.assigns.dropFirst(seen) {
                fleet.send(
                    .acknowledged(
                        .init(command: command.id, shard: command.shard, game: command.game, verdict: .malformed)))
            }
            seen = fleet.assigns.count
            fleet.pass(.milliseconds(100), hearing: [.init(shard: "s1"), .init(shard: "s2")])
        }
        // At once, then after 1, 2, 4, 8, 16, 30 s.
        #expect((6...9).contains(fleet.changes.count))
        #expect(Set(fleet.assigns.map(\.shard)) == ["s1", "s2"])
        #expect(breaker(fleet, "s1") == "closed" && breaker(fleet, "s2") == "closed")
    }

    @Test func `a shard that ended the epoch gets the game under the next one at once`() throws {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover(Fleet.games(1))
        let command = try #require(fleet.assigns.first)
        fleet.send(.acknowledged(.init(command: command.id, shard: "s1", game: "g000", verdict: .stale)))
        #expect(fleet.changes.last?.first?.to.epoch == Fleet.epoch(2))
    }

    @Test func `a degraded shard must be well for a while before it is trusted again`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover(Fleet.games(2))
        let games = Fleet.watched(fleet, "s1")
        let other = Fleet.Beat(shard: "s2", capacity: 0)
        fleet.pass(.seconds(6), hearing: [.init(shard: "s1", games: games, failedChecks: ["scores"]), other])
        let degraded = FleetChange.shardDegraded("s1", failedChecks: ["scores"])
        #expect(fleet.notes.filter { $0 == degraded }.count == 1)
        // Well and ill by turns: one notice, no recovery, nothing new for it.
        for _ in 1...5 {
            fleet.pass(.seconds(2), hearing: [.init(shard: "s1", games: games), other])
            fleet.pass(.seconds(2), hearing: [.init(shard: "s1", games: games, failedChecks: ["scores"]), other])
        }
        fleet.discover([Fleet.game("late")])
        fleet.pass(.seconds(4), hearing: [.init(shard: "s1", games: games), other])
        #expect(fleet.notes.filter { $0 == degraded }.count == 1)
        #expect(!fleet.notes.contains(.shardRecovered("s1")))
        #expect(fleet.row("late")?.state == "waiting")
        fleet.pass(.seconds(2), hearing: [.init(shard: "s1", games: games), other])
        #expect(fleet.notes.contains(.shardRecovered("s1")))
        #expect(fleet.row("late")?.shard == "s1")
    }

    @Test func `games that wait for room are named in the alert`() {
        var fleet = Fleet()
        fleet.beat("s1", capacity: 1)
        fleet.discover(Fleet.games(3))
        fleet.pass(.seconds(3), hearing: [.init(shard: "s1", games: Fleet.watched(fleet, "s1"), capacity: 1)])
        let facts = fleet.effects.compactMap { effect in
            if case .raiseAlert(.capacityExhausted, _, let facts) = effect { facts } else { nil }
        }
        #expect(facts == [["waiting": "2", "games": "g001 g002"]])
        #expect(fleet.state.waiting == ["g001", "g002"])
    }

    @Test func `a dead shard that comes back in a new life is restarted once and recovered once`() {
        var fleet = Fleet()
        fleet.pass(.seconds(1), hearing: [.init(shard: "s1")])
        fleet.pass(.seconds(3))
        fleet.pass(.seconds(5), hearing: [.init(shard: "s1", incarnation: "life-2", startedAt: 2)])
        #expect(fleet.notes.filter { $0 == .shardRestarted("s1", from: "life-1", to: "life-2") }.count == 1)
        #expect(fleet.notes.filter { $0 == .shardRecovered("s1") }.count == 1)
    }
}
