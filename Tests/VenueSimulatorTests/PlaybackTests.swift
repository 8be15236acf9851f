import Domain
import Foundation
import Testing

@testable import VenueSimulator

struct PlaybackTests {
    struct Seen: Hashable, Sendable {
        let venueTime: Int64
        let home: String
        let away: String
    }

    struct Outcome: Hashable, Sendable {
        var decisions: [String] = []
        var published: String = ""
        var profit: String = ""
    }

    /// A reader that decides by what it reads: at each new score it buys what is cheaper.
    static func play(speed: String) async throws -> Outcome {
        try await RunningSimulator.with(["SIMULATOR_SPEED": speed]) { venue in
            var outcome = Outcome()
            var last: [String] = []
            var handled: Int64?
            _ = try await venue.get("/apis/site/v2/sports/basketball/nba/scoreboard", reader: "shard")
            _ = try await venue.post("/control/start")
            while true {
                let answer = try await venue.get(
                    "/apis/site/v2/sports/basketball/nba/scoreboard", reader: "shard", handled: handled)
                let event = try #require(answer.json.list("events").first)
                let scores = event.list("competitions")[0].list("competitors").map { $0.text("score") }
                if event.object("status").object("type").text("state") == "in", scores != last {
                    last = scores
                    let ask = try await venue.get("/trade-api/v2/markets/\(Fixture.home)").json.object("market")
                        .text("yes_ask_dollars")
                    let placed = try await venue.order("bid", ask, "30.00", id: scores.joined(separator: "-"))
                    let filled = placed.json.text("fill_count")
                    outcome.decisions.append("\(answer.venueTime ?? 0) \(scores) \(ask) \(filled)")
                }
                handled = answer.venueTime
                if venue.simulator.state.withLockedValue(\.isFinished) { break }
            }
            let stats = try await venue.get("/control/stats").json
            outcome.profit = stats.object("account").text("profit")
            outcome.published = "\(stats.object("published").integer("orderbook_delta") ?? 0)"
            #expect(stats.integer("expired_holds") == 0)
            return outcome
        }
    }

    @Test func `a reader trades the same at speed 40 and at speed 4000`() async throws {
        let slow = try await Self.play(speed: "40")
        let fast = try await Self.play(speed: "4000")
        #expect(slow == fast)
        #expect(slow.decisions.count == 4)
    }

    @Test func `one that begins by itself waits for a shard, and for no other reader`() async throws {
        try await RunningSimulator.with(["SIMULATOR_STARTS_BY_ITSELF": "true"]) { venue in
            let path = "/apis/site/v2/sports/basketball/nba/scoreboard"
            _ = try await venue.get(path)
            #expect(venue.simulator.state.withLockedValue { $0.clock.phase } == .waiting)
            _ = try await venue.get(path, reader: "shard")
            #expect(venue.simulator.state.withLockedValue { $0.clock.phase } != .waiting)
        }
    }

    @Test func `the ready file names both ports`() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "ready-\(UUID().uuidString).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await RunningSimulator.with(["SIMULATOR_READY_FILE": path]) { venue in
            try await eventually { FileManager.default.fileExists(atPath: path) }
            let ready = JSONObject(try String(contentsOfFile: path, encoding: .utf8))
            #expect(ready.integer("http") == Int64(venue.http))
            #expect(ready.integer("ws") == Int64(venue.webSocket))
            #expect(ready.integer("pid") == Int64(ProcessInfo.processInfo.processIdentifier))
        }
    }

    @Test func `settings out of range are refused together`() {
        let reader = SettingsReaderProbe.problems([
            "SIMULATOR_SPEED": "0", "SIMULATOR_DUPLICATES": "maybe", "SIMULATOR_HOLD_MS": "99",
        ])
        #expect(reader == ["SIMULATOR_DUPLICATES", "SIMULATOR_HOLD_MS", "SIMULATOR_SPEED"])
    }
}
