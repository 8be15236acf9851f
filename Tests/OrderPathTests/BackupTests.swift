import Domain
import ExecutionServiceEngine
import Foundation
import Hosting
import Postgres
import Servers
import SignalProcessorEngine
import TestKit
import Testing

@testable import ExecutionService
@testable import SignalProcessor

/// Back-up and restore by the very commands that docs/OPERATIONS.md gives an operator.
struct BackupTests {
    @Test func `what is dumped and restored as documented is the same to the row, and is traded on`() async throws {
        try await withOwnPostgres { server in
            let directory = try TemporaryDirectory("backup")
            defer { directory.remove() }
            let dump = "\(directory.path)/linesman.dump"
            let books = try await tradedBooks(on: server)
            let save = try "\(documented("pg_dump")) > \(dump)"
            try await run(save, on: "linesman", of: server)

            try await server.createDatabase("restored")
            let restore = try "\(documented("pg_restore")) < \(dump)"
            try await run(restore, on: "restored", of: server)
            let first = try makeRig("restored", of: server)
            try await expectSame(first, books)
            // As an operator does it: over a database that is there, and wrong.
            try await first.force("DELETE FROM fills")
            try await first.force("UPDATE bankroll SET cash = cash - 1")
            try await first.pool.execute("INSERT INTO ticks (at, market_id, yes_bid) VALUES (1, 'm', 4000)")
            let (wrong, right) = (try await digests(first), try await digests(books))
            #expect(wrong != right)
            await first.pool.close(grace: .milliseconds(100))

            try await run(restore, on: "restored", of: server)
            let restored = try makeRig("restored", of: server)
            try await expectSame(restored, books)
            try await expectTradedOn(restored)
            await restored.pool.close(grace: .milliseconds(100))
            await books.pool.close(grace: .milliseconds(100))
        }
    }

    @Test func `a new server goes on with a dump when its transactions are counted on first, as documented`()
        async throws
    {
        try await withOwnPostgres { server in
            let directory = try TemporaryDirectory("backup")
            defer { directory.remove() }
            let dump = "\(directory.path)/linesman.dump"
            // A server that has been at work for longer than the one that follows it.
            try await server.run(
                sql: "DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$",
                database: "linesman")
            let books = try await tradedBooks(on: server)
            let (save, restore) = try ("\(documented("pg_dump")) > \(dump)", "\(documented("pg_restore")) < \(dump)")
            try await run(save, on: "linesman", of: server)

            try await withOwnPostgres { next in
                try await run(restore, on: "linesman", of: next)
                let restored = try makeRig("linesman", of: next)
                try await expectSame(restored, books)
                let ahead: SQL = "SELECT count(*) AS n FROM audit_log WHERE writer > pg_current_xact_id()"
                #expect(try await restored.number(ahead) > 0, "nothing to count on")
                let count = try documentedCount()
                try await next.run(sql: count, database: "linesman")
                #expect(try await restored.number(ahead) == 0)
                try await expectTradedOn(restored)
                await restored.pool.close(grace: .milliseconds(100))
            }
            await books.pool.close(grace: .milliseconds(100))
        }
    }

    // MARK: - What is documented

