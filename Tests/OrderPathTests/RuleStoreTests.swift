import Domain
import Hosting
import Postgres
import SignalProcessorEngine
import Testing
import Wire

@testable import SignalProcessor

extension Rig {
    /// Writes a rule, or its next version.
    func write(_ rule: String, _ conditions: String, _ action: String = #"{"type":"reject"}"#) async throws {
        try await pool.execute(
            """
            INSERT INTO trading_rules (rule_id, kind, conditions, action, status)
            VALUES (\(rule), 'operator', \(.jsonText(conditions)), \(.jsonText(action)), 'active')
            ON CONFLICT (rule_id) DO UPDATE SET conditions = excluded.conditions, action = excluded.action
            """)
    }
}

/// Rules as they are written, and as they come into force while the service runs (CHECKLIST R83, H37).
struct RuleStoreTests {
    private let engine = SignalProcessorEngine(limits: TradingLimits())

    @Test func `rules come from the database with every comparison, lists, a percentage and an end`() async throws {
        let rig = try await Rig()
        try await rig.write("a", #"{"sport":"nba","price_lt":0.3,"edge_pct_gte":20}"#)
        try await rig.write("b", #"{"all":true}"#, #"{"type":"min_edge","min_edge_pct":20}"#)
        try await rig.write("c", #"{"signal_type_in":["model_edge_yes","model_edge_no"]}"#)
        try await rig.write("d", #"{"game_ne":"game-1"}"#)
        try await rig.pool.execute("UPDATE trading_rules SET expires_at = now() - interval '1 s' WHERE rule_id = 'd'")
        var engine = engine
        let refused = engine.reloadRules(try await RuleStore(pool: rig.pool).load())
        #expect(refused.isEmpty)
        #expect(
            engine.rules == [
                TradingRule(
                    id: "a",
                    conditions: [
                        try .init(.edge, .greaterOrEqual, .number(20)), try .init(.price, .less, .number(0.3)),
                        try .init(.sport, .equal, .text("nba")),
                    ], action: .reject),
                TradingRule(id: "b", conditions: [], action: .minimumEdge(basisPoints: 2_000)),
                TradingRule(
                    id: "c", conditions: [try .init(.kind, .isIn, .texts(["model_edge_yes", "model_edge_no"]))],
                    action: .reject),
            ])
    }

    @Test func `an unknown key refuses its rule alone, which matches nothing; the last good version stays`()
        async throws
    {
        let rig = try await Rig()
        let store = RuleStore(pool: rig.pool)
        try await rig.write("a", #"{"sport":"nhl"}"#)
        var engine = engine
        #expect(engine.reloadRules(try await store.load()).isEmpty)
        try await rig.write("a", #"{"sprot":"nba"}"#)
        try await rig.write("b", #"{"price_below":0.9}"#)
        let refused = engine.reloadRules(try await store.load())
        #expect(refused.map(\.id) == ["a", "b"])
        #expect(refused.map(\.keepsEarlier) == [true, false])
        let kept = try TradingRule(id: "a", conditions: [.init(.sport, .equal, .text("nhl"))], action: .reject)
        #expect(engine.rules == [kept])

        try await rig.addGame()
        let outcome = try await SignalStore(pool: rig.pool, account: rig.account, statistics: rig.statistics)
            .process(try rig.signal("s1"), trace: nil, engine: engine, at: tipOff)
        guard case .decided(let verdict) = outcome else { throw NeverCame(description: "a verdict") }
        #expect(verdict.name == "approved")
    }

    @Test func `the last good version outlives a restart, until the rule is gone or understood`() async throws {
        let rig = try await Rig()
        let store = RuleStore(pool: rig.pool)
        try await rig.addGame("game-9", sport: .nhl)
        try await rig.write("a", #"{"sport":"nhl"}"#)
        try await rig.write("b", #"{"sport":"nba"}"#)
        let read = try await store.load()
        // One is changed between the look and the keeping of what it found.
        try await rig.write("b", #"{"sprot":"nba"}"#)
        #expect(try await !store.keep(read))
        #expect(try await store.understood().map(\.id) == ["a"])
        try await rig.write("a", #"{"sprot":"nhl"}"#)
        try await rig.pool.execute("UPDATE trading_rules SET status = 'off' WHERE rule_id = 'b'")

        try await withOrderPath { path in
            let url = rig.url
            path.startSignalProcessor(["DATABASE_URL": url])
            try await eventually("it is told") { try path.alerts("tradingRuleRefused:a") == 1 }
            #expect(try path.alertLines("tradingRuleRefused:a").allSatisfy { $0.contains("last good version stays") })
            // The bar of the version before holds.
            try await path.publish(try rig.signal("s1", game: "game-9", sport: .nhl))
            try await eventually("decided") { try await rig.number("SELECT count(*) AS n FROM signals") == 1 }
            #expect(try await rig.text("SELECT verdict AS t FROM signals") == "rule_blocked")
            #expect(await path.stop() == [.ok])
        }
        #expect(try await store.understood().map(\.conditions) == [["sport": .text("nhl")]])
        try await rig.write("a", #"{"sport":"nfl"}"#)
        #expect(try await store.keep(store.load()))
        #expect(try await store.understood().map(\.conditions) == [["sport": .text("nfl")]])
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test(arguments: [
        (#"["sport"]"#, #"{"type":"reject"}"#), (#""sport""#, #"{"type":"reject"}"#), ("{}", #"{"type":"reject"}"#),
        ("[]", #"{"type":"reject"}"#), (#"{"sport":null}"#, #"{"type":"reject"}"#),
        (#"{"market":true}"#, #"{"type":"reject"}"#), (#"{"all":false}"#, #"{"type":"reject"}"#),
        (#"{"sport":{"is":"nba"}}"#, #"{"type":"reject"}"#), (#"{"kind_in":[]}"#, #"{"type":"reject"}"#),
        (#"{"sport":"cricket"}"#, #"{"type":"reject"}"#), (#"{"price_lt":"0.3"}"#, #"{"type":"reject"}"#),
        (#"{"sport":"nba"}"#, #""reject""#), (#"{"sport":"nba"}"#, #"{"type":"allow"}"#),
        (#"{"sport":"nba"}"#, #"{"type":"reject","until":"noon"}"#), (#"{"sport":"nba"}"#, #"{"type":"min_edge"}"#),
        (#"{"sport":"nba"}"#, #"{"type":"min_edge","min_edge_pct":"20"}"#), (#"{"sport":"nba"}"#, "{}"),
        (#"{"sport":"nba"}"#, #"{"type":"min_edge","min_edge_pct":101}"#),
    ])
    func `what is no rule is refused with what is wrong`(_ conditions: String, _ action: String) async throws {
        let rig = try await RuleStoreTests.shared.value
        let id = RuleID(stringLiteral: "r\((conditions + action).utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xFFFFFF })")
        try await rig.write(id.rawValue, conditions, action)
        let written = try await RuleStore(pool: rig.pool).load().filter { $0.id == id }
        var engine = engine
        let refused = engine.reloadRules(written)
        #expect(refused.map(\.id) == [id])
        #expect(engine.rules.isEmpty)
    }

    /// Awaited by every case of the test above.
    private static let shared = Task { try await Rig() }

    @Test func `each version of a refused rule is told once, and that it is understood again`() throws {
        let problem = DomainError(.malformed, field: "rule", value: "x", expected: "y")
        let other = DomainError(.malformed, field: "rule", value: "z", expected: "y")
        var (alarm, book) = (RuleAlarm(), RuleBook())
        func observe(_ written: [WrittenRule]) -> [RuleAlarm.Step] {
            alarm.observe(written, refused: book.replace(with: written))
        }
        let good = WrittenRule(id: "a", conditions: ["sport": .text("nba")], action: "reject")
        // What an earlier life told is taken back at the start.
        #expect(observe([good]) == [.resolve("a")])
        #expect(observe([good]).isEmpty)
        let first = observe([WrittenRule(id: "a", problem: problem)])
        let again = observe([WrittenRule(id: "a", problem: problem)])
        let second = observe([WrittenRule(id: "a", problem: other)])
        #expect(first.count == 1 && again.isEmpty && second.count == 1 && first != second)
        #expect(observe([good]) == [.resolve("a")])
        _ = observe([WrittenRule(id: "a", problem: problem)])
        #expect(observe([]) == [.resolve("a")])
    }

    @Test func `a rule that is written while the service runs blocks what it names, and nothing else`() async throws {
        try await withOrderPath { path in
            try await path.rig.addGame("game-2", sport: .nhl)
            path.startSignalProcessor()
            try await path.publish(try path.rig.signal("s1"))
            try await eventually("the first is approved") {
                try await path.rig.text("SELECT verdict AS t FROM signals WHERE signal_id = 's1'") == "approved"
            }
            try await path.rig.write("no-hockey", #"{"sport":"nhl"}"#)
            try await path.rig.write("broken", #"{"spotr":"nba"}"#)
            try await path.publishRulesChanged()
            try await eventually("the rules are read") {
                path.gauge("trading_rules_refused", of: "signal-processor") == 1
            }
            try await eventually("the refusal is written down") {
                try await path.rig.text(
                    "SELECT details->>'kind' AS t FROM audit_log WHERE event = 'input_refused'") == "trading_rule"
            }
            try await path.publish(try path.rig.signal("s2", game: "game-2", sport: .nhl))
            try await eventually("the second is blocked") {
                try await path.rig.text("SELECT verdict AS t FROM signals WHERE signal_id = 's2'") == "rule_blocked"
            }
            try await path.rig.addGame("game-3")
            try await path.publish(try path.rig.signal("s3", game: "game-3"))
            try await eventually("the third passes") {
                try await path.rig.text("SELECT verdict AS t FROM signals WHERE signal_id = 's3'") == "approved"
            }
            try await path.untilAlert("tradingRuleRefused:broken")
        }
    }

    /// Whoever writes a row, by plain SQL as an operator does, tells nobody.
    @Test func `a rule that nobody announces counts all the same, and so do its next version and its end`() async throws
    {
        try await withOrderPath { path in
            path.startSignalProcessor()
            var count = 0
            /// What becomes of a signal in a game of its own.
            func verdict() async throws -> String? {
                count += 1
                let (game, id) = (GameID(stringLiteral: "fresh-\(count)"), SignalID(stringLiteral: "s\(count)"))
                try await path.rig.addGame(game)
                try await path.publish(try path.rig.signal(id, game: game))
                try await eventually("\(id) is decided") {
                    try await path.rig.number(
                        "SELECT count(*) AS n FROM signals WHERE signal_id = \(id.rawValue)") == 1
                }
                return try await path.rig.text(
                    "SELECT verdict AS t FROM signals WHERE signal_id = \(id.rawValue)")
            }
            let first = try await verdict()
            #expect(first == "approved")
            try await path.rig.write("none", #"{"all":true}"#)
            try await eventually("the rule counts") { try await verdict() == "rule_blocked" }
            try await path.rig.write("none", #"{"sport":"nhl"}"#)
            try await eventually("its next version counts") { try await verdict() != "rule_blocked" }
            try await path.rig.write("none", #"{"sprot":"nba"}"#)
            try await path.untilAlert("tradingRuleRefused:none")
            try await path.rig.write("none", #"{"all":true}"#)
            try await eventually("it is understood again, and counts") { try await verdict() == "rule_blocked" }
            try await path.rig.pool.execute("UPDATE trading_rules SET expires_at = now() WHERE rule_id = 'none'")
            try await eventually("it is over") { try await verdict() != "rule_blocked" }
        }
    }
}
