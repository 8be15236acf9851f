import Resilience
import Runtime
import TestKit
import Testing

@Suite(.timeLimit(.minutes(1))) struct SupervisorTests {
    @Test func `an important part restarts after 1 s doubled up to 60 s`() async {
        // CHECKLIST S1, S2.
        let stand = Stand()
        stand.supervisor.add("feed", .important) { throw Broken() }
        var delays: [Duration] = []
        for _ in 0..<8 { delays.append(await stand.nextDelay()) }
        #expect(delays == [1, 2, 4, 8, 16, 32, 60, 60].map { .seconds($0) })
        await stand.time.untilSleepers(1)
        #expect(stand.supervisor.report.first?.restarts == 9)
        #expect(stand.supervisor.report.first?.state == .waiting)
        _ = await stand.supervisor.drain(within: .seconds(1))
    }

    @Test func `a run longer than 60 s starts the backoff over`() async {
        // CHECKLIST S3.
        let stand = Stand()
        let clock = MachineClock.manual(stand.time)
        let runs = Tally()
        stand.supervisor.add("feed", .important) {
            runs.note("run")
            if runs.count == 4 { try await clock.sleep(for: .seconds(61)) }
            throw Broken()
        }
        var delays: [Duration] = []
        for _ in 0..<6 { delays.append(await stand.nextDelay()) }
        #expect(delays == [1, 2, 4, 61, 1, 2].map { .seconds($0) })
        _ = await stand.supervisor.drain(within: .seconds(1))
    }

    @Test func `a clean return ends supervision of a part`() async throws {
        // CHECKLIST S4.
        let stand = Stand()
        let runs = Tally()
        stand.supervisor.add("once", .important) { runs.note("run") }
        stand.supervisor.add("twice", .critical) { runs.note("run") }
        stand.supervisor.seal()
        guard case .finished = await stand.supervisor.outcome() else {
            Issue.record("every part returned, so supervision is finished")
            return
        }
        #expect(runs.count == 2)
        #expect(stand.supervisor.report.allSatisfy { $0.state == .ended && $0.restarts == 0 })
    }

    @Test func `each run makes fresh resources`() async {
        // CHECKLIST S5.
        let stand = Stand()
        let made = Tally()
        stand.supervisor.add("connection", .important) {
            made.note(RandomSource.system.uuid())
            throw Broken()
        }
        for _ in 0..<3 { _ = await stand.nextDelay() }
        await stand.time.untilSleepers(1)
        #expect(made.count == 4 && Set(made.all).count == 4)
        _ = await stand.supervisor.drain(within: .seconds(1))
    }

    @Test func `restarts are reported with count, reason and run time`() async {
        // CHECKLIST S6.
        let stand = Stand()
        let clock = MachineClock.manual(stand.time)
        stand.supervisor.add("feed", .bestEffort) {
            try await clock.sleep(for: .seconds(5))
            throw Broken()
        }
        _ = await stand.nextDelay()
        await stand.time.untilSleepers(1)
        let report = stand.supervisor.report.first
        #expect(report?.restarts == 1 && report?.lastError == "broken" && report?.lastRunTime == .seconds(5))
        let key = "supervisor_restarts_total{part=\"feed\"}"
        #expect(stand.metrics.snapshot()[key] == 1)
        let line = stand.capture.lines.first { $0.contains("will restart") } ?? ""
        #expect(line.contains("part=feed") && line.contains("reason=broken") && line.contains("run_time_ms=5000"))
        #expect(line.contains("restarts=1") && line.contains("delay_ms=1000"))
        _ = await stand.supervisor.drain(within: .seconds(1))
    }

    @Test func `a critical failure decides the outcome`() async {
        // CHECKLIST S7.
        let stand = Stand()
        stand.supervisor.add("healthy", .important) { try await forever() }
        stand.supervisor.add("bus", .critical) { throw Broken() }
        guard case .failed(let part, let error) = await stand.supervisor.outcome() else {
            Issue.record("a critical failure must end supervision")
            return
        }
        #expect(part == "bus" && error is Broken)
        let isClean = await stand.supervisor.drain(within: .seconds(1))
        #expect(isClean)
        #expect(stand.supervisor.report.map(\.state) == [.stopped, .failed])
    }

    @Test func `an important part that restarts too often counts as critical`() async {
        let stand = Stand(intensity: RestartIntensity(atMost: 3, within: .seconds(600)))
        stand.supervisor.add("feed", .important) { throw Broken() }
        for _ in 0..<3 { _ = await stand.nextDelay() }
        guard case .failed("feed", _) = await stand.supervisor.outcome() else {
            Issue.record("the fourth failure must end supervision")
            return
        }
        #expect(stand.supervisor.report.first?.restarts == 3)
    }

    @Test func `a best-effort part fails a thousand times and ends nothing`() async {
        // CHECKLIST S8.
        let stand = Stand()
        stand.supervisor.add("nice to have", .bestEffort) { throw Broken() }
        for _ in 0..<1000 { _ = await stand.nextDelay() }
        await stand.time.untilSleepers(1)
        #expect(stand.supervisor.report.first?.restarts == 1001)
        #expect(stand.supervisor.report.first?.state == .waiting)
        _ = await stand.supervisor.drain(within: .seconds(1))
    }

    @Test func `a cancellation error that nobody asked for is a failure like any other`() async {
        let stand = Stand()
        stand.supervisor.add("feed", .important) { throw CancellationError() }
        #expect(await stand.nextDelay() == .seconds(1))
        _ = await stand.supervisor.drain(within: .seconds(1))
    }

    @Test func `drain runs the hooks in reverse while the parts live, then ends the parts in reverse`() async throws {
        // CHECKLIST N34.
        let stand = Stand()
        let order = Tally()
        let begun = Tally()
        for name in ["redis", "bus"] {
            stand.supervisor.add(name, .critical) {
                begun.note(name)
                defer { order.note("\(name) ends") }
                try await forever()
            }
            stand.supervisor.onDrain(name) { order.note("\(name) drains") }
        }
        try await eventually("both live") { begun.count == 2 }
        let isClean = await stand.supervisor.drain(within: .seconds(10))
        #expect(isClean)
        #expect(order.all == ["bus drains", "redis drains", "bus ends", "redis ends"])
        stand.supervisor.add("late", .critical) { order.note("late") }
        #expect(stand.supervisor.report.count == 2)
    }

    @Test func `a hook and a part that hang neither hold the drain nor starve the others`() async throws {
        let stand = Stand()
        let order = Tally()
        let release = Promise<Bool>()
        stand.supervisor.add("stubborn", .important) { await stubborn(release) }
        stand.supervisor.onDrain("first") { order.note("first") }
        stand.supervisor.onDrain("hangs") { await stubborn(release) }
        let isClean = try await running(stand.time) { await stand.supervisor.drain(within: .seconds(10)) }
        #expect(!isClean)
        #expect(order.all == ["first"])
        #expect(stand.time.now <= MachineInstant.origin.advanced(by: .seconds(10)))
        release.fulfil(true)
    }
}
