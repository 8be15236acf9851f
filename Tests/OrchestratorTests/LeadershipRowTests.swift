import Domain
import Hosting
import OrchestratorEngine
import Postgres
import Resilience
import Runtime
import TestKit
import Testing

@testable import Orchestrator

/// The leadership row, and what a leader whose term is over can still do to the database: nothing.
@Suite struct LeadershipRowTests {
    /// One orchestrator's way to the database.
    private struct Candidate {
        let leadership: Leadership
        let store: AssignmentStore
        let pool: PostgresPool

        init(_ name: String, _ database: TestDatabase, lasting: String, life: String? = nil) {
            let environment = database.environment.merging(["LEADERSHIP_TTL_SECS": lasting]) { $1 }
            let settings = OrchestratorSettings(SettingsReader(environment: environment))
            pool = PostgresPool(
                settings: settings.host.database, application: name, clock: .real, random: .system,
                log: LogCapture().logger(), metrics: MetricsRegistry())
            leadership = Leadership(
                database: pool, holder: "orchestrator/\(name)/\(life ?? "life-of-\(name)")", settings: settings)
            store = AssignmentStore(database: pool, leadership: leadership)
        }

        func acquire() async throws -> (term: Int64, before: Leadership.Holder)? {
            try await leadership.acquire(clock: .real)
        }

        func take(within limit: Duration) async throws -> (term: Int64, before: Leadership.Holder) {
            var found: (term: Int64, before: Leadership.Holder)?
            try await eventually(within: limit, "the term") {
                // Refused while the other's transaction holds the row; asked again as the watch does.
                found = try? await acquire()
                return found != nil
            }
            return try #require(found)
        }
    }

    private func game() throws -> Game {
        try Game(
            id: "g1", sport: .nba, home: Team(name: "Cleveland", abbreviation: "CLE"),
            away: Team(name: "Toronto", abbreviation: "TOR"), scheduledAt: VenueInstant(rfc3339: "2026-04-20T23:00Z"))
    }

    private func change(epoch: Int64) throws -> AssignmentChange {
        AssignmentChange(
            game: try game(), status: .live, markets: [], from: nil,
            to: Seat(shard: "shard-01", epoch: try Epoch(epoch)), reason: .first)
    }

