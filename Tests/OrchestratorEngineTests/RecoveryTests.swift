import Domain
import OrchestratorEngine
import Resilience
import Testing

/// What happens when shards, messages or the orchestrator itself break.
@Suite struct RecoveryTests {
    /// Two shards; every game on s1, watched.
    private func fleet(_ count: Int = 1, s2Capacity: Int = 20) -> Fleet {
        var fleet = Fleet()
        fleet.beat("s1")
        fleet.discover(Fleet.games(count))
        fleet.beat("s1", watched(count))
        fleet.beat("s2", capacity: s2Capacity)
        _ = fleet.take()
        return fleet
    }
    private func watched(_ count: Int, epoch: Int64 = 1) -> [GameID: Int64] {
        Dictionary(uniqueKeysWithValues: Fleet.games(count).map { ($0.id, epoch) })
    }

    // CHECKLIST R40.
    @Test func `a dead shard's games move together under a higher epoch`() {
        var fleet = fleet(10)
        fleet.pass(.milliseconds(1_900), hearing: [.init(shard: "s2")])
        #expect(fleet.changes.isEmpty)
        fleet.pass(.milliseconds(700), hearing: [.init(shard: "s2")])
        #expect(fleet.changes.map(\.count) == [10])
        for change in fleet.changes.flatMap(\.self) {
            #expect(change.to == Seat(shard: "s2", epoch: Fleet.epoch(2)))
            #expect(change.reason == .dead && change.from == "s1")
        }
        #expect(fleet.assigns.count == 10)
        #expect(fleet.notes.contains(.shardDead("s1", games: Fleet.games(10).map(\.id))))
    }

