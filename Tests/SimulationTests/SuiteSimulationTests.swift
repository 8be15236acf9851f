import Foundation
import Resilience
import TestKit
import Testing

@testable import Simulation

/// The whole suite on one virtual clock, each run from one seed: what must hold after every step, and in the end.
///
/// `LINESMAN_SIMULATION_SUITE_SEEDS` names how many runs there are, `LINESMAN_SIMULATION_FIRST` the first seed.
@Suite struct SuiteSimulationTests {
    private static let runs = SeededRuns(
        "LINESMAN_SIMULATION_SUITE_SEEDS", standard: 1_000, first: "LINESMAN_SIMULATION_FIRST")

    @Test(arguments: runs.chunks(of: 50))
    func `limits, owners, reservations, orders and alerts hold after every step`(_ seeds: Range<UInt64>) {
        for seed in seeds {
            let outcome = SimulationRun.run(seed, plant: nil)
            #expect(outcome.violations.isEmpty, "\(Self.explained(outcome))")
            #expect(outcome.signals > 0 && outcome.moves > 0, "seed \(seed): nothing happened")
        }
    }

    @Test func `every kept seed runs clean`() throws {
        for kept in try KeptSeed.read(from: KeptSeed.file) {
            let outcome = SimulationRun.run(kept.seed)
            #expect(outcome.violations.isEmpty, "kept for \(kept.reason): \(Self.explained(outcome))")
        }
    }

    /// What went wrong, the least that it takes, and the line that keeps it.
    private static func explained(_ outcome: SimulationOutcome) -> String {
        let shown = "seed \(outcome.seed): \(outcome.violations.prefix(4).joined(separator: "; "))"
        guard let shrunk = SimulationRun.shrink(outcome.seed, atMost: 100) else { return shown }
        let troubles = shrunk.troubles.joined(separator: "; ")
        return """
            \(shown). It takes \(shrunk.troubles.count) of \(shrunk.of) troubles: \(troubles). To keep it, add to \
            \(KeptSeed.file.lastPathComponent): \(KeptSeed(seed: outcome.seed, reason: shrunk.violation).line)
            """
    }

    @Test(arguments: [UInt64(1), 4, 1_000_003])
    func `the same seed gives the same SHA-256 of everything that happened`(_ seed: UInt64) {
        let (first, second) = (SimulationRun.run(seed), SimulationRun.run(seed, isTold: true))
        #expect(first.digest == second.digest && first.steps == second.steps)
        #expect(first.digest.count == 64)
        #expect(first.digest != SimulationRun.run(seed + 1).digest)
    }

    @Test func `a run that is cut short is the beginning of the whole`() {
        let (short, whole) = (SimulationRun.run(7, steps: 3_000, isTold: true), SimulationRun.run(7, isTold: true))
        #expect(short.steps == 3_000 && whole.steps > 3_000)
        #expect(Array(whole.history.prefix(short.history.count)) == short.history)
    }

    @Test func `a series goes on with the next seed until its steps are used up`() {
        var seeds: [UInt64] = []
        func series() -> SimulationSeries {
            SimulationSeries.run(from: 3, steps: 30_000, untilFailure: false) { seeds.append($0.seed) }
        }
        let (first, second) = (series(), series())
        #expect(first.steps == 30_000 && first.seeds == 2 && seeds == [3, 4, 3, 4])
        #expect(first.digest == second.digest && first.failures.isEmpty)
    }

    /// Test of the tests: whatever is broken on purpose is found, and within how many seeds.
    @Test(arguments: Plant.allCases)
    func `a mistake made on purpose is found within a thousand seeds`(_ plant: Plant) {
        let found = (1...UInt64(1_000)).first { seed in
            SimulationRun.run(seed, plant: plant).violations.contains { $0.contains(plant.problem) }
        }
        #expect(found != nil, "\(plant) stayed unseen in 1,000 seeds")
    }

    /// The order path is really used: all of it, over a few seeds.
    @Test func `signals become orders, orders fills, and games change hands`() {
        let outcomes = (1...UInt64(20)).map { SimulationRun.run($0) }
        #expect(outcomes.reduce(0) { $0 + $1.signals } > 400)
        #expect(outcomes.reduce(0) { $0 + $1.orders } > 100)
        #expect(outcomes.reduce(0) { $0 + $1.fills } > 100)
        #expect(outcomes.reduce(0) { $0 + $1.plans } > 20)
        #expect(outcomes.reduce(0) { $0 + $1.moves } > 500)
        // Not in calm alone.
        #expect(outcomes.reduce(0) { $0 + $1.judged } > 100)
    }
}
