import FleetTestKit
import Foundation
import Resilience
import Runtime

/// Faults of any part at random: how often the suite is whole again by itself, and after how long (CHECKLIST R98, R99).
///
/// A killed process is started again after 5 s, as `linesman up` does, and whatever else failed is mended then too;
/// nothing else is touched. Whole means: every game is seen by a well shard, every service is heard and well, and
/// signals are approved again.
enum RecoveryBench {
    private struct Outcome: Sendable {
        let trouble: FleetTrouble
        /// From the fault until the suite was whole and stayed so; nil when it was not in time.
        let recovery: Duration?
    }

    /// What `linesman up` waits before the first restart.
    private static let restart = Duration.seconds(5)
    /// The bar of R98; later is not recovered.
    private static let limit = Duration.seconds(120)
    /// So long it must stay whole.
    private static let settling = Duration.seconds(3)

    static func run(_ bench: FleetBench, _ report: inout Report) async throws {
        let rounds = bench.options.fleetRounds
        let outcomes = try await bench.withFleet { fleet, _ in
            var random = SeededGenerator(seed: bench.options.seed)
            var outcomes: [Outcome] = []
            for round in 1...rounds {
                guard let trouble = FleetTrouble.all.randomElement(using: &random) else { break }
                let pause = Duration.milliseconds(Int.random(in: 0..<500, using: &random))
                try await bench.clock.sleep(for: pause)
                let outcome = try await recover(from: trouble, fleet, bench)
                let length = outcome.recovery.map { String(format: "%.1f s", $0.seconds) } ?? "never"
                bench.say(
                    "round \(round) of \(rounds): \(trouble.name), whole after \(length); load \(FleetBench.load)")
                outcomes.append(outcome)
                guard outcome.recovery == nil else { continue }
                bench.say("whole \(fleet.isWhole); signals of the last 30 s: \(try await fleet.recentVerdicts())")
                try await fleet.untilReady(within: .seconds(120))
            }
            return outcomes
        }
        tell(outcomes, &report)
    }

    private static func recover(
        from trouble: FleetTrouble, _ fleet: FaultyFleet, _ bench: FleetBench
    ) async throws -> Outcome {
        let began = bench.clock.now
        try await fleet.hurt(trouble)
        let mending = Task {
            try await bench.clock.sleep(until: began.advanced(by: restart))
            try await fleet.mend(trouble)
        }
        var attempt = Attempt()
        while bench.clock.now < began.advanced(by: limit) {
            try await bench.clock.sleep(for: .milliseconds(50))
            // Before that the fault need not have shown.
            guard bench.clock.now >= began.advanced(by: restart) else { continue }
            // Without an answer of PostgreSQL nothing is whole.
            let approvals = fleet.isWhole ? try? await fleet.approvals() : nil
            guard let since = attempt.note(approvals, at: bench.clock.now) else { continue }
            try await mending.value
            return Outcome(trouble: trouble, recovery: began.duration(to: since))
        }
        try await mending.value
        return Outcome(trouble: trouble, recovery: nil)
    }

    /// Since when the suite is whole, and since when it trades again.
    private struct Attempt {
        private var approvedBefore: Int?
        private var since: MachineInstant?

        /// - `approvals`: how many there are by now; nil while the suite is not whole.
        /// - Returns: since when it is whole and trades, once that has lasted.
        mutating func note(_ approvals: Int?, at now: MachineInstant) -> MachineInstant? {
            guard let approvals else {
                self = Attempt()
                return nil
            }
            let before = approvedBefore ?? approvals
            approvedBefore = before
            if since == nil, approvals > before { since = now }
            return since.flatMap { now.since($0) >= settling ? $0 : nil }
        }
    }

    private static func tell(_ outcomes: [Outcome], _ report: inout Report) {
        let times = outcomes.compactMap { $0.recovery?.seconds }
        let rate = Double(times.count) / Double(max(1, outcomes.count)) * 100
        let mean = times.isEmpty ? nil : times.reduce(0, +) / Double(times.count)
        report.set("recovery_faults", to: .number(Double(outcomes.count)))
        report.add(
            Bar("recovered by itself, %, of \(outcomes.count)", rate, .atLeast(95)), as: "recovery_rate_percent")
        report.add(Bar("mean time to recovery, s", mean, .atMost(120)), as: "recovery_mean_s")
        if let longest = times.max() { report.set("recovery_max_s", to: .number(longest)) }
        for (name, own) in Dictionary(grouping: outcomes, by: \.trouble.name).sorted(by: { $0.key < $1.key }) {
            let longest = own.compactMap { $0.recovery?.seconds }.max().map { String(format: "%.1f s", $0) } ?? "never"
            let failed = own.count { $0.recovery == nil }
            report.note("\(name): \(own.count) times, whole after \(longest) at most, \(failed) not in time")
        }
    }
}
