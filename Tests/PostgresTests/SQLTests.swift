import Testing

@testable import Postgres

@Suite struct SQLTests {
    @Test func `values are numbered and kept apart from the text`() {
        let id: Int64 = 7
        let name: String? = nil
        let sql: SQL = "SELECT x FROM t WHERE id = \(id) AND name = \(name) AND live = \(true)"
        #expect(sql.text == "SELECT x FROM t WHERE id = $1 AND name = $2 AND live = $3")
        #expect(sql.values.map(\.content) == [.integer(7), .null, .bool(true)])
        #expect(sql.values.map(\.type) == [20, 0, 16])
    }

    @Test func `a fragment joins with its values and a raw text is pasted`() {
        let condition: SQL = "game_id = \("g-1") AND epoch > \(3)"
        let sql: SQL = "SELECT * FROM \(raw: "assignments") WHERE shard = \("s-1") AND (\(condition)) LIMIT \(5)"
        #expect(
            sql.text == "SELECT * FROM assignments WHERE shard = $1 AND (game_id = $2 AND epoch > $3) LIMIT $4")
        #expect(sql.values.map(\.content) == [.text("s-1"), .text("g-1"), .integer(3), .integer(5)])
    }

    @Test func `a fragment with more than nine values is renumbered whole`() {
        let many: SQL = "\(1) \(2) \(3) \(4) \(5) \(6) \(7) \(8) \(9) \(10) \(11)"
        let sql: SQL = "a \(0), \(many), z \(12)"
        #expect(sql.text == "a $1, $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12, z $13")
        #expect(sql.values.map(\.content) == (0...12).map { .integer($0) })
    }

    @Test func `arrays are sent in the server's binary form`() {
        let header: [UInt8] = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1]
        #expect(
            [Int32(7)].postgresValue == PostgresValue(.binary(header + [0, 0, 0, 4, 0, 0, 0, 7]), type: 1007))
        #expect([Int]().postgresValue.type == 1016)
        #expect(["a"].postgresValue.type == 1009)
        #expect([Optional(1.5), nil].postgresValue.type == 1022)
        #expect([UInt8(1), 2].postgresValue == PostgresValue(.binary([1, 2]), type: 17))
    }

    @Test func `what cannot be sent is refused instead of cut or wrapped`() {
        func problem(_ sql: SQL) -> String? { Parameters.problem(in: sql.bound) }
        #expect(problem("SELECT \("a\0b")") == "$1: text holds a NUL")
        #expect(problem("SELECT \(1), \(["a", "b\0"])") == "$2: element 2: text holds a NUL")
        #expect(problem("SELECT \(UInt64.max)") == "$1: 18446744073709551615 is too large for a bigint")
        #expect(problem("SELECT \(.utf8([0x61, 0xFF]))") == "$1: text is not valid UTF-8")
        #expect(problem("SELECT \(.timestamp(.min))")?.contains("outside of timestamptz") ?? false)
        #expect(problem("SELECT \(.utf8([0x61])), \(UInt64(7)), \(.timestamp(0))") == nil)
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

    private typealias Code = PostgresError.Code

    /// What a failure means in the phases harmless, transaction, autocommit and commit; in the last two also when every
    /// statement had been answered, so that only the end was under way (CHECKLIST R30).
    private static let meanings: [(states: [String?], codes: [PostgresError.Code])] = [
        (["40001", "40P01"], [.retryTransaction, .retryTransaction, .retryTransaction, .retryTransaction]),
        (["53300", "55P03"], [.wait, .wait, .wait, .wait]),
        (["57014"], [.cancelled, .cancelled, .cancelled, .cancelled]),
        (["40003"], [.unknownCommit, .unknownCommit, .unknownCommit, .unknownCommit]),
        // The server says "done" before it commits: without that word nothing was committed.
        (
            ["08000", "08001", "08003", "08004", "08006", "08P01", "57P01", "57P02", "57P03", "57P05", "25P03"],
            [.reconnect, .reconnect, .reconnect, .reconnect]
        ),
        // Lost without a word.
        ([nil], [.reconnect, .reconnect, .unknownCommit, .unknownCommit]),
        (
            [
                "23505", "23503", "23514", "23502", "22003", "22021", "22P02", "42601", "42P01", "53100", "53200",
                "57P04", "28P01", "3D000", "XX000", "25P02", "58030",
            ],
            [.permanent, .permanent, .permanent, .permanent]
        ),
    ]

    @Test func `failures are classified by state and phase`() {
        let phases = [Phase.harmless, .transaction, .autocommit, .commit]
        for (states, codes) in Self.meanings {
            for state in states {
                for (phase, code) in zip(phases, codes) {
                    #expect(Classifier.code(sqlState: state, phase: phase) == code, "\(state ?? "lost") \(phase)")
                    let isEnd = phase == .autocommit || phase == .commit
                    let late: Code = isEnd && code == .reconnect ? .unknownCommit : code
                    let found = Classifier.code(sqlState: state, phase: phase, isCompleted: true)
                    #expect(found == late, "\(state ?? "lost") at the end of \(phase)")
                }
            }
        }
        let retried = Code.allCases.filter { PostgresError($0, "", context: "").permitsRetry }
        #expect(retried == [.retryTransaction, .wait, .reconnect])
    }

    @Test(
        arguments: [
            ("{}", []), ("{1,NULL,3}", ["1", nil, "3"]),
            (#"{a,"b,c","d\"e\\f","NULL",""}"#, ["a", "b,c", "d\"e\\f", "NULL", ""]),
        ] as [(String, [String?])])
    func `an array's text is taken apart`(text: String, elements: [String?]) {
        #expect(ArrayText.elements(text) == elements)
    }

    @Test(arguments: ["", "{", "1,2", "{1,2", "{{1},{2}}", "{1}x", "{\"a}", "{,}"])
    func `what is no array of one dimension is refused`(text: String) {
        #expect(ArrayText.elements(text) == nil)
    }

    @Test func `the state of a refused connection is found in the verbose message`() {
        #expect(Connection.sqlState(in: "connection failed: FATAL:  53300: sorry, too many clients") == "53300")
        #expect(Connection.sqlState(in: "connection to server at \"h\" failed: Connection refused") == nil)
    }
}
