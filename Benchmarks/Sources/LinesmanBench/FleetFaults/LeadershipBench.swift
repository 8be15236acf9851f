import FleetTestKit
import Foundation
import Resilience
import Runtime

/// The leading one of two orchestrators fails: how long until the other leads, and until shards are granted leases
/// again (CHECKLIST N35).
enum LeadershipBench {
    private struct Outcome: Sendable {
        let loss: OrchestratorPair.Loss
        /// Until the row named the other; nil when it never did.
        var leads: Double?
        /// Until it granted the first lease under its term.
        var grants: Double?
        var termsGained: Int64 = 0
    }

    static func run(_ bench: FleetBench, _ report: inout Report) async throws {
        let rounds = bench.options.fleetRounds
        let (outcomes, moved, unowned) = try await bench.withFleet { fleet, _ in
            let pair = try await OrchestratorPair.start(in: fleet)
            let moves = try await fleet.moves()
            var random = SeededGenerator(seed: bench.options.seed)
            var outcomes: [Outcome] = []
            for round in 1...rounds {
                let loss = OrchestratorPair.Loss.allCases[round % OrchestratorPair.Loss.allCases.count]
                try await pair.untilBothThere()
                // Anywhere within a renewal.
                try await bench.clock.sleep(for: .milliseconds(Int.random(in: 0..<1_000, using: &random)))
                let outcome = try await fail(loss, pair, fleet, bench)
                bench.say(
                    "round \(round) of \(rounds): \(loss.rawValue), followed after \(outcome.leads ?? -1) s, grants "
                        + "after \(outcome.grants ?? -1) s; load \(FleetBench.load)")
                outcomes.append(outcome)
            }
            try await pair.untilBothThere()
            return (outcomes, try await fleet.moves() - moves, try await fleet.unowned())
        }
        report.set("leadership_rounds", to: .number(Double(outcomes.count)))
        report.add(
            Bar("leader lost: the other leads after, s, max", outcomes.compactMap(\.leads).max(), .atMost(5)),
            as: "leadership_taken_max_s")
        report.set("leadership_taken_median_s", to: .number(outcomes.compactMap(\.leads).percentile(0.5) ?? -1))
        report.set("leadership_granting_max_s", to: .number(outcomes.compactMap(\.grants).max() ?? -1))
        report.add(Bar("games moved", Double(moved), .atMost(0)), as: "leadership_moves")
        let lost = outcomes.count { $0.leads == nil || $0.grants == nil }
        if lost > 0 { report.violation("nobody led after \(lost) of \(outcomes.count) losses") }
        if moved > 0 { report.violation("\(moved) games moved because the leader changed") }
        if unowned > 0 { report.violation("\(unowned) games without an owner") }
        if outcomes.contains(where: { $0.termsGained != 1 }) { report.violation("a term was skipped or kept") }
        for (loss, own) in Dictionary(grouping: outcomes, by: \.loss.rawValue).sorted(by: { $0.key < $1.key }) {
            let times = own.compactMap(\.leads)
            report.note(
                "leader \(loss): \(own.count) times, followed after \(times.percentile(0.5) ?? -1) s (median), "
                    + "\(times.max() ?? -1) s (maximum)")
        }
    }

    private static func fail(
        _ loss: OrchestratorPair.Loss, _ pair: OrchestratorPair, _ fleet: FaultyFleet, _ bench: FleetBench
    ) async throws -> Outcome {
        var outcome = Outcome(loss: loss)
        guard let (leader, term) = try await pair.leader() else { return outcome }
        let began = try await pair.hurt(leader, loss)
        let end = began.advanced(by: .seconds(30))
        while outcome.grants == nil, bench.clock.now < end {
            try await bench.clock.sleep(for: .milliseconds(20))
            if outcome.leads == nil, let now = try await pair.leader(), now.index != leader {
                outcome.leads = began.duration(to: bench.clock.now).seconds
                outcome.termsGained = now.term - term
            }
            guard outcome.leads != nil else { continue }
            outcome.grants = fleet.watch.grant(under: term + outcome.termsGained).map { began.duration(to: $0).seconds }
        }
        try await pair.mend(leader, loss)
        return outcome
    }
}