    // CHECKLIST R39, N7: wherever the end falls between two heartbeats and two ticks.
    @Test func `a shard that dies is known as dead between one and a half and two seconds and a tick later`() {
        let policy = OrchestratorPolicy()
        var latest = Duration.zero
        for step in 0..<20 {
            var fleet = fleet(3)
            let rest = Duration.milliseconds(25 * step)
            fleet.pass(.seconds(1), hearing: [.init(shard: "s1", games: watched(3)), .init(shard: "s2")])
            // The last words, and then nothing; the ticks go on at their own rate.
            fleet.now = fleet.now.advanced(by: .milliseconds(7 * step % 100))
            fleet.beat("s1", watched(3))
            let died = fleet.now.advanced(by: rest)
            _ = fleet.take()
            while !fleet.notes.contains(.shardDead("s1", games: Fleet.games(3).map(\.id))) {
                fleet.pass(.milliseconds(100), hearing: [.init(shard: "s2")])
                guard fleet.now.since(died) < .seconds(10) else { break }
            }
            let took = fleet.now.since(died)
            latest = max(latest, took)
            #expect(
                took >= policy.shardTimeout - policy.heartbeatInterval
                    && took <= policy.shardTimeout + .milliseconds(100))
        }
        #expect(latest > policy.shardTimeout - .milliseconds(100))
    }

    @Test func `no game is given away before the lease of the last grant is over`() {
        var policy = OrchestratorPolicy()
        policy.lease = .seconds(6)
        var fleet = Fleet(policy)
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        // A new leader judges nobody for one lease and one heartbeat.
        fleet.pass(.seconds(7), hearing: [.init(shard: "s1", games: ["g1": 1])])
        _ = fleet.take()
        // The last beat, and so the last grant, was half a second ago.
        fleet.pass(.milliseconds(5_300), hearing: [.init(shard: "s2")])
        #expect(fleet.notes.contains(.shardDead("s1", games: ["g1"])))
        #expect(fleet.changes.isEmpty)
        fleet.pass(.milliseconds(400), hearing: [.init(shard: "s2")])
        #expect(fleet.changes.count == 1)
    }

    @Test func `a shard that was only slow keeps its games`() {
        var policy = OrchestratorPolicy()
        policy.lease = .seconds(6)
        var fleet = Fleet(policy)
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        fleet.pass(.seconds(7), hearing: [.init(shard: "s1", games: ["g1": 1])])
        fleet.pass(.seconds(3), hearing: [.init(shard: "s2")])
        #expect(fleet.row("g1")?.state == "leaving")
        fleet.beat("s1", ["g1": 1])
        #expect(fleet.row("g1")?.state == "watched")
        #expect(fleet.row("g1")?.epoch == 1)
    }

    @Test func `a restarted shard that reads its games by itself is sent nothing`() {
        var fleet = fleet(12)
        fleet.now = fleet.now.advanced(by: .milliseconds(400))
        fleet.beat("s1", life: "life-2", startedAt: 2)
        #expect(fleet.notes.contains(.shardRestarted("s1", from: "life-1", to: "life-2")))
        fleet.now = fleet.now.advanced(by: .milliseconds(300))
        fleet.beat("s1", watched(12), life: "life-2", startedAt: 2)
        #expect(fleet.notes.contains(.resyncComplete("s1", games: 0, took: .milliseconds(300))))
        #expect(fleet.commands.isEmpty && fleet.changes.isEmpty)
        // A late heartbeat of the life before is not believed.
        _ = fleet.take()
        fleet.beat("s1", [:], life: "life-1", startedAt: 1)
        #expect(fleet.effects == [.report(.lateHeartbeat)])
    }

    /// A shard whose only game is being given away: `s1` is dead, and `g000` is about to be stored as `s2`'s.
    private func givingAway() -> Fleet {
        var fleet = fleet(1)
        fleet.commitsAtOnce = false
        fleet.pass(.milliseconds(2_500), hearing: [.init(shard: "s2")])
        _ = fleet.take()
        return fleet
    }
    private let before = Seat(shard: "s1", epoch: .first)

    // The mistake of schedules 4687, 5946, 6102 and 9214: it read the game while that waited for the next try.
    @Test func `a new life keeps the game that could not be given away`() {
        var fleet = givingAway()
        fleet.send(.commitFailed(batch: 2, stored: ["g000": before]))
        fleet.beat("s1", life: "life-2", startedAt: 2)
        #expect(fleet.row("g000")?.state == "watched" && fleet.row("g000")?.epoch == 1)
        fleet.pass(
            .seconds(4),
            hearing: [.init(shard: "s1", games: ["g000": 1], incarnation: "life-2", startedAt: 2), .init(shard: "s2")])
        #expect(fleet.changes.isEmpty && fleet.commands.isEmpty)
    }

    @Test(arguments: ["life-1", "life-2"] as [Incarnation])
    func `who comes back while its game is being given away is granted nothing, and keeps it when that fails`(
        _ life: Incarnation
    ) {
        var fleet = givingAway()
        fleet.beat("s1", ["g000": 1], life: life, startedAt: 2)
        #expect(!fleet.grants.contains("s1"))
        fleet.send(.commitFailed(batch: 2, stored: ["g000": before]))
        #expect(fleet.row("g000")?.state == "watched" && fleet.row("g000")?.epoch == 1)
        fleet.beat("s1", ["g000": 1], life: life, startedAt: 2)
        #expect(fleet.grants.contains("s1"))
        #expect(fleet.changes.isEmpty && fleet.commands.isEmpty)
    }

    // The mistake of schedules 2363 and 5097: the owner, whom only PostgreSQL knew, read the game.
    @Test func `while nobody knows who was stored, nobody else is, and PostgreSQL is asked until it answers`() {
        var fleet = givingAway()
        fleet.send(.commitFailed(batch: 2, stored: nil))
        // A second from when the commit began.
        fleet.pass(.milliseconds(400), hearing: [.init(shard: "s2"), .init(shard: "s3")])
        #expect(!fleet.effects.contains(.readDesiredState))
        fleet.pass(.milliseconds(3_000), hearing: [.init(shard: "s2"), .init(shard: "s3")])
        #expect(fleet.effects.filter { $0 == .readDesiredState }.count == 3)
        #expect(fleet.changes.isEmpty)
        fleet.send(.rehydrated([Fleet.desired("g000", on: "s2", epoch: 2)], term: 1))
        #expect(fleet.row("g000")?.shard == "s2" && fleet.row("g000")?.epoch == 2)
        // It was not stored: the next try goes ahead.
        fleet = givingAway()
        fleet.send(.commitFailed(batch: 2, stored: nil))
        fleet.pass(.milliseconds(1_500), hearing: [.init(shard: "s2")])
        fleet.send(.rehydrated([Fleet.desired("g000", on: "s1", epoch: 1)], term: 1))
        fleet.pass(.milliseconds(200), hearing: [.init(shard: "s2")])
        #expect(fleet.changes.flatMap(\.self).map(\.to) == [Seat(shard: "s2", epoch: Fleet.epoch(3))])
    }

    // The mistake of seed 1351: a shard that came back watched its old games for a second more than it had to.
    @Test func `a commit that hung until its time-out has waited long enough, and PostgreSQL is asked at once`() {
        var fleet = givingAway()
        fleet.pass(.milliseconds(1_500), hearing: [.init(shard: "s2"), .init(shard: "s3")])
        fleet.send(.commitFailed(batch: 2, stored: nil))
        fleet.pass(.milliseconds(100), hearing: [.init(shard: "s2"), .init(shard: "s3")])
        #expect(fleet.effects.filter { $0 == .readDesiredState }.count == 1)
        fleet.send(.rehydrated([Fleet.desired("g000", on: "s1", epoch: 1)], term: 1))
        fleet.pass(.milliseconds(100), hearing: [.init(shard: "s2")])
        #expect(fleet.changes.flatMap(\.self).map(\.to.epoch) == [Fleet.epoch(3)])
        // Again and again without an answer it is still asked for once a second.
        fleet = givingAway()
        for batch in 2...4 {
            _ = fleet.take()
            fleet.send(.commitFailed(batch: batch, stored: nil))
            fleet.pass(.milliseconds(batch == 2 ? 400 : 800), hearing: [.init(shard: "s2")])
            #expect(fleet.changes.isEmpty && !fleet.effects.contains(.readDesiredState), "\(batch)")
            fleet.pass(.milliseconds(batch == 2 ? 700 : 300), hearing: [.init(shard: "s2")])
            #expect(fleet.effects.contains(.readDesiredState), "\(batch)")
            fleet.send(.rehydrated([Fleet.desired("g000", on: "s1", epoch: 1)], term: 1))
            fleet.pass(.milliseconds(100), hearing: [.init(shard: "s2")])
        }
    }

    @Test func `a first owner of whom nobody knows is stored again after a reread that does not show the game`() {
        var fleet = Fleet()
        fleet.commitsAtOnce = false
        fleet.beat("s1")
        fleet.discover([Fleet.game("g1")])
        fleet.send(.commitFailed(batch: 1, stored: nil))
        fleet.pass(.seconds(2), hearing: [.init(shard: "s1")])
        #expect(fleet.changes.count == 1)
        fleet.send(.rehydrated([], term: 1))
        fleet.pass(.milliseconds(200), hearing: [.init(shard: "s1")])
        #expect(fleet.changes.last?.first?.to.epoch == Fleet.epoch(2))
    }

    @Test func `a batch whose answer was lost is as good as stored`() {
        var fleet = givingAway()
        fleet.send(.commitFailed(batch: 2, stored: ["g000": Seat(shard: "s2", epoch: Fleet.epoch(2))]))
        #expect(fleet.assigns.map(\.shard) == ["s2"] && fleet.assigns.map(\.epoch) == [Fleet.epoch(2)])
        #expect(fleet.state.counters["moves_dead"] == 1)
    }

    @Test func `a new life is granted nothing until it leaves the game that its last life did not take up`() throws {
        var fleet = fleet(1)
        fleet.pass(.milliseconds(5_300), hearing: [.init(shard: "s1"), .init(shard: "s2", capacity: 0)])
        #expect(fleet.row("g000")?.state == "leaving")
        _ = fleet.take()
        fleet.beat("s1", life: "life-2", startedAt: 2)
        let revoke = try #require(fleet.revokes.first)
        // It has not read its games yet: that it does not show this one proves nothing.
        fleet.beat("s1", life: "life-2", startedAt: 2)
        #expect(fleet.grants.isEmpty)
        fleet.send(.acknowledged(.init(command: revoke.id, shard: "s1", game: "g000", verdict: .accepted)))
        fleet.beat("s1", life: "life-2", startedAt: 2)
        #expect(fleet.grants.contains("s1"))
    }

    // CHECKLIST R50, N5.
    @Test func `a zombie game is revoked after three heartbeats and a fresh assignment never`() {
        var fleet = fleet(1)
        for beat in 1...2 {
            fleet.beat("s2", ["other-game": 4])
            #expect(fleet.revokes.isEmpty, "heartbeat \(beat)")
        }
        fleet.beat("s2", ["other-game": 4])
        #expect(fleet.revokes.map(\.game) == ["other-game"])
        #expect(fleet.revokes.map(\.epoch) == [Fleet.epoch(4)])
        // Gone in between: the count begins anew.
        fleet.beat("s2")
        _ = fleet.take()
        fleet.beat("s2", ["other-game": 4])
        fleet.beat("s2")
        fleet.beat("s2", ["other-game": 4])
        fleet.beat("s2", ["other-game": 4])
        #expect(fleet.revokes.isEmpty)
        // Its own game under the epoch before is about to be replaced, not a zombie.
        for _ in 1...6 { fleet.beat("s1", ["g000": 1]) }
        #expect(fleet.revokes.isEmpty)
    }

    @Test func `a shard that comes back from the dead loses what was given away`() {
        var fleet = fleet(2)
        fleet.pass(.seconds(3), hearing: [.init(shard: "s2")])
        fleet.beat("s2", watched(2, epoch: 2))
        _ = fleet.take()
        for _ in 1...3 { fleet.beat("s1", watched(2)) }
        #expect(fleet.revokes.map(\.shard) == ["s1", "s1"])
        #expect(fleet.revokes.allSatisfy { $0.epoch == .first })
        #expect(fleet.changes.isEmpty && fleet.assigns.isEmpty)
        #expect(fleet.state.games.allSatisfy { $0.shard == "s2" && $0.epoch == 2 })
    }

    // CHECKLIST R49.
    @Test func `a missing game is sent again with its epoch, and after the grace under a higher one`() throws {
        var fleet = fleet(1)
        fleet.beat("s1")
        #expect(fleet.assigns.map(\.epoch) == [.first])
        let id = fleet.assigns.first?.id
        fleet.pass(.seconds(4), hearing: [.init(shard: "s1"), .init(shard: "s2")])
        #expect(fleet.assigns.count >= 4)
        #expect(fleet.assigns.allSatisfy { $0.epoch == .first && $0.shard == "s1" && $0.id == id })
        #expect(fleet.changes.isEmpty)
        _ = fleet.take()
        fleet.pass(.milliseconds(1_500), hearing: [.init(shard: "s1"), .init(shard: "s2")])
        #expect(fleet.revokes.map(\.game) == ["g000"])
        // Its command may still be on its way: an acknowledged revoke, or one lease, ends that.
        #expect(fleet.changes.isEmpty)
        let revoke = try #require(fleet.revokes.first)
        fleet.send(.acknowledged(.init(command: revoke.id, shard: "s1", game: "g000", verdict: .accepted)))
        #expect(fleet.changes.flatMap(\.self).map(\.to.epoch) == [Fleet.epoch(2)])
        #expect(fleet.changes.first?.first?.reason == .missing)
    }

    @Test func `an acknowledged command is not sent again`() throws {
        var fleet = fleet(1)
        fleet.beat("s1")
        let command = try #require(fleet.assigns.first)
        _ = fleet.take()
        fleet.send(.acknowledged(.init(command: command.id, shard: "s1", game: "g000", verdict: .accepted)))
        fleet.pass(.seconds(3), hearing: [.init(shard: "s1"), .init(shard: "s2")])
        #expect(fleet.assigns.isEmpty)
    }

    @Test func `what the life before had acknowledged is sent again to the next, and keeps its epoch`() throws {
        var fleet = fleet(1)
        fleet.beat("s1")
        let command = try #require(fleet.assigns.first)
        _ = fleet.take()
        fleet.send(.acknowledged(.init(command: command.id, shard: "s1", game: "g000", verdict: .accepted)))
        let next = Fleet.Beat(shard: "s1", incarnation: "life-2", startedAt: 2)
        fleet.pass(.seconds(2), hearing: [next, .init(shard: "s2")])
        #expect(!fleet.assigns.isEmpty && fleet.assigns.allSatisfy { $0.id == command.id && $0.epoch == .first })
        #expect(fleet.changes.isEmpty)
    }

    @Test func `a refused game goes elsewhere under a higher epoch`() throws {
        var fleet = fleet(1)
        fleet.beat("s1")
        let command = try #require(fleet.assigns.first)
        _ = fleet.take()
        fleet.send(.acknowledged(.init(command: command.id, shard: "s1", game: "g000", verdict: .atCapacity)))
        #expect(fleet.changes.first?.first?.to.epoch == Fleet.epoch(2))
        #expect(fleet.changes.first?.first?.reason == .refused)
    }

    // CHECKLIST R42.
    @Test func `a draining shard's games are revoked first and assigned when it let go`() throws {
        var fleet = fleet(3)
        fleet.beat("s1", watched(3), status: .stopping)
        #expect(fleet.revokes.count == 3)
        #expect(fleet.changes.isEmpty)
        #expect(!fleet.grants.contains("s1"))
        // One lets go by an acknowledgement, the others by not showing them any more.
        let first = try #require(fleet.revokes.first)
        fleet.send(.acknowledged(.init(command: first.id, shard: "s1", game: first.game, verdict: .accepted)))
        #expect(fleet.changes.map(\.count) == [1])
        fleet.beat("s1", status: .stopping)
        fleet.pass(.milliseconds(100), hearing: [.init(shard: "s2", games: [first.game: 2])])
        #expect(fleet.changes.map(\.count) == [1, 2])
        #expect(fleet.changes.flatMap(\.self).allSatisfy { $0.to.shard == "s2" && $0.reason == .drained })
    }

    @Test func `a draining shard that shows nothing any more has let go`() {
        var fleet = fleet(3)
        fleet.beat("s1", status: .stopping)
        #expect(fleet.commands.isEmpty)
        fleet.pass(.milliseconds(100), hearing: [.init(shard: "s2")])
        #expect(fleet.changes.map(\.count) == [3])
        #expect(fleet.changes.flatMap(\.self).allSatisfy { $0.to.shard == "s2" && $0.reason == .drained })
    }

    @Test func `without an acknowledgement a drained game waits one lease after the last grant`() {
        var fleet = fleet(1)
        let silent = Fleet.Beat(shard: "s1", games: ["g000": 1], status: .stopping)
        fleet.pass(.milliseconds(1_900), hearing: [silent, .init(shard: "s2")])
        #expect(fleet.changes.isEmpty)
        fleet.pass(.milliseconds(300), hearing: [silent, .init(shard: "s2")])
        #expect(fleet.changes.count == 1)
        #expect(!fleet.grants.contains("s1"))
    }

    // CHECKLIST R41.
    @Test func `a check that fails for a moment costs nothing, one that lasts moves the games`() {
        var fleet = fleet(2)
        let ill = Fleet.Beat(shard: "s1", games: watched(2), failedChecks: ["scores"])
        let well = Fleet.Beat(shard: "s1", games: watched(2))
        fleet.pass(.seconds(4), hearing: [ill, .init(shard: "s2")])
        fleet.pass(.seconds(1), hearing: [well, .init(shard: "s2")])
        fleet.pass(.seconds(4), hearing: [ill, .init(shard: "s2")])
        #expect(fleet.revokes.isEmpty)
        fleet.pass(.milliseconds(1_500), hearing: [ill, .init(shard: "s2")])
        #expect(fleet.revokes.count == 2)
        #expect(fleet.notes.contains(.shardDegraded("s1", failedChecks: ["scores"])))
    }

    @Test func `a degraded shard keeps what has no room elsewhere`() {
        var fleet = fleet(5, s2Capacity: 2)
        let ill = Fleet.Beat(shard: "s1", games: watched(5), status: .degraded)
        fleet.pass(.seconds(6), hearing: [ill, .init(shard: "s2", capacity: 2)])
        #expect(Set(fleet.revokes.map(\.game)) == ["g000", "g001"])
    }

    // CHECKLIST N3.
    @Test func `a restarted orchestrator reassigns nothing that is well`() {
        let desired = (0..<50).map { Fleet.desired(Fleet.games(50)[$0].id, on: $0 < 25 ? "s1" : "s2", epoch: 3) }
        var fleet = Fleet(rehydratedWith: desired)
        let games = Fleet.games(50).map { ($0.id, Int64(3)) }
        let first = Fleet.Beat(shard: "s1", games: Dictionary(uniqueKeysWithValues: games.prefix(25)), capacity: 50)
        let second = Fleet.Beat(shard: "s2", games: Dictionary(uniqueKeysWithValues: games.suffix(25)), capacity: 50)
        fleet.pass(.seconds(10), hearing: [first, second])
        #expect(fleet.commands.isEmpty)
        #expect(fleet.changes.isEmpty)
        #expect(fleet.state.games.allSatisfy { $0.state == "watched" })
    }

    @Test func `after a restart a shard that is gone is found dead, a command that was lost is sent`() {
        var fleet = Fleet(rehydratedWith: [
            Fleet.desired("g1", on: "gone", epoch: 3), Fleet.desired("g2", on: "s2", epoch: 5),
            Fleet.desired("g3", on: nil, epoch: 2),
        ])
        fleet.beat("s2")
        #expect(fleet.assigns.map(\.game) == ["g2"])
        #expect(fleet.assigns.map(\.epoch) == [Fleet.epoch(5)])
        fleet.pass(.milliseconds(200), hearing: [.init(shard: "s2")])
        #expect(fleet.changes.flatMap(\.self).map(\.to) == [Seat(shard: "s2", epoch: Fleet.epoch(3))])
        fleet.pass(.seconds(3), hearing: [.init(shard: "s2", games: ["g2": 5, "g3": 3])])
        #expect(fleet.changes.last?.map(\.to) == [Seat(shard: "s2", epoch: Fleet.epoch(4))])
    }

    @Test func `a standby decides nothing and takes over at once`() {
        var fleet = Fleet()
        fleet.send(.leadershipLost)
        _ = fleet.take()
        fleet.pass(.seconds(3), hearing: [.init(shard: "s1"), .init(shard: "s2")])
        fleet.discover([Fleet.game("g1")])
        #expect(fleet.effects.isEmpty)
        fleet.send(.rehydrated([Fleet.desired("g1", on: nil, epoch: nil)], term: 4))
        fleet.pass(.milliseconds(100))
        #expect(fleet.changes.count == 1)
    }

    @Test func `an epoch above ours makes us read again, not revoke`() {
        var fleet = fleet(1)
        for _ in 1...5 { fleet.beat("s1", ["g000": 9]) }
        #expect(fleet.effects.filter { $0 == .readDesiredState }.count == 1)
        #expect(fleet.commands.isEmpty)
        fleet.send(.rehydrated([Fleet.desired("g000", on: "s1", epoch: 9)], term: 1))
        fleet.beat("s1", ["g000": 9])
        #expect(fleet.row("g000")?.state == "watched")
        #expect(fleet.row("g000")?.epoch == 9)
    }

    @Test func `the same events give the same effects`() {
        func run() -> [Effect] {
            var fleet = fleet(20)
            fleet.pass(.seconds(6), hearing: [.init(shard: "s2"), .init(shard: "s3")])
            return fleet.effects
        }
        #expect(run() == run())
    }
}
