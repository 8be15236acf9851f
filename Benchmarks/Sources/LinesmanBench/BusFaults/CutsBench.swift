import BusTestKit

/// Numbered messages while Redis is cut at random: acknowledged ⊆ received ⊆ attempted, in order, none twice.
enum CutsBench {
    static func run(_ bench: FaultBench, _ report: inout Report) async throws {
        let run = CutRun(
            seed: bench.options.seed, messages: 10_000, cuts: bench.options.faultRounds, longest: .seconds(4),
            pace: .milliseconds(8), patience: .seconds(180), settings: { FaultBench.settings($0) },
            report: { bench.say($0) })
        let verdict = CutVerdict(try await run.run())
        for line in verdict.lines { report.note("cuts: \(line)") }
        for violation in verdict.violations { report.violation("cuts: \(violation)") }
        report.set("cuts", to: .number(Double(run.schedule.cuts.count)))
        report.set("cuts_seed", to: .text("\(run.schedule.seed)"))
        for (key, count) in [
            ("attempted", verdict.attempted), ("acknowledged", verdict.acknowledged), ("received", verdict.received),
            ("gaps", verdict.gaps), ("hints_attempted", verdict.hintsAttempted), ("hints_lost", verdict.hintsLost),
        ] { report.set("cuts_\(key)", to: .number(Double(count))) }
        report.add(
            Bar("cuts: acknowledged but not received", Double(verdict.lost), .atMost(0)), as: "cuts_acknowledged_lost")
        report.add(Bar("cuts: received twice", Double(verdict.duplicates), .atMost(0)), as: "cuts_duplicates")
        report.add(Bar("cuts: out of order", Double(verdict.outOfOrder), .atMost(0)), as: "cuts_out_of_order")
        report.add(
            Bar("cuts: hints lost without a gap", Double(verdict.hintsLostUnreported), .atMost(0)),
            as: "cuts_hint_lost_unreported")
    }
}
