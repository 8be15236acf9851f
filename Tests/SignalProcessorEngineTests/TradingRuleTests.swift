import Domain
import SignalProcessorEngine
import Testing

/// Every comparison, and what is refused of a rule that may change at any time (CHECKLIST R83, H37).
struct TradingRuleTests {
    private func verdict(_ rules: TradingRule..., signal: Signal) -> String {
        SignalProcessorEngine(limits: wideLimits(), rules: rules)
            .decide(signal, portfolio: freshPortfolio(), as: names, at: tipOff).name
    }

    private func read(
        _ conditions: [String: TradingRule.Value], action: String = "reject", percent: Double? = nil
    ) throws -> TradingRule {
        try WrittenRule(id: "r", conditions: conditions, action: action, percent: percent).read()
    }

    @Test(arguments: [
        ("price", 50.0, true), ("price", 49, false), ("price_eq", 50, true), ("price_ne", 49, true),
        ("price_ne", 50, false), ("price_lt", 51, true), ("price_lt", 50, false), ("price_lte", 50, true),
        ("price_lte", 49, false), ("price_gt", 49, true), ("price_gt", 50, false), ("price_gte", 50, true),
        ("price_gte", 51, false),
    ])
    func `every comparison means what it says`(key: String, cents: Double, blocks: Bool) throws {
        let rule = try read([key: .number(cents / 100)])
        #expect(verdict(rule, signal: try makeSignal()) == (blocks ? "rule_blocked" : "approved"))
    }

    @Test(arguments: [
        ("sport", TradingRule.Value.text("nba"), true), ("sport", .text("nhl"), false),
        ("sport_ne", .text("nhl"), true), ("sport_ne", .text("nba"), false),
        ("sport_in", .texts(["nba", "nhl"]), true), ("sport_in", .texts(["nhl"]), false),
        ("sport_not_in", .texts(["nhl"]), true), ("sport_not_in", .texts(["nba"]), false),
        ("signal_type", .text("model_edge_yes"), true), ("platform", .text("kalshi"), true),
        ("side", .text("no"), false), ("game_id", .text("game-1"), true), ("market_id_ne", .text("other"), true),
    ])
    func `every name compares with its own kind`(key: String, value: TradingRule.Value, blocks: Bool) throws {
        #expect(verdict(try read([key: value]), signal: try makeSignal()) == (blocks ? "rule_blocked" : "approved"))
    }

    @Test(arguments: [
        ["edge_pct_less": TradingRule.Value.number(3)], ["colour": .text("red")], ["": .text("nba")],
        ["_lt": .number(1)], ["sport_lt": .text("nba")], ["sport": .number(3)], ["sport": .text("cricket")],
        ["sport_in": .text("nba")], ["sport_in": .texts([])], ["price": .text("0.5")], ["price": .number(.nan)],
        ["price_lt": .number(.infinity)], ["price_in": .number(1)], ["edge_in": .texts(["1"])],
        ["sport": .text("nba"), "colour": .text("red")], [:], ["all": .text("yes")],
        ["all": .text("true"), "sport": .text("nba")],
    ])
    func `what is not understood refuses the rule and matches nothing`(
        conditions: [String: TradingRule.Value]
    ) throws {
        #expect(throws: DomainError.self) { try read(conditions) }
        var engine = SignalProcessorEngine(limits: wideLimits())
        let refused = engine.reloadRules([WrittenRule(id: "r", conditions: conditions, action: "reject")])
        #expect(refused.map(\.id) == ["r"] && refused.first?.keepsEarlier == false)
        #expect(engine.rules.isEmpty)
        let verdict = engine.decide(try makeSignal(), portfolio: freshPortfolio(), as: names, at: tipOff)
        #expect(verdict.name == "approved")
    }

    @Test func `a typing error does not lift a bar that held before`() throws {
        var engine = SignalProcessorEngine(limits: wideLimits())
        #expect(
            engine.reloadRules([WrittenRule(id: "r", conditions: ["sport": .text("nba")], action: "reject")]).isEmpty)
        let refused = engine.reloadRules([WrittenRule(id: "r", conditions: ["sprot": .text("nba")], action: "reject")])
        #expect(refused.first?.keepsEarlier == true)
        #expect(engine.rulesApplying(to: try makeSignal(), at: tipOff) == ["r"])
        #expect(engine.reloadRules([]).isEmpty && engine.rules.isEmpty, "one that is gone is gone")
    }

    @Test func `an action that is not understood refuses the rule`() throws {
        for (action, percent) in [
            ("block", nil), ("reject", 3), ("min_edge", nil), ("min_edge", -1), ("min_edge", 101), ("min_edge", .nan),
        ] as [(String, Double?)] {
            #expect(throws: DomainError.self, "\(action) \(percent ?? 0)") {
                try read(["sport": .text("nba")], action: action, percent: percent)
            }
        }
        #expect(
            try read(["all": .text("true")], action: "min_edge", percent: 4).action == .minimumEdge(basisPoints: 400))
    }

    @Test func `all conditions of a rule must hold, and any rule blocks`() throws {
        let narrow = try read(["sport": .text("nba"), "edge_lt": .number(17)])
        let other = try read(["game": .text("game-2")])
        #expect(verdict(narrow, other, signal: try makeSignal(edge: 1_800)) == "approved")
        #expect(verdict(narrow, other, signal: try makeSignal(edge: 1_650)) == "rule_blocked")
        #expect(verdict(narrow, other, signal: try makeSignal(game: "game-2")) == "rule_blocked")
        #expect(verdict(try read(["all": .text("true")]), signal: try makeSignal()) == "rule_blocked")
    }

    @Test func `a rule may ask for another edge, the strictest counts`() throws {
        let lax = try read(["all": .text("true")], action: "min_edge", percent: 4)
        let strict = try read(["sport": .text("nba")], action: "min_edge", percent: 10)
        #expect(verdict(lax, signal: try makeSignal(edge: 400)) == "approved")
        #expect(verdict(lax, strict, signal: try makeSignal(edge: 999)) == "edge_below_minimum")
        #expect(verdict(lax, strict, signal: try makeSignal(edge: 999, sport: .nhl)) == "approved")
    }

    @Test func `an expired rule does nothing, and replaced rules are gone`() throws {
        let expired = TradingRule(id: "a", conditions: [], action: .reject, expiresAt: tipOff)
        #expect(verdict(expired, signal: try makeSignal()) == "approved")
        var engine = SignalProcessorEngine(
            limits: wideLimits(), rules: [TradingRule(id: "a", conditions: [], action: .reject)])
        engine.replaceRules([])
        #expect(engine.decide(try makeSignal(), portfolio: freshPortfolio(), as: names, at: tipOff).name == "approved")
    }
}
