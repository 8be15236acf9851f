import PostgresTestKit
import Resilience
import Runtime
import TestKit
import Testing

@testable import Postgres

/// Values that do not fit: a typed error that says what to do, and the session goes on.
@Suite struct InputTests {
    private func refused(_ statement: SQL) async throws -> PostgresError? {
        var refusal: PostgresError?
        try await withDatabase(Tuned { $0.maxConnections = 1 }) { pool, _ in
            try await pool.execute("CREATE TABLE t (small smallint, at timestamptz, document jsonb, name text)")
            refusal = await #expect(throws: PostgresError.self) { try await pool.execute(statement) }
            let rows = try await pool.query("SELECT * FROM t")
            #expect(rows.isEmpty)
            #expect(pool.statistics.opened == 1)
            #expect(pool.statistics.retries == 0)
        }
        return refusal
    }

    @Test func `a number too large for its column is refused by the server with advice`() async throws {
        let error = try await refused("INSERT INTO t (small) VALUES (\(70_000))")
        #expect(error?.code == .permanent)
        #expect(error?.sqlState == "22003")
        #expect(error?.description.contains("check the value, or widen the column") ?? false)
    }

    @Test func `text that is not UTF-8 or holds a NUL is refused before it is sent`() async throws {
        let bytes = try await refused("INSERT INTO t (name) VALUES (\(.utf8([0x61, 0xFF])))")
        #expect(bytes?.code == .encoding)
        #expect(bytes?.message == "$1: text is not valid UTF-8")
        let nul = try await refused("INSERT INTO t (name) VALUES (\("a\0b"))")
        #expect(nul?.code == .encoding)
        #expect(nul?.message == "$1: text holds a NUL")
        let number = try await refused("INSERT INTO t (small) VALUES (\(UInt64.max))")
        #expect(number?.code == .encoding)
        #expect(number?.description.contains("correct the value before it is sent") ?? false)
    }

    @Test func `what is no JSON and no time is refused by the server with advice`() async throws {
        let document = try await refused("INSERT INTO t (document) VALUES (\(.jsonText("{")))")
        #expect(document?.sqlState == "22P02")
        #expect(document?.description.contains("check where it comes from") ?? false)
        let moment = try await refused("INSERT INTO t (at) VALUES (\("yesterdayish"))")
        #expect(moment?.sqlState == "22007")
        #expect(moment?.code == .permanent)
    }

    @Test func `a result too large for the Swift type names the column and its type`() async throws {
        try await withDatabase { pool, _ in
            let row = try #require(await pool.first("SELECT 5000000000::bigint AS big, 'infinity'::timestamptz AS at"))
            let number = #expect(throws: PostgresError.self) { try row.int32("big") }
            #expect(number?.code == .decoding)
            #expect(number?.message == "column \"big\" (bigint) holds \"5000000000\", not a whole number of 32 bits")
            let moment = #expect(throws: PostgresError.self) { try row.timestampMicros("at") }
            #expect(moment?.message.contains("column \"at\" (timestamptz)") ?? false)
        }
    }
}
