import ChaosEngine
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Servers

/// The rounds of one command, from the first to the table.
struct ChaosSession: Sendable {
    let scenarios: [Scenario]
    let rounds: Int
    let kept: KeptRounds
    let holdsControls: Bool
    /// How many suites of their own live side by side.
    let suites: Int
    /// Of what is rehearsed.
    let build: ChaosBuild
    /// Whether a scenario that cannot be held here is no failure.
    var allowsLeftOut = false
    /// Where the logs of a suite go in which a round has failed; nil to keep none.
    var logs: String?

    /// On suites of their own, one for the rounds of each scenario, which are taken down again.
    ///
    /// After a round that failed the next one has a new suite: what is broken there must decide nothing here. What
    /// needs the machine for itself comes last.
    ///
    /// - Returns: whether every round has held.
    func holdLocally() async throws -> Bool {
        let due = NIOLockedValueBox(scenarios.filter { !Self.needsMachine($0) }[...])
        let unable = NIOLockedValueBox<[String]>([])
        @Sendable func holdNext(_ next: Scenario) async throws {
            if try await !holdLocally(next) { unable.withLockedValue { $0.append(next.name) } }
        }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for _ in 0..<suites {
                tasks.addTask { while let next = due.withLockedValue({ $0.popFirst() }) { try await holdNext(next) } }
            }
            try await tasks.waitForAll()
        }
        for scenario in scenarios where Self.needsMachine(scenario) { try await holdNext(scenario) }
        await PrivatePostgres.forgetTemplate()
        let missed = unable.withLockedValue { $0 }
        if !missed.isEmpty { Console.complain("could not be held: \(missed.joined(separator: ", "))") }
        return conclude() && missed.isEmpty
    }

    private static func needsMachine(_ scenario: Scenario) -> Bool {
        scenario.faults.contains { $0.part == .machine }
    }

    /// False when a suite could not be started three times.
    private func holdLocally(_ scenario: Scenario) async throws -> Bool {
        var failures = 0
        while isDue(scenario, onBusySuite: true) {
            do {
                let target = try await LocalTarget.start(for: scenario)
                try await Self.stopping(target) { try await hold(scenario, on: target) }
            } catch let obstacle as Obstacle {
                try leaveOut(scenario, obstacle)
                return true
            } catch let failure where !(failure is CancellationError) && !Task.isCancelled {
                Console.complain("\(scenario.name): \(failure)")
                failures += 1
                if failures == 3 { return false }
            }
        }
        return true
    }

    private static func stopping(_ target: LocalTarget, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch {
            await target.stop()
            throw error
        }
        await target.stop()
    }

    /// On one that runs already.
    ///
    /// - Returns: whether every round has held.
    func hold(on target: some ChaosTarget) async throws -> Bool {
        for scenario in scenarios where isDue(scenario, onBusySuite: target.isBusy) {
            do {
                try await hold(scenario, on: target)
            } catch let obstacle as Obstacle {
                try leaveOut(scenario, obstacle)
            }
        }
        return conclude()
    }

    private func leaveOut(_ scenario: Scenario, _ obstacle: Obstacle) throws {
        Console.say("\(scenario.name): left out, \(obstacle.why)")
        try kept.leaveOut(scenario, obstacle.why)
    }

    /// What was not held proves nothing, so it does not pass for held.
    private func conclude() -> Bool {
        Console.say("\n" + kept.report.table)
        let leftOut = scenarios.map(\.name).filter { kept.report.leftOut?[$0] != nil }
        if !leftOut.isEmpty, !allowsLeftOut {
            Console.complain("left out: \(leftOut.joined(separator: ", ")); --allow-left-out takes it for a success")
            return false
        }
        return kept.report.hasPassed
    }

    private func isDue(_ scenario: Scenario, onBusySuite isBusy: Bool) -> Bool {
        kept.isDue(scenario, rounds, withControl: holdsControls, onBusySuite: isBusy)
    }

    /// Until every round is held, or one has failed on a suite of its own.
    private func hold(_ scenario: Scenario, on target: some ChaosTarget) async throws {
        try await Self.requireNoObstacle(to: scenario, on: target)
        let places = try await target.places()
        if scenario.stillAfter != nil, places.venue == nil {
            throw Obstacle(why: "no venue says what it was sent (--profile demo)")
        }
        let sampler = WorldSampler(places)
        let run = ChaosRun(target: target, sampler: sampler, clock: .real)
        // Both end with this function.
        let looking = Task { try await sampler.run() }
        defer { looking.cancel() }
        let watching = Task { await target.watch() }
        defer { watching.cancel() }
        while isDue(scenario, onBusySuite: target.isBusy) {
            try await target.findAgain()
            // A suite of our own trades paper and has no account before its first moments.
            if !target.isOwn {
                try await RealMoney.refuse(places.database)
                try await RealMoney.refuse(pages: places.orchestrators)
            }
            let missing = kept.report.missingControls(of: scenario, onBusySuite: target.isBusy)
            let control = holdsControls ? missing.first : nil
            let number = control == nil ? kept.report.held(scenario.name) + 1 : 0
            let hasPassed = try await hold(scenario, number, control: control, run)
            if !hasPassed, let logs {
                try target.keepLogs(in: "\(logs)/\(scenario.name)-\(control?.rawValue ?? "\(number)")")
            }
            if !hasPassed, target.isOwn { return }
        }
    }

    /// What a target cannot do.
    private struct Obstacle: Error {
        let why: String
    }

    private static func requireNoObstacle(to scenario: Scenario, on target: some ChaosTarget) async throws {
        let hasStandby = try await target.hasStandby
        if scenario.standby == .needed, !hasStandby { throw Obstacle(why: "nobody stands by (--profile ha)") }
        if scenario.standby == .absent, hasStandby {
            throw Obstacle(why: "somebody stands by (docker compose stop orchestrator-standby)")
        }
        let found = scenario.faults.compactMap(target.obstacle)
        if !found.isEmpty { throw Obstacle(why: found.sorted().joined(separator: "; ")) }
    }

    private func hold(
        _ scenario: Scenario, _ number: Int, control: Finding?, _ run: ChaosRun
    ) async throws -> Bool {
        let begin = run.clock.now
        let isControl = control != nil
        var verdict: Verdict
        do {
            verdict = try await run.round(scenario, number, control: control)
        } catch let missed as NeverStruck {
            throw Obstacle(why: "\(missed): there were no orders; hold it again while there are")
        }
        if control == .lostMessages { run.sampler.writeOffMessages() }
        verdict.problems += run.target.troubles()
        if run.sampler.hasMissedVenue { verdict.problems.append("orders were not compared with the venue's") }
        if run.sampler.hasMissedJournals { verdict.problems.append("nobody listened to the journals") }
        let name =
            control.map { "\(scenario.name), control \($0.rawValue)" }
            ?? "\(scenario.name), round \(number) of \(rounds)"
        let times = [
            ("detected", verdict.detected), ("at the sink", verdict.delivered), ("recovered", verdict.recovered),
        ].compactMap { word, length in
            length.map { "\(word) after \($0.inSeconds.formatted(decimals: 2)) s" }
        }
        let orders = isControl ? [] : ["\(verdict.orders) orders", "\(verdict.messages) messages"]
        let took = run.clock.now.since(begin)
        let problems = control == .unsteady && verdict.passed ? [] : verdict.problems
        let parts = [verdict.passed ? "held" : "FAILED"] + times + orders + problems
        Console.say("\(name): \(parts.joined(separator: ", ")) (\(took.inSeconds.formatted(decimals: 0)) s)")
        if !verdict.passed || scenario.recovery == .undo {
            for wait in verdict.waits.prefix(4) {
                Console.say("    \(wait.until.inSeconds.formatted(decimals: 2)) s: \(wait.trouble)")
            }
        }
        try kept.add(ChaosReport.Round(verdict, took: took, of: build))
        return verdict.passed
    }
}