    /// `lasting`: seconds for which a term is written; so long that it never ends by itself, unless a test wants that.
    private func withTwo(
        lasting: String = "600", _ body: (Candidate, Candidate, TestDatabase) async throws -> Void
    ) async throws {
        try await withPostgres { database in
            let first = Candidate("a", database, lasting: lasting)
            let second = Candidate("b", database, lasting: lasting)
            try await Migrations.run(first.pool)
            try await body(first, second, database)
            await first.pool.close()
            await second.pool.close()
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `of a commit that nobody waits for any more the outcome is told, and not what was before`() async throws {
        try await withTwo { first, second, database in
            _ = try #require(try await first.acquire())
            _ = try await first.store.commit([change(epoch: 1)], term: 1)
            let (isWritten, mayEnd) = (Promise<Bool>(), Promise<Bool>())
            async let hanging: Void = second.pool.transaction("hangs") { transaction in
                _ = try await transaction.query("SELECT term FROM leadership FOR SHARE")
                try await transaction.execute("UPDATE assignments SET shard = 'shard-02', epoch = 2")
                isWritten.fulfil(true)
                _ = await mayEnd.value()
            }
            // Also where an expectation below is missed: the scope ends with it.
            defer { mayEnd.fulfil(true) }
            _ = await isWritten.value()
            let asking = Task { try? await first.store.owners(of: ["g1"]) }
            try await eventually(within: .seconds(30), "who asks waits for the row") {
                try await !second.pool.query(
                    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%NO KEY UPDATE%'"
                ).isEmpty
            }
            mayEnd.fulfil(true)
            try await hanging
            let now = ["g1": Seat(shard: "shard-02", epoch: try Epoch(2))] as [GameID: Seat]
            // Nil where the machine was so busy that the question ran out of time.
            let told = await asking.value
            #expect(told == nil || told == now)
            try await eventually(within: .seconds(30), "the outcome") {
                try await first.store.owners(of: ["g1"]) == now
            }
        }
    }

    // CHECKLIST N35.
    @Test(.timeLimit(.minutes(4)))
    func `one leads, the other takes over when the term has run out, and the old one can store nothing`() async throws {
        try await withTwo { first, second, database in
            let led = try #require(try await first.acquire())
            #expect(led.term == 1 && led.before.incarnation == nil)
            let refused = try await second.acquire() == nil
            #expect(refused)
            _ = try await first.store.commit([change(epoch: 1)], term: 1)

            // The first is stopped: it renews nothing, and still believes when it goes on.
            try await database.run(sql: "UPDATE leadership SET expires_at = clock_timestamp()")
            #expect(first.leadership.term(at: MachineClock.real.now) == 1)
            let taken = try await second.take(within: .seconds(30))
            #expect(taken.term == 2 && taken.before.incarnation == "life-of-a")
            await #expect(throws: Leadership.Lost.self) {
                _ = try await first.store.commit([change(epoch: 2)], term: 1)
            }
            await #expect(throws: Leadership.Lost.self) {
                try await first.store.upsert(game(), .final, nil, term: 1)
            }
            await #expect(throws: Leadership.Lost.self) {
                _ = try await first.store.release("g1", .final, nil, from: nil, term: 1)
            }
            // Nor by another's term.
            await #expect(throws: Leadership.Lost.self) {
                _ = try await first.store.commit([change(epoch: 2)], term: 2)
            }
            let isRenewed = try await first.leadership.renew(1, clock: .real)
            #expect(!isRenewed)
            #expect(first.leadership.term(at: MachineClock.real.now) == nil)
            let rows = try await database.run(
                sql: """
                    SELECT shard || '/' || epoch || '/' || state FROM assignments;
                    SELECT 'moves ' || count(*) FROM assignment_log
                    """)
            #expect(rows.contains("shard-01/1/assigned") && rows.contains("moves 1"), "\(rows)")
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `a leader that is stopped within a transaction holds nobody up, and the transaction aborts`() async throws {
        try await withTwo(lasting: "5") { first, second, database in
            let term = try await first.acquire()?.term
            #expect(term == 1)
            let entered = Promise<Bool>()
            let goOn = Promise<Bool>()
            let leadership = first.leadership
            let pool = first.pool
            let game = try game()
            // Awaited below.
            let transaction = Task {
                // Whoever waits must not wait for ever.
                defer { entered.fulfil(false) }
                try await pool.retryingTransaction("stopped") { transaction in
                    try await leadership.require(1, in: transaction)
                    entered.fulfil(true)
                    _ = await goOn.value()
                    try await transaction.execute(
                        """
                        INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                            scheduled_at, status)
                        VALUES (\(game.id.rawValue), 'nba', 'x', 'X', 'y', 'Y', 0, 'live')
                        """)
                }
            }
            #expect(await entered.value())
            // The default of the sessions is 15 s.
            let taken = try await second.take(within: .seconds(12))
            #expect(taken.term == 2)
            goOn.fulfil(true)
            await #expect(throws: (any Error).self) { try await transaction.value }
            let rows = try await database.run(sql: "SELECT 'games ' || count(*) FROM games")
            #expect(rows.contains("games 0"))
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `who resigns is followed at once`() async throws {
        try await withTwo { first, second, _ in
            let term = try await first.acquire()?.term
            #expect(term == 1)
            await first.leadership.resign()
            #expect(first.leadership.heldUntil == nil)
            let next = try await second.acquire()?.term
            #expect(next == 2)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `who is deaf offers its term: one that hears takes it and the old one stores nothing, else it goes on`()
        async throws
    {
        try await withTwo { first, second, database in
            #expect(try await first.acquire()?.term == 1)
            // Nobody wants it: offered it stores nothing, reclaimed it is the same term.
            await first.leadership.offer(1)
            #expect(first.leadership.term(at: MachineClock.real.now) == nil)
            await #expect(throws: Leadership.Lost.self) {
                _ = try await first.store.commit([change(epoch: 1)], term: 1)
            }
            // Another that is deaf lets it lie.
            let toTheDeaf = try await second.leadership.acquire(patience: Candidacy.reserve, clock: .real)
            #expect(toTheDeaf == nil)
            #expect(try await !second.leadership.isAnothers())
            #expect(try await first.leadership.renew(1, clock: .real))
            #expect(first.leadership.term(at: MachineClock.real.now) == 1)
            _ = try await first.store.commit([change(epoch: 1)], term: 1)

            await first.leadership.offer(1)
            let taken = try await second.acquire()
            #expect(taken?.term == 2 && taken?.before.incarnation == "life-of-a")
            #expect(try await !first.leadership.renew(1, clock: .real))
            #expect(first.leadership.heldUntil == nil)
            #expect(try await first.leadership.isAnothers())
            await #expect(throws: Leadership.Lost.self) {
                _ = try await first.store.commit([change(epoch: 2)], term: 1)
            }
            let rows = try await database.run(sql: "SELECT 'moves ' || count(*) FROM assignment_log")
            #expect(rows.contains("moves 1"))
        }
    }

    // A loaded machine changes no leader.
    @Test(.timeLimit(.minutes(4)))
    func `who renews too late goes on under its term while nobody took it, and stores nothing in between`() async throws
    {
        try await withTwo(lasting: "3") { first, second, database in
            #expect(try await first.acquire()?.term == 1)
            try await eventually(within: .seconds(20), "the term has run out") {
                let row = try await database.run(
                    sql: "SELECT 'over' FROM leadership WHERE expires_at <= clock_timestamp()")
                return row.contains("over") && first.leadership.term(at: MachineClock.real.now) == nil
            }
            await #expect(throws: Leadership.Lost.self) {
                _ = try await first.store.commit([change(epoch: 1)], term: 1)
            }
            #expect(first.leadership.taken == 1)
            #expect(try await first.leadership.renew(1, clock: .real))
            let isRefused = try await second.acquire() == nil
            #expect(isRefused)
            _ = try await first.store.commit([change(epoch: 1)], term: 1)

            let taken = try await second.take(within: .seconds(30))
            #expect(taken.term == 2)
            #expect(try await !first.leadership.renew(1, clock: .real))
            #expect(first.leadership.taken == nil)
        }
    }

    // Else the next life of one that leads alone would end its alerts with a word about another.
    @Test(.timeLimit(.minutes(4)))
    func `an earlier life of the same orchestrator is no other leader`() async throws {
        try await withTwo { first, second, database in
            let next = Candidate("a", database, lasting: "600", life: "life-2")
            let term = try await first.acquire()?.term
            #expect(term == 1)
            let (isAnothers, isOurs) = (
                try await second.leadership.isAnothers(), try await !next.leadership.isAnothers()
            )
            #expect(isAnothers && isOurs)
            await next.pool.close()
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `who resigns while its term is offered takes it back no more`() async throws {
        try await withTwo { first, second, _ in
            let term = try await first.acquire()?.term
            #expect(term == 1)
            await first.leadership.offer(1)
            await first.leadership.resign()
            let isReclaimed = try await first.leadership.renew(1, clock: .real)
            #expect(!isReclaimed)
            let next = try await second.acquire()?.term
            #expect(next == 2)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `who has resigned neither takes nor keeps the row, whoever still asks for it`() async throws {
        try await withTwo { first, second, _ in
            let term = try await first.acquire()?.term
            #expect(term == 1)
            await first.leadership.resign()
            // The watch runs on until it is cancelled.
            let again = try await first.acquire()?.term
            #expect(again == nil)
            let isRenewed = try await first.leadership.renew(1, clock: .real)
            #expect(!isRenewed && first.leadership.heldUntil == nil)
            let next = try await second.acquire()?.term
            #expect(next == 2)

            // Also who resigns as a standby.
            await second.leadership.resign()
            let third = try await second.acquire()?.term
            #expect(third == nil)
        }
    }

    @Test(.timeLimit(.minutes(4)))
    func `what is wanted is of one moment: no game is read without the markets stored with it`() async throws {
        try await withTwo { first, second, _ in
            let count = 300
            let pool = first.pool
            // Awaited below.
            let writing = Task {
                for number in 0..<count {
                    try await pool.retryingTransaction("game \(number)") { transaction in
                        try await transaction.execute(
                            """
                            INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name,
                                away_abbreviation, scheduled_at, status)
                            VALUES (\("g\(number)"), 'nba', 'Cleveland', 'CLE', 'Toronto', 'TOR', 0, 'live')
                            """)
                        try await transaction.execute(
                            """
                            INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team,
                                price_step, status)
                            VALUES (\("m\(number)"), 'kalshi', \("g\(number)"), 'E', 'T', 'home',
                                'linear_cent', 'active')
                            """)
                    }
                }
            }
            var seen = 0
            var bare: [GameID] = []
            while seen < count, !Task.isCancelled {
                let games = try await second.store.desired()
                bare += games.filter(\.markets.isEmpty).map(\.game.id)
                seen = games.count
            }
            try await writing.value
            #expect(bare.isEmpty)
        }
    }
}
