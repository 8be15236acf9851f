import Domain
import Hosting
import OrchestratorEngine
import Postgres
import Resilience
import Runtime
import TestKit
import Testing

@testable import Orchestrator

/// The games of the coming days (CHECKLIST R55).
@Suite struct ScheduleTests {
    private func shown(
        _ id: GameID, at time: String = "2026-04-24T23:00Z", _ status: GameStatus = .scheduled,
        home: String = "Cleveland"
    ) throws -> ScoreboardGame {
        let game = try Game(
            id: id, sport: .nba, home: Team(name: home, abbreviation: "CLE"),
            away: Team(name: "Toronto", abbreviation: "TOR"), scheduledAt: VenueInstant(rfc3339: time))
        return ScoreboardGame(game: game, status: status, score: nil)
    }

    private func own(_ game: ScoreboardGame, epoch: Int64 = 1) throws -> AssignmentChange {
        AssignmentChange(
            game: game.game, status: .live, markets: [], from: nil,
            to: Seat(shard: "shard-01", epoch: try Epoch(epoch)), reason: .first)
    }

    @Test func `a week is asked for, by the feed's own days`() throws {
        let late = try VenueInstant(rfc3339: "2026-04-21T03:30:00Z")
        let days = ScheduleSync.days(from: late).map(\.description)
        #expect(days.count == 8 && days.first == "2026-04-20" && days.last == "2026-04-27")
    }

    @Test(.timeLimit(.minutes(4)))
    func `rows equal the feed, no status goes back, and games that are watched are left alone`() async throws {
        try await withPostgres { database in
            let settings = OrchestratorSettings(SettingsReader(environment: database.environment))
            let pool = PostgresPool(
                settings: settings.host.database, application: "schedule", clock: .real, random: .system,
                log: LogCapture().logger(), metrics: MetricsRegistry())
            try await Migrations.run(pool)
            let leadership = Leadership(database: pool, holder: "orchestrator/1/life", settings: settings)
            let term = try await leadership.acquire(clock: .real)?.term
            #expect(term == 1)
            let store = ScheduleStore(database: pool, leadership: leadership)
            let assignments = AssignmentStore(database: pool, leadership: leadership)
            func sync(_ games: [ScoreboardGame]) async throws -> Int { try await store.sync(games, term: 1) }
            func rows() async throws -> [String] {
                try await pool.query("SELECT game_id, home_name, scheduled_at, status FROM games ORDER BY game_id").map
                {
                    let day = try VenueInstant(microseconds: $0.int64("scheduled_at")).utcDay
                    return try "\($0.text("game_id")) \($0.text("home_name")) \(day) \($0.text("status"))"
                }
            }

            let first = try await sync([shown("g1"), shown("g2"), shown("g3")])
            let again = try await sync([shown("g1"), shown("g2"), shown("g3")])
            #expect(first == 3 && again == 0)
            // Nothing of it is wanted yet, whoever leads next.
            let desired = try await assignments.desired()
            #expect(desired.isEmpty)

            _ = try await assignments.commit([own(shown("g2"))], term: 1)
            _ = try await assignments.commit([own(shown("g3"))], term: 1)
            _ = try await assignments.release("g3", .final, nil, from: nil, term: 1)
            let changed = try await sync([
                shown("g1", at: "2026-04-25T23:00Z", home: "Cavaliers"),
                shown("g2", at: "2026-04-26T23:00Z", .cancelled),
                shown("g3"), shown("g3"),
            ])
            #expect(changed == 1)
            var seen = try await rows()
            #expect(
                seen == [
                    "g1 Cavaliers 2026-04-25 scheduled", "g2 Cleveland 2026-04-24 live",
                    "g3 Cleveland 2026-04-24 final",
                ])
            let owned = try await assignments.desired().map(\.game.id)
            #expect(owned == ["g2"])

            _ = try await sync([shown("g1", .postponed)])
            _ = try await sync([shown("g1")])
            seen = try await rows()
            #expect(seen.first == "g1 Cleveland 2026-04-24 postponed")
            await #expect(throws: Leadership.Lost.self) { _ = try await store.sync([shown("g9")], term: 2) }
            await pool.close()
        }
    }
}
