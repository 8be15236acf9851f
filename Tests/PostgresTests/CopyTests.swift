import PostgresTestKit
import Resilience
import Runtime
import TestKit
import Testing

@testable import Postgres

/// Many rows at once: COPY and `unnest`.
@Suite(.serialized) struct CopyTests {
    private static let create: SQL = """
        CREATE TABLE ticks (id bigint PRIMARY KEY, small smallint, mid int, share float8, thin real, isLive boolean,
            at timestamptz, name text, document jsonb, plain json, raw bytea, sizes bigint[], names text[])
        """
    private static let columns = [
        "id", "small", "mid", "share", "thin", "islive", "at", "name", "document", "plain", "raw", "sizes", "names",
    ]

    private func withTable(_ body: (PostgresPool, String) async throws -> Void) async throws {
        try await withDatabase(Tuned { $0.maxConnections = 1 }) { pool, url in
            try await pool.execute(Self.create)
            try await body(pool, url)
            #expect(pool.statistics.active == 0, "a connection leaked")
        }
    }

    private func count(_ pool: PostgresPool) async throws -> Int {
        try await pool.query("SELECT count(*) AS n FROM ticks")[0].int("n")
    }

    @Test func `values of every kind arrive by COPY as they were given`() async throws {
        try await withTable { pool, _ in
            let text = "it's \\ \"quoted\"\t✓\n"
            let moment: Int64 = 1_795_224_814_123_456
            let rows = try await pool.copy(into: "ticks", columns: Self.columns, [Int64.max, .min]) { id, row in
                row.append(id)
                row.append(-7)
                row.append(Int32.min)
                row.append(0.1 + 0.2)
                row.append(0.5)
                row.append(true)
                row.append(.timestamp(moment))
                row.append(text)
                row.append(.jsonText("{\"a\":1}"))
                row.append(.json(["b": 2]))
                row.append([UInt8]([0, 255]))
                row.append([Int64]([1, 2]))
                row.append(id > 0 ? ["x", "y,z"] : nil)
            }
            #expect(rows == 2)
            let row = try #require(await pool.first("SELECT * FROM ticks WHERE id > 0"))
            #expect(try row.int64("id") == .max)
            #expect(try row.int("small") == -7)
            #expect(try row.int32("mid") == .min)
            #expect(try row.double("share") == 0.1 + 0.2)
            #expect(try row.double("thin") == 0.5)
            #expect(try row.bool("islive"))
            #expect(try row.timestampMicros("at") == moment)
            #expect(try row.text("name") == text)
            #expect(try row.json("document", as: [String: Int].self) == ["a": 1])
            #expect(try row.json("plain", as: [String: Int].self) == ["b": 2])
            #expect(try row.bytes("raw") == [0, 255])
            #expect(try row.array("sizes", of: Int64.self) == [1, 2])
            #expect(try row.array("names", of: String.self) == ["x", "y,z"])
            let other = try #require(await pool.first("SELECT names FROM ticks WHERE id < 0"))
            #expect(try other.isNil("names"))
        }
    }

