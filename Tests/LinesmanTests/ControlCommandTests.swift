import Foundation
import Runtime
import Testing

@testable import Linesman

@Suite struct ControlCommandTests {
    private func status(_ games: [(id: String, state: String, shard: String?, epoch: Int64)]) throws -> SuiteStatus {
        let rows = games.map { game in
            let shard = game.shard.map { "\"\($0)\"" } ?? "null"
            return """
                {"game": "\(game.id)", "name": "A at B", "status": "live", "state": "\(game.state)", "markets": [],
                 "shard": \(shard), "epoch": \(game.epoch)}
                """
        }
        let document = """
            {
              "fleet": {"isLeading": true, "term": 3, "shards": [], "services": [],
                        "games": [\(rows.joined(separator: ","))]},
              "checks": {}, "tradingMode": "paper", "venueTime": "2026-04-20T00:00:00Z", "recentAlerts": []
            }
            """
        return try JSONDecoder().decode(SuiteStatus.self, from: Data(document.utf8))
    }

    @Test func `a drain says what moves and what must wait`() throws {
        let games = try status([("g1", "watched", "s1", 1), ("g2", "watched", "s1", 1), ("g3", "watched", "s2", 1)])
            .games(on: "s1")
        let accepted = FleetControl.Accepted(games: 2, withoutRoom: 1)
        #expect(
            DrainCommand.plan("s1", games, accepted) == """
                s1 gets no more games; 2 games move away
                  g1  A at B
                  g2  A at B
                1 of them stays until another shard has room
                """)
        #expect(
            DrainCommand.plan("s1", [], FleetControl.Accepted(games: 0, withoutRoom: 0))
                == "s1 gets no more games; it has none")
    }

    @Test func `a drain is done when every game is watched elsewhere or over`() throws {
        func left(_ games: [(id: String, state: String, shard: String?, epoch: Int64)]) throws -> [String] {
            DrainCommand.unfinished(["g1", "g2"], of: "s1", try status(games)).map(\.game)
        }
        #expect(try left([("g1", "watched", "s1", 1), ("g2", "leaving", "s1", 1)]) == ["g1", "g2"])
        for state in ["waiting", "committing", "commanded"] {
            #expect(try left([("g1", state, "s2", 2), ("g2", "watched", "s2", 2)]) == ["g1"])
        }
        // One that is over is shown no more, one that is put off rests, and others' moves are not ours.
        #expect(try left([("g2", "resting", nil, 1), ("g3", "waiting", nil, 1)]) == [])
        // What came to the shard by a move that was under way counts too.
        #expect(try left([("g3", "watched", "s1", 1)]) == ["g3"])
    }

    @Test func `a reassignment is done under a higher epoch, whoever has the game`() throws {
        func outcome(_ state: String, _ shard: String, _ epoch: Int64) throws -> String? {
            ReassignCommand.outcome(of: "g1", since: 3, try status([("g1", state, shard, epoch)]))
        }
        #expect(try outcome("watched", "s1", 3) == nil)
        #expect(try outcome("commanded", "s2", 4) == nil)
        #expect(try outcome("watched", "s2", 4) == "g1 is watched by s2 under epoch 4")
        #expect(ReassignCommand.outcome(of: "g1", since: 3, try status([])) == "g1 has ended")
    }

    @Test func `a refusal's exit code says whose turn it is`() {
        func refusal(_ code: String) -> FleetControl.Refusal {
            FleetControl.refusal(status: 409, body: #"{"error":"\#(code)","message":"why"}"#)
        }
        for code in ["no_token", "wrong_token", "no_token_configured", "not_local"] {
            #expect(refusal(code).exitCode == 78)
        }
        for code in ["not_leading", "busy", "no_answer_in_time", "not_stored", "not_kept"] {
            #expect(refusal(code).exitCode == 69)
        }
        for code in ["unknown_shard", "no_room", "wrong_kind"] { #expect(refusal(code).exitCode == 1) }
        for code in ["already_drained", "not_drained", "already_there"] { #expect(refusal(code).isSatisfied) }
        #expect(!refusal("no_room").isSatisfied && refusal("no_room").message == "why")
        let strange = FleetControl.refusal(status: 502, body: "<html>")
        #expect(strange.exitCode == 1 && strange.message.contains("502"))
    }
}
