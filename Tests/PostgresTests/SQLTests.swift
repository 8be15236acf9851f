import Testing

@testable import Postgres

@Suite struct SQLTests {
    @Test func `values are numbered and kept apart from the text`() {
        let id: Int64 = 7
        let name: String? = nil
        let sql: SQL = "SELECT x FROM t WHERE id = \(id) AND name = \(name) AND live = \(true)"
        #expect(sql.text == "SELECT x FROM t WHERE id = $1 AND name = $2 AND live = $3")
        #expect(sql.values.map(\.content) == [.text("7"), .null, .text("t")])
        #expect(sql.values.map(\.type) == [20, 0, 16])
    }

    @Test func `a fragment joins with its values and a raw text is pasted`() {
        let condition: SQL = "game_id = \("g-1") AND epoch > \(3)"
        let sql: SQL = "SELECT * FROM \(raw: "assignments") WHERE shard = \("s-1") AND (\(condition)) LIMIT \(5)"
        #expect(
            sql.text == "SELECT * FROM assignments WHERE shard = $1 AND (game_id = $2 AND epoch > $3) LIMIT $4")
        #expect(sql.values.map(\.content) == [.text("s-1"), .text("g-1"), .text("3"), .text("5")])
    }

    @Test func `arrays quote what needs quoting`() {
        #expect([1, 2].postgresValue == PostgresValue(.text("{1,2}"), type: 1016))
        #expect(["a \"b\"", "c\\d", ""].postgresValue.content == .text("{\"a \\\"b\\\"\",\"c\\\\d\",\"\"}"))
        #expect([Optional(1.5), nil].postgresValue == PostgresValue(.text("{1.5,NULL}"), type: 1022))
        #expect([UInt8(1), 2].postgresValue == PostgresValue(.binary([1, 2]), type: 17))
    }

    @Test func `a text with a NUL is refused instead of cut`() throws {
        let sql: SQL = "SELECT \("a\0b")"
        let error = #expect(throws: PostgresError.self) { _ = try Parameters(sql.values, context: "test") }
        #expect(error?.code == .encoding)
        #expect(error?.message == "$1: text holds a NUL")
    }

    @Test(arguments: [
        ("SELECT 1", true), ("  select 1", true), ("(SELECT 1)", true), ("SHOW x", true), ("INSERT INTO t", false),
        ("WITH x AS (INSERT INTO t) SELECT 1", false), ("selection", false), ("", false),
    ])
    func `only what begins with a reading word counts as reading`(text: String, reads: Bool) {
        #expect(SQL(raw: text).onlyReads == reads)
    }

    @Test(arguments: [
        ("1970-01-01 00:00:00+00", 0),
        ("2026-11-21 01:33:34.123456+00", 1_795_224_814_123_456),
        ("2026-11-21 01:33:34.5+00", 1_795_224_814_500_000),
        ("2026-11-21 07:03:34.123456+05:30", 1_795_224_814_123_456),
        ("1969-12-31 23:59:59.999999+00", -1),
        ("2000-02-29 12:00:00-01", 951_829_200_000_000),
    ])
    func `a timestamp becomes microseconds`(text: String, micros: Int64) {
        #expect(Timestamp.microseconds(text) == micros)
    }

    @Test(arguments: ["", "infinity", "2026-11-21", "2026-11-21 01:33:34", "0044-03-15 01:00:00+00 BC"])
    func `what is no timestamp is refused`(text: String) {
        #expect(Timestamp.microseconds(text) == nil)
    }

    @Test func `failures are classified by state and phase`() {
        #expect(Classifier.code(sqlState: "40001", phase: .transaction) == .retryTransaction)
        #expect(Classifier.code(sqlState: "40P01", phase: .commit) == .retryTransaction)
        #expect(Classifier.code(sqlState: "53300", phase: .harmless) == .wait)
        #expect(Classifier.code(sqlState: "55P03", phase: .transaction) == .wait)
        #expect(Classifier.code(sqlState: "57014", phase: .transaction) == .cancelled)
        #expect(Classifier.code(sqlState: "57P01", phase: .transaction) == .reconnect)
        #expect(Classifier.code(sqlState: "08006", phase: .harmless) == .reconnect)
        #expect(Classifier.code(sqlState: nil, phase: .transaction) == .reconnect)
        #expect(Classifier.code(sqlState: nil, phase: .commit) == .unknownCommit)
        #expect(Classifier.code(sqlState: "57P01", phase: .commit) == .unknownCommit)
        #expect(Classifier.code(sqlState: nil, phase: .autocommit) == .unknownCommit)
        #expect(Classifier.code(sqlState: "57P01", phase: .autocommit) == .reconnect)
        #expect(Classifier.code(sqlState: "57P01", phase: .autocommit, isCompleted: true) == .unknownCommit)
        #expect(Classifier.code(sqlState: "23505", phase: .autocommit) == .permanent)
    }

    @Test func `the state of a refused connection is found in the verbose message`() {
        #expect(Connection.sqlState(in: "connection failed: FATAL:  53300: sorry, too many clients") == "53300")
        #expect(Connection.sqlState(in: "connection to server at \"h\" failed: Connection refused") == nil)
    }
}
