import Domain
import OrchestratorEngine
import Resilience
import Testing

/// How games get owners: discovery, capacity, commits.
@Suite struct AssignmentTests {
    @Test func `a live game is stored, then told, then watched`() throws {
        var fleet = Fleet()
        fleet.commitsAtOnce = false
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        let change = try #require(fleet.changes.first?.first)
        #expect(change.to == Seat(shard: "s1", epoch: .first))
        #expect(change.reason == .first)
        #expect(change.markets.count == 1)
        // Nobody is told before it is stored.
        #expect(fleet.commands.isEmpty)
        fleet.send(.committed(batch: 1, pregame: ["g1": Probability(clamping: 0.6)]))
        let command = try #require(fleet.assigns.first)
        #expect(command.shard == "s1" && command.epoch == .first)
        if case .assign(_, _, let pregame) = command.order { #expect(pregame == Probability(clamping: 0.6)) }
        #expect(fleet.row("g1")?.state == "commanded")
        fleet.beat("s1", ["g1": 1])
        #expect(fleet.row("g1")?.state == "watched")
    }

    @Test func `every heartbeat is granted under the term`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.beat("s1")
        let grants = fleet.take().filter { if case .grant = $0 { true } else { false } }
        #expect(
            grants == [.grant("s1", "life-1", beat: 1, term: 1), .grant("s1", "life-1", beat: 2, term: 1)])
        fleet.send(.leadershipLost)
        fleet.beat("s1")
        #expect(fleet.grants.isEmpty)
    }

    @Test func `games go to the shard with the most free capacity`() {
        var fleet = Fleet()
        for shard: ShardID in ["s1", "s2", "s3"] { fleet.beat(shard, capacity: 20) }
        fleet.discover(Fleet.games(30))
        let loads = Dictionary(grouping: fleet.assigns, by: \.shard).mapValues(\.count)
        #expect(loads == ["s1": 10, "s2": 10, "s3": 10])
    }

    // CHECKLIST R51.
    @Test func `without capacity the rest waits, is listed and alerted, and a new shard takes it`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.beat("s2")
        fleet.discover(Fleet.games(45))
        #expect(fleet.assigns.count == 40)
        #expect(fleet.state.waiting.count == 5)
        let full = ["s1", "s2"].map { Fleet.Beat(shard: $0, games: Fleet.watched(fleet, $0)) }
        fleet.pass(.milliseconds(2_400), hearing: full)
        #expect(fleet.raised.isEmpty)
        fleet.pass(.milliseconds(200), hearing: full)
        #expect(fleet.raised == [.capacityExhausted])
        _ = fleet.take()
        fleet.beat("s3")
        fleet.pass(.milliseconds(100))
        #expect(fleet.assigns.count == 5)
        #expect(fleet.assigns.allSatisfy { $0.shard == "s3" })
        #expect(fleet.changes.count == 1)
        fleet.pass(.milliseconds(100))
        #expect(fleet.recovered == [.capacityExhausted])
    }

    // What discovery found outlives who asked, also while no shard has room.
    @Test func `markets that were found are stored with the owner, or at once when there is none`() {
        func kept(_ fleet: Fleet) -> [Effect] {
            fleet.effects.filter { if case .keepMarkets = $0 { true } else { false } }
        }
        var fleet = Fleet()
        fleet.discover([Fleet.game("g1")])
        #expect(kept(fleet) == [.keepMarkets(Fleet.game("g1"), .live, [Fleet.market(Fleet.game("g1"))])])
        _ = fleet.take()
        fleet.beat("s1")
        fleet.pass(.milliseconds(100))
        fleet.discover([Fleet.game("g2")])
        #expect(fleet.changes.flatMap(\.self).map(\.markets.count) == [1, 1] && kept(fleet).isEmpty)
        // The next leader asks nobody.
        var next = Fleet(rehydratedWith: [Fleet.desired("g1", on: nil, epoch: nil)])
        next.send(.scoreboard([ScoreboardGame(game: Fleet.game("g1"), status: .live)], at: Fleet.venueNow))
        #expect(next.questions.isEmpty && next.state.waiting == ["g1"])
    }

    // CHECKLIST N6.
    @Test func `a lost discovery answer is asked again within two cycles`() {
        var fleet = Fleet()
        fleet.beat("s1")
        let game = Fleet.game("g1")
        for asked in [1, 1, 2, 2, 3] {
            fleet.send(.scoreboard([ScoreboardGame(game: game, status: .live)], at: Fleet.venueNow))
            #expect(fleet.questions.count == asked)
        }
        // "None yet" is not an end either.
        fleet.send(.discovered("g1", [], reason: "noOpenMarkets"))
        #expect(fleet.row("g1")?.reason == "noOpenMarkets")
        fleet.send(.scoreboard([ScoreboardGame(game: game, status: .live)], at: Fleet.venueNow))
        fleet.send(.scoreboard([ScoreboardGame(game: game, status: .live)], at: Fleet.venueNow))
        #expect(fleet.questions.count == 4)
        fleet.send(.discovered("g1", [Fleet.market(game)], reason: nil))
        #expect(fleet.assigns.count == 1)
        fleet.send(.scoreboard([ScoreboardGame(game: game, status: .live)], at: Fleet.venueNow))
        fleet.send(.scoreboard([ScoreboardGame(game: game, status: .live)], at: Fleet.venueNow))
        #expect(fleet.questions.count == 4)
    }

    @Test func `only games that play or soon will are wanted`() {
        var fleet = Fleet()
        let shown: [(GameID, GameStatus, String)] = [
            ("soon", .scheduled, "2026-04-20T23:59:00Z"), ("far", .scheduled, "2026-04-21T03:00:00Z"),
            ("live", .live, "2026-04-20T22:00:00Z"), ("over", .final, "2026-04-20T20:00:00Z"),
            ("put-off", .postponed, "2026-04-20T23:10:00Z"),
        ]
        fleet.send(
            .scoreboard(
                shown.map { ScoreboardGame(game: Fleet.game($0.0, at: $0.2), status: $0.1) }, at: Fleet.venueNow))
        #expect(fleet.state.games.map(\.game) == ["live", "soon"])
    }

    @Test func `a market of another game is not taken`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.send(.scoreboard([ScoreboardGame(game: Fleet.game("g1"), status: .live)], at: Fleet.venueNow))
        fleet.send(.discovered("g1", [Fleet.market(Fleet.game("g2"))], reason: nil))
        #expect(fleet.row("g1")?.state == "unmapped")
        #expect(fleet.changes.isEmpty)
    }

    @Test func `a failed commit is tried again under a higher epoch and tells nobody`() throws {
        var fleet = Fleet()
        fleet.commitsAtOnce = false
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        _ = fleet.take()
        fleet.send(.commitFailed(batch: 1, stored: ["g1": Seat(shard: "s9", epoch: Fleet.epoch(6))]))
        fleet.pass(.milliseconds(900), hearing: [.init(shard: "s1")])
        #expect(fleet.changes.isEmpty)
        fleet.pass(.milliseconds(200), hearing: [.init(shard: "s1")])
        let change = try #require(fleet.changes.first?.first)
        #expect(change.to.epoch == Fleet.epoch(7))
        #expect(fleet.commands.isEmpty)
        // The late answer to the first one changes nothing.
        fleet.send(.committed(batch: 1, pregame: [:]))
        #expect(fleet.commands.isEmpty)
    }

    @Test func `a bad row does not hold its batch back`() {
        var fleet = Fleet()
        fleet.commitsAtOnce = false
        fleet.beat("s1")
        fleet.send(
            .scoreboard(Fleet.games(3).map { ScoreboardGame(game: $0, status: .live) }, at: Fleet.venueNow))
        fleet.send(
            .heartbeat(
                .init(
                    shard: "s1", incarnation: "life-1", startedAt: 1, beat: 9, status: .starting, games: [:],
                    capacity: 20)))
        for game in Fleet.games(3) { fleet.send(.discovered(game.id, [Fleet.market(game)], reason: nil)) }
        fleet.send(
            .heartbeat(
                .init(
                    shard: "s1", incarnation: "life-1", startedAt: 1, beat: 10, status: .healthy, games: [:],
                    capacity: 20)))
        fleet.pass(.milliseconds(100))
        #expect(fleet.changes.map(\.count) == [3])
        _ = fleet.take()
        fleet.send(.commitFailed(batch: 1, stored: [:]))
        fleet.pass(.milliseconds(1_100))
        #expect(fleet.changes.map(\.count) == [1, 1, 1])
    }

    // CHECKLIST N5.
    @Test func `a final game frees its seat and its shard is told`() throws {
        var fleet = Fleet()
        fleet.beat("s1", capacity: 1)
        fleet.discover([Fleet.game("g1")])
        fleet.beat("s1", ["g1": 1], capacity: 1)
        _ = fleet.take()
        let score = Score(home: 115, away: 105)
        fleet.send(
            .scoreboard([ScoreboardGame(game: Fleet.game("g1"), status: .final, score: score)], at: Fleet.venueNow))
        let release = Effect.releaseGame("g1", .final, score, from: Seat(shard: "s1", epoch: .first), term: 1)
        #expect(fleet.effects.contains(release))
        #expect(fleet.revokes.map(\.game) == ["g1"])
        #expect(fleet.state.games.isEmpty)
        #expect(fleet.state.shards.first?.free == 1)
        // It is told again until its heartbeats show it.
        _ = fleet.take()
        fleet.pass(.milliseconds(1_100), hearing: [.init(shard: "s1", games: ["g1": 1], capacity: 1)])
        #expect(fleet.revokes.count == 1)
        fleet.beat("s1", capacity: 1)
        _ = fleet.take()
        fleet.pass(.seconds(3), hearing: [.init(shard: "s1", capacity: 1)])
        #expect(fleet.commands.isEmpty)
        // A final game on the scoreboard is never wanted again.
        fleet.send(.scoreboard([ScoreboardGame(game: Fleet.game("g1"), status: .final)], at: Fleet.venueNow))
        #expect(fleet.state.games.isEmpty)
    }

    @Test func `an end that is not stored is stored again`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        fleet.beat("s1", ["g1": 1])
        fleet.commitsAtOnce = false
        _ = fleet.take()
        fleet.send(.scoreboard([ScoreboardGame(game: Fleet.game("g1"), status: .cancelled)], at: Fleet.venueNow))
        fleet.send(.releaseFailed("g1"))
        #expect(fleet.revokes.isEmpty)
        _ = fleet.take()
        fleet.pass(.milliseconds(1_100), hearing: [.init(shard: "s1", games: ["g1": 1])])
        let release = Effect.releaseGame("g1", .cancelled, nil, from: Seat(shard: "s1", epoch: .first), term: 1)
        #expect(fleet.effects.contains(release))
    }

    @Test func `a game that no scoreboard shows long after its start is given up`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        fleet.beat("s1", ["g1": 1])
        fleet.send(.scoreboard([], at: Fleet.instant("2026-04-21T11:00:00Z")))
        #expect(fleet.row("g1") != nil)
        fleet.send(.scoreboard([], at: Fleet.instant("2026-04-21T11:10:01Z")))
        #expect(fleet.row("g1") == nil)
    }
}
