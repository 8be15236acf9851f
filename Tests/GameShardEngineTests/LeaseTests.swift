import Domain
import Resilience
import Testing

@testable import GameShardEngine

/// DESIGN section 5, CHECKLIST N4.
@Suite struct LeaseTests {
    private func second(_ seconds: Double) -> MachineInstant { MachineInstant.origin.advanced(by: .seconds(seconds)) }

    @Test func `a grant holds from when the heartbeat was sent, not from when it arrives`() throws {
        var fixture = Fixture()
        _ = fixture.send(.heartbeatSent(beat: 1))
        fixture.machine = second(1.9)
        _ = fixture.send(.granted(beat: 1, term: 1))
        #expect(fixture.engine.standing(at: second(1.9)) == .leased)
        #expect(fixture.engine.standing(at: second(2)) == .confirmed)
        #expect(fixture.engine.standing(at: second(3)) == .silent)
    }

    @Test func `nothing is said before the first grant or confirmation`() throws {
        var fixture = Fixture()
        _ = try fixture.assign(epoch: 1)
        _ = try fixture.state()
        #expect(fixture.engine.standing(at: fixture.machine) == .silent)
        #expect(try fixture.book(bid: 58, ask: 60).signals.isEmpty)
        _ = fixture.send(.reread([try Fixture.assigned(epoch: 1)], asked: fixture.machine))
        #expect(fixture.engine.standing(at: fixture.machine) == .confirmed)
        #expect(try fixture.book(bid: 58, ask: 60).signals.count == 1)
    }

    @Test func `without a grant the database is asked every half second`() throws {
        var fixture = try Fixture.watching()
        var asked: [MachineInstant] = []
        for tick in 0..<40 {
            fixture.machine = second(Double(tick) / 10)
            asked += fixture.send(.tick).questions
        }
        #expect(asked == [second(2), second(2.5), second(3), second(3.5)])
    }

    @Test func `the owner goes on, marked degraded, for as long as the database answers`() throws {
        var fixture = try Fixture.watching()
        for tick in 1...300 {
            fixture.machine = second(Double(tick) / 10)
            for question in fixture.send(.tick).questions {
                _ = fixture.send(.epochsAnswered(["nba-401869369": .first], asked: question))
            }
            #expect(fixture.engine.standing(at: fixture.machine) == (tick < 20 ? .leased : .confirmed))
        }
        #expect(try fixture.book(bid: 58, ask: 60).signals.count == 1)
    }

    @Test func `one second without an answer silences, and keeps books warm`() throws {
        var fixture = try Fixture.watching()
        fixture.machine = second(2.9)
        #expect(fixture.engine.standing(at: fixture.machine) == .confirmed)
        fixture.machine = second(3)
        let silent = try fixture.book(bid: 58, ask: 60)
        #expect(silent.reasons == [.notAuthorised] && silent.prices.isEmpty && silent.followed == nil)
        #expect(fixture.engine.watched.count == 1)
        _ = fixture.send(.epochsAnswered(["nba-401869369": .first], asked: fixture.machine))
        #expect(try fixture.state().signals.count == 1)
    }

    @Test func `a process that was stopped wakes up silent`() throws {
        var fixture = try Fixture.watching()
        fixture.machine = second(60)
        #expect(try fixture.book(bid: 58, ask: 60).reasons == [.notAuthorised])
    }

    // CHECKLIST N22: an outage of the database ends the lease, and loses no observation.
    @Test func `a silent shard says nothing and still stores what it sees, unless the game is another's`() throws {
        var fixture = try Fixture.watching()
        fixture.machine = second(60)
        let effects = try fixture.state(home: 99, play: "play-2")
        #expect(effects.stored.map(\.homeScore) == [99] && effects.published.isEmpty && effects.signals.isEmpty)
        let again = try fixture.state(home: 99, play: "play-2")
        #expect(again.stored.isEmpty)
        _ = try fixture.assign(epoch: 1, game: "other")
        _ = fixture.send(.epochsAnswered(["other": .first], asked: fixture.machine))
        let lost = try fixture.state(home: 101, play: "play-3")
        #expect(lost.stored.isEmpty)
    }

    @Test func `a game that the database gives to another is silent, the others are not`() throws {
        var fixture = try Fixture.watching()
        _ = try fixture.assign(epoch: 1, game: "other")
        _ = fixture.send(.epochsAnswered(["other": .first], asked: second(0.1)))
        #expect(try fixture.book(bid: 58, ask: 60).reasons == [.notAuthorised])
        #expect(fixture.engine.watched.count == 2)
        _ = try fixture.state(game: "other")
        #expect(try fixture.book("other-KXNBAGAME-26APR20TORCLE-CLE", bid: 58, ask: 60).signals.count == 1)
        // The same command again does not bring it back; a newer epoch does.
        _ = try fixture.assign(epoch: 1)
        #expect(try fixture.book(bid: 58, ask: 60).reasons == [.notAuthorised])
        _ = try fixture.assign(epoch: 2)
        #expect(try fixture.book(bid: 58, ask: 60).signals.count == 1)
    }

    @Test func `an answer older than an assignment does not take it away`() throws {
        var fixture = try Fixture.watching()
        let asked = fixture.machine
        fixture.pass(0.5)
        _ = try fixture.assign(epoch: 2)
        _ = fixture.send(.epochsAnswered([:], asked: asked))
        _ = try fixture.state()
        #expect(try fixture.book(bid: 58, ask: 60).signals.count == 1)
    }

    @Test func `a newer epoch in the answer is taken over, an unknown game is read again`() throws {
        var fixture = try Fixture.watching()
        let answer = fixture.send(
            .epochsAnswered(["nba-401869369": try Epoch(5), "other": .first], asked: second(0.1)))
        #expect(answer.contains(.rereadAssignments))
        #expect(try fixture.book(bid: 58, ask: 60).signals.first?.epoch.number == 5)
    }

    @Test func `grants of an older term or an unknown heartbeat are not taken`() throws {
        var fixture = Fixture()
        _ = fixture.send(.heartbeatSent(beat: 1))
        _ = fixture.send(.granted(beat: 1, term: 2))
        fixture.machine = second(1)
        _ = fixture.send(.heartbeatSent(beat: 2))
        #expect(fixture.send(.granted(beat: 2, term: 1)).oddities == [.olderTerm])
        #expect(fixture.send(.granted(beat: 9, term: 2)).oddities == [.unknownBeat])
        #expect(fixture.engine.standing(at: second(2.5)) == .confirmed)
    }
}
