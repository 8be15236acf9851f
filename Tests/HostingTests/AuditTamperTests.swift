import Postgres
import Testing

@testable import Hosting

/// What somebody who owns the database can do to the audit log, and what `linesman audit verify` says then.
@Suite struct AuditTamperTests {
    private struct Case: Sendable {
        let statement: String
        /// The kinds that are found, and a part of what is said.
        let kinds: Set<AuditFinding.Kind>
        let says: String

        init(_ statement: String, _ kinds: AuditFinding.Kind..., says: String) {
            self.statement = statement
            self.kinds = Set(kinds)
            self.says = says
        }
    }

    /// On a chain of eight rows with the ids 1 to 8.
    private static let cases: [Case] =
        [
            ("at", "'2020-01-01'"), ("at", "'infinity'"), ("at", "at + interval '1 microsecond'"),
            ("event", "'order_rejected'"), ("intent_id", "'other'"), ("intent_id", "NULL"), ("order_id", "''"),
            ("market_id", "'M'"), ("game_id", "NULL"), ("details", "'{}'"),
            ("details", #"details || '{"more": "1"}'"#), ("previous_hash", "hash"), ("previous_hash", "NULL"),
            ("previous_hash", "'\\x00'"),
        ].map { column, value in
            Case("UPDATE audit_log SET \(column) = \(value) WHERE id = 4", .edited, says: "row 4 at place 4")
        } + [
            Case("UPDATE audit_log SET id = 400 WHERE id = 4", .edited, says: "row 400 at place 4"),
            Case("UPDATE audit_log SET writer = NULL WHERE id = 4", .edited, .outOfOrder, says: "row 4 at place 4"),
            Case(
                "UPDATE audit_log SET hash = sha256('x') WHERE id = 4", .edited, .brokenLink, says: "row 4 at place 4"),
            Case("UPDATE audit_log SET hash = NULL WHERE id = 4", .missing, .halfSealed, says: "row 4 has a place"),
            Case(
                "UPDATE audit_log SET position = NULL WHERE id = 4", .missing, .halfSealed, says: "place 4 has no row"),
            Case(
                "UPDATE audit_log SET position = 40 WHERE id = 4", .edited, .missing, .outOfOrder, .endDiffers,
                says: "place 4 has"),
            Case(
                "UPDATE audit_log SET position = NULL, previous_hash = NULL, hash = NULL WHERE id = 4", .missing,
                .inserted, says: "row 4 is older than the end"),
            Case("DELETE FROM audit_log WHERE id = 1", .missing, says: "place 1 has no row"),
            Case("DELETE FROM audit_log WHERE id IN (4, 5)", .missing, says: "places 4 to 5 have no row"),
            Case(
                "DELETE FROM audit_log WHERE id >= 7", .missing, says: "places 7 to 8 have no row: removed at the end"),
            Case("TRUNCATE audit_log", .missing, says: "places 1 to 8 have no row"),
            Case(
                """
                CREATE TEMPORARY TABLE moved ON COMMIT DROP AS SELECT * FROM audit_log WHERE id IN (3, 6);
                UPDATE audit_log a SET at = m.at, event = m.event, details = m.details, writer = m.writer
                    FROM moved m WHERE a.id + m.id = 9 AND a.id IN (3, 6)
                """, .edited, .outOfOrder, says: "row 3 at place 3"),
            Case(
                """
                UPDATE audit_log SET position = -position WHERE id IN (3, 6);
                UPDATE audit_log SET position = 9 + position WHERE position < 0
                """, .edited, .outOfOrder, .brokenLink, says: "place 3"),
            Case(
                """
                INSERT INTO audit_log (id, event, writer) SELECT 100, 'put in', writer FROM audit_log WHERE id = 2
                """, .inserted, says: "row 100 is older than the end"),
            Case("UPDATE audit_chain SET hash = sha256('x')", .endDiffers, says: "the chain ends at place 8"),
            Case("UPDATE audit_chain SET position = 5", .endDiffers, says: "audit_chain says place 5"),
            Case("DELETE FROM audit_chain", .endDiffers, says: "audit_chain has no row"),
        ]

    private func prepare(_ database: AuditDatabase) async throws -> KeptHead {
        for number in 1...4 { try await database.write("a\(number)", "b\(number)") }
        try await database.sealAll()
        try await database.expectWhole(8)
        try await database.tamper(
            "ALTER TABLE audit_log DROP CONSTRAINT audit_log_position_check",
            "CREATE TABLE log_before AS TABLE audit_log", "CREATE TABLE chain_before AS TABLE audit_chain")
        return KeptHead(try await database.head(), keptAt: 1, source: "kept")
    }

    private func restore(_ database: AuditDatabase) async throws {
        try await database.tamper(
            "TRUNCATE audit_log, audit_chain", "INSERT INTO audit_log SELECT * FROM log_before",
            "INSERT INTO audit_chain SELECT * FROM chain_before")
    }

    @Test(.timeLimit(.minutes(2)))
    func `each change is found, and said of the row that it was made to`() async throws {
        try await AuditDatabase.run { database in
            _ = try await prepare(database)
            for tampering in Self.cases {
                try await database.tamper(tampering.statement)
                let report = try await database.chain.verify(page: 3)
                let kinds = Set(report.findings.map(\.kind))
                #expect(kinds == tampering.kinds, "\(tampering.statement): \(report.findings)")
                let isSaid = report.findings.contains { $0.text.contains(tampering.says) }
                #expect(isSaid, "\(tampering.statement): \(report.findings)")
                try await restore(database)
                #expect(try await database.chain.verify(page: 3).findings.isEmpty)
            }
        }
    }

    @Test func `a row put in under an old transaction is found also once it was sealed`() async throws {
        try await AuditDatabase.run { database in
            _ = try await prepare(database)
            try await database.tamper(
                "INSERT INTO audit_log (id, event, writer) SELECT 100, 'put in', writer FROM audit_log WHERE id = 2")
            try await database.sealAll()
            let report = try await database.chain.verify()
            #expect(report.findings.map(\.kind) == [.outOfOrder] && report.findings.first?.row == 100)
        }
    }

    /// Everything that follows from a change is done as well: hashes, links and the chain's end.
    private func rewrite(_ database: AuditDatabase) async throws {
        let rows = try await database.pool.query("SELECT \(AuditRow.columns) FROM audit_log ORDER BY position")
            .map { try AuditRow($0) }
        let sealed = AuditChain.chain(rows, after: .origin)
        for row in sealed {
            try await database.tamper(
                """
                UPDATE audit_log SET position = \(row.position), previous_hash = '\\x\(row.previous ?? .origin)',
                    hash = '\\x\(row.hash ?? .origin)' WHERE id = \(row.row.id)
                """)
        }
        let last = try #require(sealed.last)
        try await database.tamper(
            "UPDATE audit_chain SET position = \(last.position), hash = '\\x\(last.hash ?? .origin)'")
    }

    @Test func `who writes the whole chain anew is found by a head that was kept elsewhere`() async throws {
        try await AuditDatabase.run { database in
            let kept = try await prepare(database)
            for statement in [
                "UPDATE audit_log SET event = 'forged' WHERE id = 2", "DELETE FROM audit_log WHERE id = 8",
                "DELETE FROM audit_log WHERE id = 3",
            ] {
                try await database.tamper(statement)
                try await rewrite(database)
                #expect(try await database.chain.verify().findings.isEmpty, "\(statement)")
                let report = try await database.chain.verify(kept: [kept])
                #expect(report.findings.map(\.kind) == [.headDiffers], "\(statement): \(report.findings)")
                #expect(report.findings.first?.text.contains("(kept)") == true)
                try await restore(database)
            }
            #expect(try await database.chain.verify(kept: [kept]).findings.isEmpty)
        }
    }
}
