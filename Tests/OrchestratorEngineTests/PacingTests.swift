import Domain
import OrchestratorEngine
import Resilience
import Testing

/// Moves that need not happen at once: after a restart, for a shard that joined, away from one that is drained.
@Suite struct PacingTests {
    /// The games of each shard as the engine has them, as if every command were obeyed at once.
    private func obedient(_ fleet: Fleet, _ shards: [ShardID], capacity: Int = 200) -> [Fleet.Beat] {
        shards.map { Fleet.Beat(shard: $0, games: Fleet.watched(fleet, $0), capacity: capacity) }
    }

    /// Lets time pass while every shard obeys: an unheeded revoke is acknowledged, an assignment shown.
    private func pass(_ duration: Duration, _ fleet: inout Fleet, _ shards: [ShardID], capacity: Int = 200) {
        let end = fleet.now.advanced(by: duration)
        var answered = fleet.commands.count
        while fleet.now < end {
            for beat in obedient(fleet, shards, capacity: capacity) { fleet.beat(beat) }
            for _ in 1...5 {
                fleet.pass(.milliseconds(100))
                for command in fleet.commands.dropFirst(answered) where !command.isAssignment {
                    fleet.send(
                        .acknowledged(
                            .init(command: command.id, shard: command.shard, game: command.game, verdict: .accepted)))
                }
                answered = fleet.commands.count
            }
        }
    }

    private func loads(_ fleet: Fleet) -> [String: Int] {
        Dictionary(grouping: fleet.state.games, by: { $0.shard ?? "none" }).mapValues(\.count)
    }

    // CHECKLIST R45, R46
    @Test func `a restarted shard that reads nothing is given its games after five seconds, ten a second`() {
        var fleet = Fleet()
        fleet.beat("s1", capacity: 200)
        fleet.discover(Fleet.games(100))
        fleet.beat("s1", Fleet.watched(fleet, "s1"), capacity: 200)
        _ = fleet.take()
        var life = Fleet.Beat(shard: "s1", incarnation: "life-2", startedAt: 2, capacity: 200)
        fleet.pass(.milliseconds(4_900), hearing: [life])
        #expect(fleet.assigns.isEmpty)
        var sent: [Int] = []
        for _ in 1...11 {
            _ = fleet.take()
            life.games = Fleet.watched(fleet, "s1").filter { fleet.row($0.key)?.state == "commanded" }
                .merging(life.games) { $1 }
            fleet.pass(.seconds(1), hearing: [life])
            sent.append(fleet.assigns.count)
        }
        #expect(sent.allSatisfy { $0 <= 10 }, "\(sent)")
        #expect(sent.reduce(0, +) == 100)
        #expect(fleet.state.games.allSatisfy { $0.shard == "s1" && $0.epoch == 1 })
        #expect(fleet.changes.isEmpty)
    }

