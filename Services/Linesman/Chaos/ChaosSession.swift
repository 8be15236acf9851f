import ChaosEngine
import Resilience
import Runtime

/// The rounds of one command, from the first to the table.
struct ChaosSession: Sendable {
    let scenarios: [Scenario]
    let rounds: Int
    /// The file that keeps every round.
    let report: String?
    let holdsControls: Bool

    /// On suites of their own, one for each scenario, which are taken down again.
    ///
    /// - Returns: whether every round has held.
    func holdLocally() async throws -> Bool {
        var kept = try report.map { try ChaosReport.load($0) } ?? ChaosReport()
        for scenario in scenarios where isDue(scenario, kept) {
            let target = try await LocalTarget.start()
            do {
                try await hold(scenario, on: target, &kept)
            } catch {
                await target.stop()
                throw error
            }
            await target.stop()
        }
        return conclude(kept)
    }

    /// On one that runs already.
    ///
    /// - Returns: whether every round has held.
    func hold(on target: some ChaosTarget) async throws -> Bool {
        var kept = try report.map { try ChaosReport.load($0) } ?? ChaosReport()
        for scenario in scenarios where isDue(scenario, kept) { try await hold(scenario, on: target, &kept) }
        return conclude(kept)
    }

    private func conclude(_ kept: ChaosReport) -> Bool {
        Console.say("\n" + kept.table)
        return kept.hasPassed
    }

    private func isDue(_ scenario: Scenario, _ kept: ChaosReport) -> Bool {
        kept.held(scenario.name) < rounds || (holdsControls && !kept.hasControl(scenario.name))
    }

    private func hold(_ scenario: Scenario, on target: some ChaosTarget, _ kept: inout ChaosReport) async throws {
        if let why = try await obstacle(to: scenario, on: target) {
            Console.say("\(scenario.name): left out, \(why)")
            return
        }
        let places = try await target.places()
        try await Self.refuseRealMoney(places)
        let sampler = WorldSampler(places)
        let run = ChaosRun(target: target, sampler: sampler, clock: .real)
        // Ends with this function.
        let looking = Task { try await sampler.run() }
        defer { looking.cancel() }
        if holdsControls, !kept.hasControl(scenario.name) {
            try await hold(scenario, 0, isControl: true, run, &kept)
        }
        while kept.held(scenario.name) < rounds {
            try await hold(scenario, kept.held(scenario.name) + 1, isControl: false, run, &kept)
        }
    }

    private func obstacle(to scenario: Scenario, on target: some ChaosTarget) async throws -> String? {
        if scenario.needsStandby, try await !target.hasStandby { return "nobody stands by (--profile ha)" }
        let found = scenario.faults.compactMap(target.obstacle)
        return found.isEmpty ? nil : found.sorted().joined(separator: "; ")
    }

    private func hold(
        _ scenario: Scenario, _ number: Int, isControl: Bool, _ run: ChaosRun, _ kept: inout ChaosReport
    ) async throws {
        var verdict = try await run.round(scenario, number, isControl: isControl)
        if run.sampler.hasMissedVenue { verdict.problems.append("orders were not compared with the venue's") }
        if run.target.isBusy, !isControl, verdict.orders == 0 { verdict.problems.append("no order was made meanwhile") }
        let name = isControl ? "\(scenario.name), control" : "\(scenario.name), round \(number) of \(rounds)"
        let times = [
            ("detected", verdict.detected), ("at the sink", verdict.delivered), ("recovered", verdict.recovered),
        ].compactMap { word, length in
            length.map { "\(word) after \($0.inSeconds.formatted(decimals: 2)) s" }
        }
        let orders = isControl ? [] : ["\(verdict.orders) orders"]
        let parts = [verdict.passed ? "held" : "FAILED"] + times + orders + (isControl ? [] : verdict.problems)
        Console.say("\(name): \(parts.joined(separator: ", "))")
        kept.rounds.append(ChaosReport.Round(verdict))
        if let report { try kept.save(report) }
    }

    /// A rehearsal breaks what it is held against.
    private static func refuseRealMoney(_ places: SuitePlaces) async throws {
        for address in places.orchestrators {
            // One that does not answer is found out by the precondition.
            guard let status: SuiteStatus = try? await LocalHTTP().get("\(address)/status") else { continue }
            guard status.tradingMode != "live" else {
                throw ChaosFailure("this suite trades real money; rehearse on another one")
            }
        }
    }
}