    private func operations() throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try String(contentsOf: root.appending(path: "docs/OPERATIONS.md"), encoding: .utf8)
    }

    /// The command that a container's shell is given there to run this program.
    private func documented(_ program: String) throws -> String {
        let commands = try operations().matches(of: #/'(PGPASSWORD=[^'\n]+)'/#).map { String($0.1) }
            .filter { $0.contains(" \(program) ") }
        #expect(commands.count == 1, "\(commands)")
        return try #require(commands.first, "docs/OPERATIONS.md has no command with \(program)")
    }

    private func documentedCount() throws -> String {
        let found = try operations().firstMatch(of: #/DO \$\$[^$]+\$\$/#)
        let block = try #require(found, "docs/OPERATIONS.md does not say how to count on")
        return String(block.0)
    }

    /// Runs a command as a container of PostgreSQL would.
    private func run(_ command: String, on database: String, of server: PrivatePostgres) async throws {
        _ = try server.program("pg_restore")
        let programs = URL(filePath: try server.program("pg_dump")).deletingLastPathComponent().path
        let (status, output) = try await ChildProcess.run(
            "/bin/sh", ["-c", command],
            environment: [
                "PATH": "\(programs):/usr/bin:/bin", "PGPORT": "\(server.port)", "POSTGRES_USER": PrivatePostgres.user,
                "POSTGRES_PASSWORD": server.password.value, "POSTGRES_DB": database, "LC_ALL": "C",
            ], timeout: .seconds(300))
        try #require(status.isSuccess, "\(command): \(output)")
    }

    // MARK: - Books

    private func makeRig(_ database: String, of server: PrivatePostgres) throws -> Rig {
        try Rig(url: server.socketURL(database: database), tcp: server.url(database: database))
    }

    /// Some of everything that the order path writes, all but the last row of the audit log sealed.
    private func tradedBooks(on server: PrivatePostgres) async throws -> Rig {
        let rig = try makeRig("linesman", of: server)
        try await Migrations.run(rig.pool)
        try await rig.account.open(with: .dollars(1_000), rig.pool)
        for game in ["game-1", "game-2"] as [GameID] { try await rig.addGame(game) }
        try await process("s2", in: "game-2", rig)
        try await process("s3", in: "game-9", rig)
        try await rig.buy(96, at: 50, OrderStore(pool: rig.pool, account: rig.account, statistics: rig.statistics))
        // What a dump could spoil: a fraction to its last digit, and text of every kind.
        try await rig.pool.execute(
            """
            INSERT INTO game_states (game_id, venue_at, home_score, away_score, period, home_probability)
            VALUES ('game-1', 1, 0, 0, 2, 0.1::float8 + 0.2::float8)
            """)
        try await seal(rig)
        let details = #"{"said": "a \"quote\", a \\ and a\nline, Zoë, 🏀", "n": 12345678901234567890}"#
        try await rig.pool.execute(
            "INSERT INTO audit_log (event, details) VALUES ('limit_changed', \(details)::text::jsonb)")
        for table in [
            "signals", "reservations", "intents", "orders", "fills", "positions", "bankroll", "outbox", "audit_log",
        ] {
            #expect(try await rig.number(SQL(raw: "SELECT count(*) AS n FROM \(table)")) > 0, "\(table) is empty")
        }
        return rig
    }

    private func process(_ id: SignalID, in game: GameID, _ rig: Rig) async throws {
        let store = SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
        let engine = SignalProcessorEngine(limits: TradingLimits())
        _ = try await store.process(try rig.signal(id, game: game), trace: nil, engine: engine, at: tipOff)
    }

    private func seal(_ rig: Rig) async throws {
        let chain = AuditChain(rig.pool)
        try await eventually("everything is sealed") {
            while case .sealed(_, isWhole: false) = try await chain.seal() {}
            return try await chain.backlog().rows == 0
        }
    }

    // MARK: - The same

    /// Of each table the number of rows and a checksum of all of them.
    private func digests(_ rig: Rig) async throws -> [String: String] {
        let tables = try await rig.pool.query(
            """
            SELECT relname::text AS name FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1
            """
        ).map { try $0.text("name") }
        var found: [String: String] = [:]
        for table in tables {
            let digest = SQL(
                raw: """
                    SELECT count(*)::text || ' rows, '
                        || md5(coalesce(string_agg(one::text, E'\\n' ORDER BY one::text), '')) AS t
                    FROM "\(table)" AS one
                    """)
            found[table] = try await rig.text(digest)
        }
        return found
    }

    /// What the schema has beside its tables, and how far its numbers have come.
    private func schema(_ rig: Rig) async throws -> [String] {
        try await rig.pool.query(
            """
            SELECT 'trigger ' || tgrelid::regclass::text || ' ' || tgname::text AS line
            FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL
            SELECT 'constraint ' || conrelid::regclass::text || ' ' || conname::text
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            UNION ALL
            SELECT 'index ' || indexname::text FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL
            SELECT 'function ' || proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
            UNION ALL
            SELECT 'sequence ' || sequencename::text || ' ' || coalesce(last_value::text, '-')
            FROM pg_sequences WHERE schemaname = 'public'
            ORDER BY 1
            """
        ).map { try $0.text("line") }
    }

    private func expectSame(
        _ restored: Rig, _ books: Rig, _ location: SourceLocation = #_sourceLocation
    ) async throws {
        let (theirs, ours) = (try await digests(restored), try await digests(books))
        #expect(ours.count > 30 && theirs.keys.sorted() == ours.keys.sorted(), sourceLocation: location)
        for (table, digest) in ours.sorted(by: { $0.key < $1.key }) {
            #expect(theirs[table] == digest, "\(table)", sourceLocation: location)
        }
        let (their, our) = (try await schema(restored), try await schema(books))
        #expect(our.count > 100 && their == our, sourceLocation: location)
        // Every migration is known, and none is left.
        let applied = try await Migrations.run(restored.pool)
        #expect(applied.isEmpty, "\(applied)", sourceLocation: location)
        let report = try await AuditChain(restored.pool).verify()
        #expect(report.findings.isEmpty && report.rows > 0, "\(report.findings)", sourceLocation: location)
        #expect(report.waiting == 1, "the row that was not sealed", sourceLocation: location)
        try await restored.expectBooksToBalance(location)
    }

    /// The suite goes on with it: rows are written under numbers of their own, and sealed behind those of before.
    private func expectTradedOn(_ rig: Rig) async throws {
        let before = try await rig.number("SELECT count(*) AS n FROM audit_log")
        try await process("s4", in: "game-1", rig)
        #expect(try await rig.number("SELECT count(*) AS n FROM signals WHERE signal_id = 's4'") == 1)
        #expect(try await rig.number("SELECT count(*) AS n FROM audit_log") > before)
        try await seal(rig)
        let report = try await AuditChain(rig.pool).verify()
        #expect(report.findings.isEmpty && report.waiting == 0 && report.rows > before, "\(report.findings)")
        try await rig.expectBooksToBalance()
    }
}