    @Test func `identifiers, dates and decimals are given as text and arrive to the last digit`() async throws {
        let uuids = ["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"]
        let dates = ["2000-01-01", "1999-12-31", "2024-02-29", "0001-01-01", "9999-12-31"]
        let numbers = [
            "0", "-0", "0.000", "1", "-12.50", "10000", "123456789012345678901234567890.000000000001", "0.00010", ".5",
            "100000000", "9999.9999", "-0.00000001", "+7.",
        ]
        try await withTable { pool, _ in
            try await pool.execute("CREATE TABLE forms (id int PRIMARY KEY, a uuid, b date, c numeric, d numeric)")
            let rows = numbers.indices
            try await pool.copy(into: "forms", columns: ["id", "a", "b", "c", "d"], rows) { index, row in
                row.append(index)
                row.append(index < uuids.count ? uuids[index] : nil)
                row.append(dates[index % dates.count])
                row.append(numbers[index])
                row.append(Int64.min + Int64(index))
            }
            let stored = try await pool.query("SELECT a::text, b::text, c::text, d::text FROM forms ORDER BY id")
            #expect(stored.count == numbers.count)
            for (index, row) in stored.enumerated() {
                // What the server makes of the same texts.
                let same = try #require(
                    await pool.first(
                        """
                        SELECT \(index < uuids.count ? uuids[index] : nil)::uuid::text AS a,
                            \(dates[index % dates.count])::date::text AS b, \(numbers[index])::numeric::text AS c,
                            \("\(Int64.min + Int64(index))")::numeric::text AS d
                        """))
                for column in ["a", "b", "c", "d"] {
                    #expect(try row.textOrNil(column) == same.textOrNil(column), "\(column) of \(numbers[index])")
                }
            }
            for (column, wrong) in [
                ("a", "6ba7b810-9dad-11d1-80b4-00c04fd430"), ("a", "6ba7b810-9dad-11d1-80b4-00c04fd430cg"),
                ("b", "2023-02-29"), ("b", "21.11.2026"), ("b", "2026-1-1"), ("c", "1e5"), ("c", ""), ("c", "1.2.3"),
                ("c", "-"), ("c", "."),
            ] {
                let error = await #expect(throws: PostgresError.self) {
                    try await pool.copy(into: "forms", columns: ["id", column], [99]) { id, row in
                        row.append(id)
                        row.append(wrong)
                    }
                }
                #expect(error?.message.contains("column \"\(column)\"") ?? false, "\(wrong)")
                #expect(error?.message.contains(wrong.isEmpty ? "is no" : wrong) == wrong.isEmpty, "a value is told")
            }
            let kind = await #expect(throws: PostgresError.self) {
                try await pool.copy(into: "forms", columns: ["c"], [0.5]) { $1.append($0) }
            }
            #expect(kind?.message.contains("COPY does not convert a number") ?? false)
        }
    }

    @Test func `a hundred thousand rows go through in pieces, and the session is used again`() async throws {
        try await withTable { pool, _ in
            let rows = try await pool.copy(into: "ticks", columns: ["id", "name"], 0..<100_000) { id, row in
                row.append(id)
                row.append("row \(id)")
            }
            #expect(rows == 100_000)
            let sum = try await pool.query("SELECT sum(id)::bigint AS n FROM ticks")[0].int("n")
            #expect(sum == 4_999_950_000)
            #expect(pool.statistics.opened == 1)
        }
    }

    @Test func `COPY is part of its transaction`() async throws {
        struct Refusal: Error {}
        try await withTable { pool, _ in
            await #expect(throws: Refusal.self) {
                try await pool.transaction("drop") { transaction in
                    try transaction.enqueue("INSERT INTO ticks (id) VALUES (1)")
                    try await transaction.copy(into: "ticks", columns: ["id"], [2, 3]) { $1.append($0) }
                    let inside = try await transaction.query("SELECT count(*) AS n FROM ticks")[0].int("n")
                    #expect(inside == 3)
                    throw Refusal()
                }
            }
            let stored = try await count(pool)
            #expect(stored == 0)
            #expect(pool.statistics.opened == 1)
        }
    }

    @Test func `what does not fit its column is refused with row and column, and nothing is stored`() async throws {
        try await withTable { pool, _ in
            func problem(
                _ columns: [String], _ encode: (Int, inout CopyRow) -> Void
            ) async -> PostgresError? {
                await #expect(throws: PostgresError.self) {
                    try await pool.copy(into: "ticks", columns: columns, 1...3, encode)
                }
            }
            let large = await problem(["id", "small"]) {
                $1.append($0)
                $1.append($0 * 30_000)
            }
            #expect(large?.code == .encoding)
            #expect(large?.message == "row 2, column \"small\" (smallint): 60000 is too large for the type")
            #expect(large?.context == "copy into ticks: COPY ticks")
            let kind = await problem(["name"]) { $1.append($0) }
            #expect(kind?.message.hasPrefix("row 1, column \"name\" (text): COPY does not convert a whole") ?? false)
            let nul = await problem(["name"]) { $1.append("a\0\($0)") }
            #expect(nul?.message == "row 1, column \"name\" (text): text holds a NUL")
            let few = await problem(["id", "name"]) { $1.append($0) }
            #expect(few?.message == "row 1 has only 1 of 2 values")
            let many = await problem(["id"]) { for _ in 0..<3 { $1.append($0) } }
            #expect(many?.message == "row 1 has more than 1 values")
            let unknown = await problem(["idd"]) { $1.append($0) }
            #expect(unknown?.code == .encoding && unknown?.message.hasPrefix("no column \"idd\" in ticks (") ?? false)
            let stored = try await count(pool)
            #expect(stored == 0)
            #expect(pool.statistics.opened == 1, "a refused COPY costs a session")
        }
    }

    @Test func `what the server refuses in a COPY names line and constraint`() async throws {
        try await withTable { pool, _ in
            let twice = await #expect(throws: PostgresError.self) {
                try await pool.copy(into: "ticks", columns: ["id"], [1, 2, 2]) { $1.append($0) }
            }
            #expect(twice?.isUniqueViolation ?? false)
            #expect(twice?.constraint == "ticks_pkey")
            #expect(twice?.detail?.contains("COPY ticks, line 3") ?? false)
            let null = await #expect(throws: PostgresError.self) {
                try await pool.copy(into: "ticks", columns: ["id"], [Int?.none]) { $1.append($0) }
            }
            #expect(null?.sqlState == "23502")
            let missing = await #expect(throws: PostgresError.self) {
                try await pool.copy(into: "no_such", columns: ["id"], [1]) { $1.append($0) }
            }
            #expect(missing?.sqlState == "42P01")
            let stored = try await count(pool)
            #expect(stored == 0)
            #expect(pool.statistics.opened == 1)
        }
    }

    @Test func `an encoder that throws, a deadline and a cancelled task end a COPY and store nothing`() async throws {
        struct Refusal: Error {}
        try await withTable { pool, _ in
            await #expect(throws: Refusal.self) {
                try await pool.copy(into: "ticks", columns: ["id"], 0..<50_000) { id, row in
                    if id == 40_000 { throw Refusal() }
                    row.append(id)
                }
            }
            let stored = try await count(pool)
            #expect(stored == 0)
            #expect(pool.statistics.opened == 1)
            // The server lingers after it has all rows.
            try await pool.execute(
                """
                CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$
                """)
            try await pool.execute(
                "CREATE TRIGGER linger BEFORE INSERT ON ticks FOR EACH ROW EXECUTE FUNCTION linger()")
            let late = await #expect(throws: PostgresError.self) {
                try await pool.copy(into: "ticks", columns: ["id"], [1], timeout: .milliseconds(200)) { $1.append($0) }
            }
            #expect(late?.code == .deadlineExceeded)
            let task = Task {
                try await pool.copy(into: "ticks", columns: ["id"], [1]) { $1.append($0) }
            }
            try await eventually(within: .seconds(60), "the COPY runs") { pool.statistics.active == 1 }
            task.cancel()
            let cancelled = await #expect(throws: PostgresError.self) { try await task.value }
            #expect(cancelled?.code == .cancelled)
            let rest = try await count(pool)
            #expect(rest == 0)
        }
    }

    @Test func `a query is read as CSV piece by piece`() async throws {
        try await withTable { pool, _ in
            var text: [UInt8] = []
            try await pool.transaction("export") { transaction in
                try await transaction.copy(from: "SELECT n, n * 2 AS twice FROM generate_series(1, 30000) AS s (n)") {
                    text += $0
                }
                let after = try await transaction.query("SELECT 1 AS n")[0].int("n")
                #expect(after == 1)
            }
            let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
            #expect(lines.count == 30_001)
            #expect(lines.first == "n,twice")
            #expect(lines.last == "30000,60000")
            let wrong = await #expect(throws: PostgresError.self) {
                try await pool.transaction("export") { try await $0.copy(from: "SELECT x FROM no_such") { _ in } }
            }
            #expect(wrong?.sqlState == "42P01")
            let still = try await pool.query("SELECT 1 AS n")[0].int("n")
            #expect(still == 1)
        }
    }

    @Test func `a thousand rows go in as arrays through unnest`() async throws {
        try await withTable { pool, _ in
            let ids = Array(0..<1000)
            let names = ids.map { $0.isMultiple(of: 7) ? nil : "näme \"\($0)\", {\\}" }
            let moments = ids.map { PostgresTimestamp(microseconds: Int64($0) * 1_000_001) }
            let documents = ids.map { PostgresJSON(["n": $0]) }
            let shares = ids.map { Double($0) / 3 }
            let live = ids.map { $0.isMultiple(of: 2) }
            let inserted = try await pool.execute(
                """
                INSERT INTO ticks (id, name, at, document, share, islive)
                SELECT * FROM unnest(\(ids), \(names), \(moments), \(documents), \(shares), \(live))
                """)
            #expect(inserted == 1000)
            let rows = try await pool.query("SELECT * FROM ticks ORDER BY id")
            for (id, row) in rows.enumerated() {
                #expect(try row.textOrNil("name") == names[id])
                #expect(try row.timestampMicros("at") == Int64(id) * 1_000_001)
                #expect(try row.json("document", as: [String: Int].self) == ["n": id])
                #expect(try row.double("share") == shares[id])
                #expect(try row.bool("islive") == live[id])
            }
        }
    }
}