    @Test func `a shard that restarts again and again is resynced once, and not put off for ever`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover(Fleet.games(3))
        fleet.beat("s1", Fleet.watched(fleet, "s1"))
        _ = fleet.take()
        for life in 2...7 {
            fleet.pass(
                .seconds(2),
                hearing: [
                    .init(shard: "s1", incarnation: Incarnation(stringLiteral: "life-\(life)"), startedAt: Int64(life))
                ])
        }
        #expect(Set(fleet.assigns.map(\.game)).count == 3)
        // It never shows them, so they do not stay with it.
        fleet.beat("s2")
        for life in 8...12 {
            fleet.pass(
                .seconds(2),
                hearing: [
                    .init(shard: "s1", incarnation: Incarnation(stringLiteral: "life-\(life)"), startedAt: Int64(life)),
                    .init(shard: "s2"),
                ])
        }
        #expect(fleet.state.games.allSatisfy { $0.shard == "s2" })
    }

    // CHECKLIST R52
    @Test func `a shard that joins is given its share in pace and no more`() {
        var fleet = Fleet()
        for shard: ShardID in ["s1", "s2"] { fleet.beat(shard, capacity: 200) }
        fleet.discover(Fleet.games(90))
        pass(.seconds(3), &fleet, ["s1", "s2"])
        _ = fleet.take()
        pass(.seconds(9), &fleet, ["s1", "s2", "s3"])
        #expect(fleet.changes.isEmpty)
        pass(.seconds(2), &fleet, ["s1", "s2", "s3"])
        #expect((5...20).contains(fleet.changes.flatMap(\.self).count))
        pass(.seconds(10), &fleet, ["s1", "s2", "s3"])
        let moved = fleet.changes.flatMap(\.self)
        #expect(moved.allSatisfy { $0.reason == .rebalanced && $0.to.shard == "s3" })
        #expect(loads(fleet).values.sorted() == [30, 30, 30])
        #expect(moved.count == 30)
        _ = fleet.take()
        pass(.seconds(20), &fleet, ["s1", "s2", "s3"])
        #expect(fleet.changes.isEmpty)
    }

    @Test func `a shard that was heard before anybody led, and was not well then, is given its share`() {
        var fleet = Fleet()
        fleet.engine = OrchestratorEngine(policy: OrchestratorPolicy())
        fleet.beat("s1")
        fleet.beat("s2", status: .starting)
        fleet.send(.rehydrated([], term: 1))
        fleet.discover(Fleet.games(6))
        #expect(loads(fleet) == ["s1": 6])
        pass(.seconds(15), &fleet, ["s1", "s2"])
        #expect(loads(fleet) == ["s1": 3, "s2": 3])
    }

    @Test func `a shard that is well again is given its share again`() {
        var fleet = Fleet()
        for shard: ShardID in ["s1", "s2"] { fleet.beat(shard) }
        fleet.discover(Fleet.games(6))
        pass(.seconds(2), &fleet, ["s1", "s2"])
        let ill = Fleet.Beat(shard: "s2", games: Fleet.watched(fleet, "s2"), failedChecks: ["feed"])
        fleet.pass(.seconds(6), hearing: [.init(shard: "s1", games: Fleet.watched(fleet, "s1")), ill])
        pass(.seconds(4), &fleet, ["s1", "s2"])
        #expect(loads(fleet) == ["s1": 6])
        pass(.seconds(20), &fleet, ["s1", "s2"])
        #expect(loads(fleet) == ["s1": 3, "s2": 3])
    }

    // CHECKLIST N3
    @Test(arguments: [24, 1_000, Int64.max - 1_000])
    func `an orchestrator that restarts rebalances nothing`(age: Int64) {
        var fleet = Fleet(rehydratedWith: Fleet.games(12).map { Fleet.desired($0.id, on: "s1", epoch: 1) })
        fleet.earlierBeats = age
        pass(.seconds(30), &fleet, ["s1", "s2"])
        #expect(fleet.changes.isEmpty && fleet.commands.isEmpty)
    }

    @Test func `a shard that began shortly before the orchestrator is given the share that nobody gave it`() {
        var fleet = Fleet(rehydratedWith: Fleet.games(12).map { Fleet.desired($0.id, on: "s1", epoch: 1) })
        fleet.earlierBeats = 20
        pass(.seconds(9), &fleet, ["s1", "s2"])
        #expect(fleet.changes.isEmpty && fleet.commands.isEmpty)
        pass(.seconds(6), &fleet, ["s1", "s2"])
        #expect(loads(fleet) == ["s1": 6, "s2": 6])
        #expect(fleet.changes.flatMap(\.self).allSatisfy { $0.reason == .rebalanced })
    }

    @Test func `a shard that is not well when an orchestrator starts is given its share when it is`() {
        var fleet = Fleet(rehydratedWith: Fleet.games(4).map { Fleet.desired($0.id, on: "s1", epoch: 1) })
        fleet.earlierBeats = 1_000
        fleet.beat("s1", Fleet.watched(fleet, "s1"))
        fleet.beat("s2", status: .degraded)
        pass(.seconds(20), &fleet, ["s1", "s2"])
        #expect(loads(fleet) == ["s1": 2, "s2": 2])
    }

    @Test func `a shard that lost some of its games while it was degraded is given its share again`() {
        var fleet = Fleet()
        for shard: ShardID in ["s1", "s2"] { fleet.beat(shard, capacity: 4) }
        fleet.discover(Fleet.games(6))
        pass(.seconds(2), &fleet, ["s1", "s2"], capacity: 4)
        #expect(loads(fleet) == ["s1": 3, "s2": 3])
        fleet.pass(
            .seconds(6),
            hearing: [
                .init(shard: "s1", games: Fleet.watched(fleet, "s1"), capacity: 4),
                .init(shard: "s2", games: Fleet.watched(fleet, "s2"), failedChecks: ["feed"], capacity: 4),
            ])
        pass(.seconds(2), &fleet, ["s1", "s2"], capacity: 4)
        #expect(loads(fleet) == ["s1": 4, "s2": 2])
        pass(.seconds(25), &fleet, ["s1", "s2"], capacity: 4)
        #expect(loads(fleet) == ["s1": 3, "s2": 3])
    }

    @Test func `a shard that does not obey a move keeps the game`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover(Fleet.games(1))
        fleet.beat("s1", ["g000": 1])
        fleet.beat("s2")
        _ = fleet.take()
        fleet.send(.operatorOrder(.reassign("g000", to: "s2"), request: "r1"))
        #expect(fleet.effects.contains(.answerOperator("r1", .accepted(games: 1, withoutRoom: 0))))
        fleet.pass(.milliseconds(4_900), hearing: [.init(shard: "s1", games: ["g000": 1]), .init(shard: "s2")])
        #expect(fleet.row("g000")?.state == "leaving")
        #expect(fleet.grants.contains("s1"))
        fleet.pass(.milliseconds(200), hearing: [.init(shard: "s1", games: ["g000": 1]), .init(shard: "s2")])
        #expect(fleet.row("g000")?.state == "watched")
        #expect(fleet.changes.isEmpty)
    }

    @Test func `a game is reassigned where the operator wants it`() {
        var fleet = Fleet()
        for shard: ShardID in ["s1", "s2", "s3"] { fleet.beat(shard, capacity: 200) }
        fleet.discover(Fleet.games(4))
        pass(.seconds(1), &fleet, ["s1", "s2", "s3"])
        let from = fleet.row("g000")?.shard
        fleet.send(.operatorOrder(.reassign("g000", to: from == "s3" ? "s2" : "s3"), request: "r1"))
        pass(.seconds(3), &fleet, ["s1", "s2", "s3"])
        #expect(fleet.row("g000")?.shard == (from == "s3" ? "s2" : "s3"))
        let change = fleet.changes.last?.first
        #expect(change?.reason == .reassigned && change?.from?.rawValue == from)
        // Without a target: anywhere else.
        let now = fleet.row("g000")?.shard
        fleet.send(.operatorOrder(.reassign("g000", to: nil), request: "r2"))
        pass(.seconds(3), &fleet, ["s1", "s2", "s3"])
        #expect(fleet.row("g000")?.shard != now)
    }

    @Test func `an operator's order that cannot be followed is refused with its reason`() {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover(Fleet.games(1))
        fleet.beat("s1", ["g000": 1])
        fleet.beat("full", capacity: 0)
        fleet.send(
            .heartbeat(
                .init(
                    shard: "coins", kind: .crypto, incarnation: "c", startedAt: 1, beat: 1, status: .healthy,
                    games: [:], capacity: 10)))
        fleet.beat("ill", status: .degraded)
        let refusals: [(OperatorOrder, OperatorRefusal)] = [
            (.drain("nobody"), .unknownShard), (.undrain("s1"), .notDrained), (.undrain("nobody"), .unknownShard),
            (.reassign("nothing", to: nil), .unknownGame), (.reassign("g000", to: "s1"), .alreadyThere),
            (.reassign("g000", to: "nobody"), .unknownShard), (.reassign("g000", to: "full"), .noRoom),
            (.reassign("g000", to: "coins"), .wrongKind), (.reassign("g000", to: "ill"), .shardNotWell),
            (.reassign("g000", to: nil), .noRoom),
        ]
        for (number, (order, refusal)) in refusals.enumerated() {
            let request = CommandID(stringLiteral: "r\(number)")
            _ = fleet.take()
            fleet.send(.operatorOrder(order, request: request))
            #expect(fleet.effects == [.answerOperator(request, .refused(refusal))], "\(order)")
        }
        fleet.send(.leadershipLost)
        _ = fleet.take()
        fleet.send(.operatorOrder(.drain("s1"), request: "r"))
        #expect(fleet.effects == [.answerOperator("r", .refused(.notLeading))])
    }

    @Test func `a drained shard loses its games in pace, gets none, and may have games again`() {
        var fleet = Fleet()
        for shard: ShardID in ["s1", "s2"] { fleet.beat(shard, capacity: 200) }
        fleet.discover(Fleet.games(40))
        pass(.seconds(2), &fleet, ["s1", "s2"])
        _ = fleet.take()
        fleet.send(.operatorOrder(.drain("s1"), request: "r1"))
        #expect(fleet.effects == [.answerOperator("r1", .accepted(games: 20, withoutRoom: 0))])
        fleet.send(.operatorOrder(.drain("s1"), request: "r2"))
        pass(.seconds(1), &fleet, ["s1", "s2"])
        #expect((8...12).contains(fleet.changes.flatMap(\.self).count))
        #expect(fleet.grants.contains("s1"))
        pass(.seconds(3), &fleet, ["s1", "s2"])
        #expect(loads(fleet) == ["s2": 40])
        #expect(fleet.changes.flatMap(\.self).allSatisfy { $0.reason == .drained })
        #expect(fleet.state.shards.first { $0.shard == "s1" }?.isDrained == true)
        pass(.seconds(15), &fleet, ["s1", "s2"])
        #expect(loads(fleet) == ["s2": 40])
        fleet.send(.operatorOrder(.undrain("s1"), request: "r3"))
        pass(.seconds(20), &fleet, ["s1", "s2"])
        #expect(loads(fleet) == ["s1": 20, "s2": 20])
    }

    @Test func `a drain outlives the orchestrator, also for a shard that is heard later`() {
        var fleet = Fleet()
        fleet.send(.leadershipLost)
        let stored = [Fleet.desired("g000", on: "s1", epoch: 4), Fleet.desired("g001", on: nil, epoch: nil)]
        fleet.send(.rehydrated(stored, drained: ["s1", "late"], term: 2))
        pass(.seconds(4), &fleet, ["s1", "late"])
        #expect(fleet.row("g001")?.state == "waiting")
        pass(.seconds(2), &fleet, ["s1", "late", "s2"])
        #expect(loads(fleet) == ["s2": 2])
        #expect(Set(fleet.state.shards.filter(\.isDrained).map(\.shard)) == ["s1", "late"])
        // What is reread under the same term may be older than the last order.
        fleet.send(.operatorOrder(.undrain("late"), request: "r1"))
        fleet.send(.rehydrated([], drained: ["s1", "late"], term: 2))
        #expect(Set(fleet.state.shards.filter(\.isDrained).map(\.shard)) == ["s1"])
    }

    @Test func `a drain holds for a shard that was forgotten, and ends before it is heard`() {
        var fleet = Fleet()
        fleet.send(.leadershipLost)
        fleet.send(.rehydrated([], drained: ["s1", "s3"], term: 2))
        fleet.send(.operatorOrder(.undrain("s3"), request: "r1"))
        #expect(fleet.effects == [.answerOperator("r1", .accepted(games: 0, withoutRoom: 0))])
        fleet.beat("s1")
        fleet.pass(.seconds(3))
        fleet.now = fleet.now.advanced(by: .seconds(3_700))
        for _ in 1...20 { fleet.pass(.milliseconds(100), hearing: [.init(shard: "s2", capacity: 0)]) }
        #expect(!fleet.state.shards.contains { $0.shard == "s1" })
        fleet.discover([Fleet.game("g000")])
        pass(.seconds(1), &fleet, ["s1"])
        #expect(fleet.row("g000")?.state == "waiting")
        pass(.seconds(1), &fleet, ["s1", "s3"])
        #expect(fleet.row("g000")?.shard == "s3")
    }

    @Test func `a drained shard keeps what has no room elsewhere`() {
        var fleet = Fleet()
        for shard: ShardID in ["s1", "s2"] { fleet.beat(shard, capacity: 10) }
        fleet.discover(Fleet.games(16))
        pass(.seconds(2), &fleet, ["s1", "s2"], capacity: 10)
        _ = fleet.take()
        fleet.send(.operatorOrder(.drain("s1"), request: "r1"))
        #expect(fleet.effects == [.answerOperator("r1", .accepted(games: 8, withoutRoom: 6))])
        pass(.seconds(10), &fleet, ["s1", "s2"], capacity: 10)
        #expect(loads(fleet) == ["s1": 6, "s2": 10])
    }
}
