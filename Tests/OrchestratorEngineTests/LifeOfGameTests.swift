import Domain
import OrchestratorEngine
import Resilience
import Testing

/// Games that are put off, interrupted, resumed or called off.
@Suite struct LifeOfGameTests {
    private func show(
        _ fleet: inout Fleet, _ status: GameStatus, at time: String = "2026-04-20T23:00:00Z", id: GameID = "g1"
    ) {
        fleet.send(
            .scoreboard([ScoreboardGame(game: Fleet.game(id), status: status)], at: Fleet.instant(time)))
    }

    private func playing() -> Fleet {
        var fleet = Fleet()
        fleet.beat("s1", capacity: 1)
        fleet.discover([Fleet.game("g1")])
        fleet.beat("s1", ["g1": 1], capacity: 1)
        _ = fleet.take()
        return fleet
    }

    @Test func `a postponed game gives its seat back and plays on under the next epoch`() throws {
        var fleet = playing()
        show(&fleet, .postponed)
        let release = Effect.releaseGame("g1", .postponed, nil, from: Seat(shard: "s1", epoch: .first), term: 1)
        #expect(fleet.effects.contains(release))
        #expect(fleet.revokes.map(\.game) == ["g1"])
        #expect(fleet.row("g1")?.state == "resting")
        #expect(fleet.state.shards.first?.free == 1)
        #expect(fleet.state.waiting.isEmpty)
        fleet.beat("s1", capacity: 1)
        _ = fleet.take()
        fleet.pass(.seconds(5), hearing: [.init(shard: "s1", capacity: 1)])
        #expect(fleet.changes.isEmpty && fleet.commands.isEmpty && fleet.raised.allSatisfy { $0 != .capacityExhausted })
        show(&fleet, .live, at: "2026-04-21T17:00:00Z")
        let change = try #require(fleet.changes.first?.first)
        #expect(change.to == Seat(shard: "s1", epoch: Fleet.epoch(2)))
        #expect(change.reason == .resumed && change.from == nil)
    }

    @Test func `a suspended game keeps its seat for two hours of venue time`() {
        var fleet = playing()
        show(&fleet, .suspended)
        #expect(fleet.effects.contains(.upsertGame(Fleet.game("g1"), .suspended, nil)))
        show(&fleet, .suspended, at: "2026-04-21T00:59:59Z")
        #expect(fleet.row("g1")?.state == "watched")
        show(&fleet, .live, at: "2026-04-21T01:00:00Z")
        show(&fleet, .suspended, at: "2026-04-21T01:30:00Z")
        show(&fleet, .suspended, at: "2026-04-21T03:29:00Z")
        #expect(fleet.row("g1")?.state == "watched")
        #expect(fleet.revokes.isEmpty && fleet.changes.isEmpty)
        show(&fleet, .suspended, at: "2026-04-21T03:30:00Z")
        #expect(fleet.row("g1")?.state == "resting")
        show(&fleet, .live, at: "2026-04-21T09:00:00Z")
        #expect(fleet.changes.flatMap(\.self).map(\.reason) == [.resumed])
    }

    @Test func `a game that is called off while it was put off is forgotten`() {
        var fleet = playing()
        show(&fleet, .postponed)
        _ = fleet.take()
        show(&fleet, .cancelled)
        #expect(fleet.effects.contains(.releaseGame("g1", .cancelled, nil, from: nil, term: 1)))
        #expect(fleet.row("g1") == nil)
        show(&fleet, .live)
        #expect(fleet.row("g1") != nil, "the store decides whether it may live again")
    }

    @Test func `a postponement that is not stored is stored again, and what plays on meanwhile is watched`() {
        var fleet = playing()
        fleet.commitsAtOnce = false
        show(&fleet, .postponed)
        fleet.send(.releaseFailed("g1"))
        #expect(fleet.revokes.isEmpty)
        show(&fleet, .live)
        _ = fleet.take()
        fleet.pass(.milliseconds(1_100), hearing: [.init(shard: "s1", games: ["g1": 1], capacity: 1)])
        #expect(fleet.effects.contains { if case .releaseGame = $0 { true } else { false } })
        fleet.commitsAtOnce = true
        fleet.send(.released("g1"))
        fleet.beat("s1", capacity: 1)
        fleet.pass(.milliseconds(100))
        #expect(fleet.changes.flatMap(\.self).map(\.to.epoch) == [Fleet.epoch(2)])
    }

    @Test func `a postponement that arrives while the owner is stored ends in rest`() {
        var fleet = Fleet()
        fleet.commitsAtOnce = false
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        show(&fleet, .postponed)
        fleet.commitsAtOnce = true
        fleet.send(.committed(batch: 1, pregame: [:]))
        #expect(fleet.assigns.isEmpty)
        #expect(fleet.row("g1")?.state == "resting")
    }

    @Test func `a restarted orchestrator knows what was put off and wakes it`() {
        let game = Fleet.game("g1")
        var fleet = Fleet(rehydratedWith: [
            DesiredGame(
                game: game, status: .postponed, markets: [Fleet.market(game)], shard: nil, epoch: Fleet.epoch(4))
        ])
        fleet.pass(.seconds(5), hearing: [.init(shard: "s1")])
        #expect(fleet.changes.isEmpty)
        show(&fleet, .live)
        #expect(fleet.changes.flatMap(\.self).map(\.to.epoch) == [Fleet.epoch(5)])
    }

    @Test func `what was put off and is shown no more is dropped`() {
        var fleet = playing()
        show(&fleet, .postponed)
        fleet.send(.scoreboard([], at: Fleet.instant("2026-04-21T11:10:01Z")))
        #expect(fleet.row("g1") == nil)
    }
}
