import Domain
import Foundation
import TestKit
import Testing

@testable import Venues

@Suite struct ScoreboardTests {
    private func decode(_ text: String, _ sport: Sport = .nba) throws -> Scoreboard {
        try ScoreboardDecoder.decode(Array(text.utf8), sport: sport, observedAt: ShownTime.start)
    }

    private func event(
        id: String = #""401""#, status: String = "STATUS_IN_PROGRESS", clock: String = #""displayClock":"11:43","#,
        home: String = #""score":"87","#, situation: String = ""
    ) -> String {
        """
        {"id":\(id),"date":"2026-04-20T23:00Z","status":{\(clock)"period":4,"type":{"name":"\(status)","state":"in"}},
        "competitions":[{"competitors":[
        {"homeAway":"away","score":"90","team":{"id":"19","abbreviation":"ORL","displayName":"Orlando Magic"}},
        {"homeAway":"home",\(home)"team":{"id":"18","abbreviation":"NY","displayName":"New York Knicks"}}
        ]\(situation)}]}
        """
    }

    @Test func `a live game is read, whichever side comes first`() throws {
        let board = try decode(
            """
            {"events":[\(event(situation: #"""
                ,"situation":{"possession":"18","lastPlay":{"id":"401810212522",
                "probability":{"homeWinPercentage":0.961}}}
                """#))]}
            """)
        let scored = try #require(board.games.first)
        #expect(board.errors.isEmpty)
        #expect(
            scored.game.id == "401" && scored.game.home.abbreviation == "NY" && scored.game.away.name == "Orlando Magic"
        )
        #expect(scored.game.scheduledAt == (try VenueInstant(rfc3339: "2026-04-20T23:00:00Z")))
        #expect(scored.state.status == .live && scored.state.homeScore == 87 && scored.state.awayScore == 90)
        #expect(scored.state.clockSeconds == 703 && scored.state.period == 4 && scored.state.possession == .home)
        #expect(scored.state.play == "401810212522")
        #expect(scored.state.sourceHomeProbability == (try Probability(0.961)))
        #expect(scored.state.observedAt == ShownTime.start)
    }

    @Test(arguments: [
        ("11:43", 703.0), ("27.6", 27.6), ("0.0", 0.0), ("0:00", 0.0), ("1:05.5", 65.5), ("20:00", 1_200.0),
    ])
    func `clocks are read`(_ text: String, _ seconds: Double) {
        #expect(ScoreboardDecoder.seconds(text) == seconds)
    }

    @Test(arguments: ["", ":", "1:60", "-1:00", "1:2:3", "x", "999:00", "45'"])
    func `a clock that is none is nil`(_ text: String) {
        #expect(ScoreboardDecoder.seconds(text) == nil)
    }

    @Test func `fields may vanish`() throws {
        let board = try decode("{\"events\":[\(event(clock: ""))]}")
        #expect(board.games.first?.state.clockSeconds == nil)
        #expect(board.games.first?.state.play == nil)
        #expect(board.games.first?.state.possession == nil)
    }

    @Test func `one bad event does not cost the others`() throws {
        let broken = [
            event(status: "STATUS_ALIEN_INVASION"), event(home: ""), event(home: #""score":"many","#), "{}",
            event(id: #""a b""#), "7",
        ]
        let board = try decode("{\"events\":[\(broken.joined(separator: ",")),\(event(id: "\"402\""))]}")
        #expect(board.games.map(\.game.id) == ["402"])
        #expect(
            board.errors.map(\.code) == [
                .unknownStatus, .missingField, .invalidField, .missingField, .invalidField, .missingField,
            ])
        #expect(board.errors.map(\.field).prefix(2) == ["STATUS_ALIEN_INVASION", "home.score"])
    }

    @Test func `a game that has not begun needs no score`() throws {
        let board = try decode("{\"events\":[\(event(status: "STATUS_SCHEDULED", home: ""))]}")
        #expect(board.games.first?.state.status == .scheduled && board.games.first?.state.homeScore == 0)
    }

    @Test func `an answer without events is an error`() {
        for text in ["", "[]", "{}", "<html>", #"{"events":{}}"#] {
            #expect(throws: VenueError.self) { try decode(text) }
        }
    }

    @Test func `a scoreboard is fetched from its sport's path and stamped with the venue's time`() async throws {
        let body = "{\"events\":[\(event())]}"
        let server = try await ScriptedServer { _, number in
            number == 0
                ? .reply(status: 200, body: body, headers: ["X-Venue-Time": "1790000000000000"])
                : .reply(status: 503, body: "<html></html>")
        }
        let http = Fixture.http()
        let client = ScoreboardClient(
            baseURL: "http://127.0.0.1:\(server.port)/sports", http: http, time: ShownTime().time)
        let board = try await client.scoreboard(.nba, day: CivilDate(daysSince1970: 20_563))
        #expect(board.observedAt.microseconds == 1_790_000_000_000_000)
        #expect(board.games.first?.state.observedAt == board.observedAt)
        #expect(server.requests[0].path == "/sports/basketball/nba/scoreboard?dates=20260420")
        let error = await #expect(throws: VenueError.self) { try await client.scoreboard(.nba) }
        #expect(error?.code == .serverError)
        await http.shutdown()
        await server.stop()
    }

    @Test(
        .enabled(if: SharedData.isThere, "\(SharedData.reason)"),
        arguments: [
            ("nfl_scoreboard_20251207T185945Z", Sport.nfl, 14, 8), ("nfl_scoreboard_20251207T190037Z", .nfl, 14, 8),
            ("nba_scoreboard_20251207T190038Z", .nba, 7, 1), ("ncaaf_scoreboard_20251207T190037Z", .ncaaf, 6, 0),
            ("nhl_scoreboard_2022_teamtracker", .nhl, 10, 5), ("mlb_scoreboard_2022_teamtracker", .mlb, 17, 3),
        ])
    func `recorded scoreboards are read whole`(_ file: String, _ sport: Sport, _ events: Int, _ live: Int) throws {
        let board = try ScoreboardDecoder.decode(
            Recorded.unzipped("espn/\(file).json.gz"), sport: sport, observedAt: ShownTime.start)
        #expect(board.errors.isEmpty, "\(board.errors)")
        #expect(board.games.count == events)
        #expect(board.games.filter { $0.state.status == .live }.count >= live)
        for game in board.games where game.state.status == .live {
            #expect((game.state.clockSeconds == nil) == (sport == .mlb))
            #expect(game.state.period > 0)
        }
    }

    @Test(.enabled(if: SharedData.isThere, "\(SharedData.reason)"))
    func `the recorded games move on`() throws {
        let boards = try ["185945Z", "190037Z"].map {
            try ScoreboardDecoder.decode(
                Recorded.unzipped("espn/nfl_scoreboard_20251207T\($0).json.gz"), sport: .nfl,
                observedAt: ShownTime.start)
        }
        let before = try #require(boards[0].games.first { $0.game.home.abbreviation == "ATL" }?.state)
        let after = try #require(boards[1].games.first { $0.game.home.abbreviation == "ATL" }?.state)
        #expect(before.clockSeconds == 360 && after.clockSeconds == 349)
        #expect(before.sourceHomeProbability == (try Probability(0.4311)))
        #expect(after.possession == .home && after.play != before.play)
    }
}
