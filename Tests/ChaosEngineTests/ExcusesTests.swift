import ChaosEngine
import Resilience
import Testing

/// What the faults of a round are a reason for.
@Suite struct ExcusesTests {
    /// A round of `soak`, all well but for what is told and lost from its first fault on.
    private static func verdict(_ soak: Scenario, _ number: Int) throws -> Verdict {
        var round = HeldRound(soak, round: number, needsOrders: true)
        let verdict = round.held(within: .seconds(600)) { since, _ in
            var sample = Sample.steady
            sample.truth?.orders = since > .zero ? 6 : 5
            sample.messages = Sample.Messages(heard: 9, missing: since > .zero ? 1 : 0)
            if since > .zero {
                sample.alerts = ["reconciliationMismatch", "RedisConnectivityIssue"].map { .init($0, isFiring: true) }
            }
            return sample
        }
        return try #require(verdict, "the round has no end")
    }

    @Test func `faults that are drawn excuse what follows from them in their round, and nothing else`() throws {
        let soak = try #require(Scenario.named("soak"))
        func draws(_ part: Part, _ kind: Fault.Kind? = nil, in round: Int) -> Bool {
            soak.steps(in: round).contains { $0.fault.part == part && (kind == nil || $0.fault.kind == kind) }
        }
        let rounds = (1...60)
        #expect(rounds.contains { draws(.redis, .flush, in: $0) } && rounds.contains { !draws(.redis, in: $0) })
        for round in rounds {
            let verdict = try Self.verdict(soak, round)
            let excess = draws(.redis, in: round) ? [] : ["RedisConnectivityIssue"]
            #expect(verdict.falseAlerts == excess + ["reconciliationMismatch"], "round \(round)")
            #expect(
                verdict.problems.contains("1 journaled messages are lost") == !draws(.redis, .flush, in: round),
                "round \(round): \(verdict.problems)")
        }
    }
}
