import Domain
import SignalProcessorEngine
import Testing

struct TradingRuleTests {
    private func verdict(_ rules: TradingRule..., signal: Signal) -> String {
        SignalProcessorEngine(limits: wideLimits(), rules: rules)
            .decide(signal, portfolio: freshPortfolio(), as: names, at: tipOff).name
    }

    @Test(arguments: [
        (TradingRule.Comparison.equal, 50.0, true), (.equal, 49, false), (.notEqual, 49, true), (.less, 51, true),
        (.less, 50, false), (.lessOrEqual, 50, true), (.greater, 49, true), (.greater, 50, false),
        (.greaterOrEqual, 50, true),
    ])
    func `every comparison means what it says`(
        comparison: TradingRule.Comparison, cents: Double, blocks: Bool
    ) throws {
        let rule = TradingRule(
            id: "r", conditions: [.init(.price, comparison, .number(cents / 100))], action: .reject)
        #expect(verdict(rule, signal: try makeSignal()) == (blocks ? "rule_blocked" : "approved"))
    }

    @Test func `all conditions of a rule must hold, and any rule blocks`() throws {
        let narrow = TradingRule(
            id: "a", conditions: [.init(.sport, .equal, .text("nba")), .init(.edge, .less, .number(17))],
            action: .reject)
        let other = TradingRule(id: "b", conditions: [.init(.game, .equal, .text("game-2"))], action: .reject)
        #expect(verdict(narrow, other, signal: try makeSignal(edge: 1_800)) == "approved")
        #expect(verdict(narrow, other, signal: try makeSignal(edge: 1_650)) == "rule_blocked")
        #expect(verdict(narrow, other, signal: try makeSignal(game: "game-2")) == "rule_blocked")
    }

    @Test func `a rule without conditions, and one that compares apples with numbers, block everything`() throws {
        #expect(
            verdict(TradingRule(id: "a", conditions: [], action: .reject), signal: try makeSignal()) == "rule_blocked")
        let broken = TradingRule(id: "b", conditions: [.init(.sport, .less, .number(3))], action: .reject)
        #expect(verdict(broken, signal: try makeSignal()) == "rule_blocked")
    }

    @Test func `a rule may ask for another edge, the strictest counts`() throws {
        let lax = TradingRule(id: "a", conditions: [], action: .minimumEdge(basisPoints: 400))
        let strict = TradingRule(
            id: "b", conditions: [.init(.sport, .equal, .text("nba"))], action: .minimumEdge(basisPoints: 1_000))
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
