import NIOConcurrencyHelpers
import Resilience
import Runtime
import TestKit
import Testing

@Suite(.timeLimit(.minutes(1))) struct DeadlineTests {
    @Test func `an answer in time is returned and an error passed on`() async throws {
        let answer = try await withDeadline(.seconds(60), clock: .real) { 42 }
        #expect(answer == 42)
        await #expect(throws: Broken.self) { try await withDeadline(.seconds(60), clock: .real) { throw Broken() } }
    }

    @Test func `it returns at the deadline even when the operation ignores cancellation`() async {
        // DESIGN rule 13.
        let time = ManualTime()
        let release = Promise<Bool>()
        let ended = Tally()
        let outcome = Task {
            try await withDeadline(.seconds(5), clock: .manual(time)) {
                await stubborn(release)
                ended.note("remainder")
            }
        }
        await time.untilSleepers(1)
        time.advance(by: .seconds(5))
        await #expect(throws: DeadlineExceeded(after: .seconds(5))) { try await outcome.value }
        #expect(ended.count == 0)
        release.fulfil(true)
    }

    @Test func `the operation is cancelled at the deadline`() async throws {
        let time = ManualTime()
        let ended = Tally()
        let outcome = Task {
            try await withDeadline(.seconds(5), clock: .manual(time)) {
                defer { ended.note("cancelled") }
                try await forever()
            }
        }
        await time.untilSleepers(1)
        time.advance(by: .seconds(5))
        await #expect(throws: DeadlineExceeded.self) { try await outcome.value }
        try await eventually("the operation saw its cancellation") { ended.count == 1 }
    }

    @Test func `cancelling the caller returns at once`() async {
        let release = Promise<Bool>()
        let task = Task { try await withDeadline(.seconds(3600), clock: .real) { await stubborn(release) } }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        release.fulfil(true)
    }
}

@Suite(.timeLimit(.minutes(1))) struct ClockTests {
    @Test func `a manual clock wakes sleepers in the order of their deadlines`() async throws {
        let time = ManualTime()
        let clock = MachineClock.manual(time)
        async let late: Void = clock.sleep(for: .seconds(2))
        async let early: Void = clock.sleep(for: .seconds(1))
        await time.untilSleepers(2)
        time.advance(by: .milliseconds(999))
        #expect(time.sleeperCount == 2)
        time.advance(by: .milliseconds(1))
        try await early
        #expect(time.sleeperCount == 1)
        time.advance(by: .seconds(10))
        try await late
        #expect(clock.now == MachineInstant(nanoseconds: 11_000_000_000))
    }

    @Test func `a sleeper that is cancelled leaves, also when cancelled before it sleeps`() async {
        let time = ManualTime()
        let task = Task { try await MachineClock.manual(time).sleep(for: .seconds(1)) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(time.sleeperCount == 0)
    }

    @Test func `a deadline that has passed does not sleep`() async throws {
        try await MachineClock.manual(ManualTime()).sleep(until: .origin)
        try await MachineClock.real.sleep(until: .origin)
    }

    @Test func `the real clock runs forward`() async throws {
        let before = MachineClock.real.now
        try await MachineClock.real.sleep(for: .milliseconds(5))
        #expect(MachineClock.real.now.since(before) >= .milliseconds(5))
    }

    @Test func `wall time is shown in UTC`() {
        #expect(WallClock.text(1_776_726_799_000_004) == "2026-04-20T23:13:19.000004Z")
    }

    @Test func `a watchdog barks when nothing is done, also when nothing ever was`() async {
        let time = ManualTime()
        let watchdog = Watchdog("recorder", limit: .seconds(90), clock: .manual(time))
        let watched = Task { try await watchdog.run() }
        await time.untilSleepers(1)
        time.advance(by: .seconds(60))
        watchdog.progress()
        time.advance(by: .seconds(30))
        await time.untilSleepers(1)
        #expect(time.nextDeadline == MachineInstant.origin.advanced(by: .seconds(150)))
        time.advance(by: .seconds(60))
        let stall = await #expect(throws: Stall.self) { try await watched.value }
        #expect(stall?.description == "recorder: no progress for 90.0 seconds")
    }
}

@Suite(.timeLimit(.minutes(1))) struct BootCheckTests {
    private func check(
        _ probes: [(String, BootCheck.Probe)], time: ManualTime, log: LogCapture = LogCapture()
    ) async throws {
        try await BootCheck.run(
            probes, every: .seconds(2), attemptTimeout: .seconds(1), failAfter: .seconds(60), clock: .manual(time),
            log: log.logger())
    }

    @Test func `dependencies that come at 10 and 20 s are waited for in parallel`() async throws {
        // CHECKLIST S9.
        let time = ManualTime()
        let attempts = Tally()
        let probe: @Sendable (String, Double) -> BootCheck.Probe = { name, from in
            {
                attempts.note(name)
                if time.now < MachineInstant.origin.advanced(by: .seconds(from)) { throw Broken() }
            }
        }
        try await running(time) {
            try await check([("redis", probe("redis", 10)), ("postgres", probe("postgres", 20))], time: time)
        }
        #expect(time.now >= MachineInstant.origin.advanced(by: .seconds(20)))
        #expect(time.now < MachineInstant.origin.advanced(by: .seconds(25)))
        #expect(attempts.all.count { $0 == "redis" } == 6, "every 2 s from 0 to 10")
    }

    @Test func `it gives up after 60 s and names all that is missing`() async throws {
        let time = ManualTime()
        await #expect {
            try await running(time) {
                try await check(
                    [("redis", { throw Broken() }), ("postgres", { throw Broken() }), ("fine", {})], time: time)
            }
        } throws: { error in
            guard let failure = error as? BootCheckFailure else { return false }
            return failure.missing == ["redis": "broken", "postgres": "broken"]
        }
        #expect(time.now == MachineInstant.origin.advanced(by: .seconds(60)))
    }

    @Test func `without time for a single attempt nothing counts as there`() async {
        await #expect {
            try await BootCheck.run(
                [("redis", {})], failAfter: .zero, clock: .manual(ManualTime()), log: LogCapture().logger())
        } throws: { ($0 as? BootCheckFailure)?.missing == ["redis": "was not asked in time"] }
    }

    @Test func `an attempt that never returns is left behind`() async throws {
        let time = ManualTime()
        let release = Promise<Bool>()
        let attempts = Tally()
        await #expect(throws: BootCheckFailure.self) {
            try await running(time) {
                try await check(
                    [
                        (
                            "hangs",
                            {
                                attempts.note("attempt")
                                await stubborn(release)
                            }
                        )
                    ], time: time)
            }
        }
        #expect(time.now == MachineInstant.origin.advanced(by: .seconds(60)))
        #expect(attempts.count >= 20)
        release.fulfil(true)
    }
}

@Suite(.timeLimit(.minutes(1))) struct HealthTests {
    @Test func `a check flips within one interval and back`() async throws {
        // CHECKLIST N10.
        let time = ManualTime()
        let broken = Tally()
        let mended = Tally()
        let probe = HealthProbe("redis", timeout: .seconds(60)) {
            if broken.count > mended.count { throw Broken() }
        }
        let capture = LogCapture()
        let board = HealthBoard(
            [probe], every: .seconds(5), clock: .manual(time), log: capture.logger(), metrics: MetricsRegistry())
        #expect(board.checks == ["redis": false], "never measured is not healthy")
        let task = Task { try await board.run() }
        try await eventually("measured") { board.checks == ["redis": true] && time.sleeperCount == 1 }
        broken.note("break")
        time.advance(by: .seconds(5))
        try await eventually("broken seen") { !board.isHealthy && time.sleeperCount == 1 }
        #expect(board.latest["redis"]?.reason == "broken")
        mended.note("mend")
        time.advance(by: .seconds(5))
        try await eventually("mended seen") { board.isHealthy && time.sleeperCount == 1 }
        #expect(capture.lines.count { $0.contains("health check changed") } == 3)
        task.cancel()
        _ = await task.result
    }

    @Test func `what fails is asked again sooner where that costs nothing, and a change is told`() async throws {
        let time = ManualTime()
        let (broken, mended, told) = (Tally(), Tally(), Tally())
        let probe = HealthProbe("redis", timeout: .seconds(60), retryInterval: .milliseconds(100)) {
            if broken.count > mended.count { throw Broken() }
        }
        let dear = HealthProbe("venue", timeout: .seconds(60)) { if broken.count > mended.count { throw Broken() } }
        let board = HealthBoard(
            [probe, dear], every: .seconds(5), clock: .manual(time), log: LogCapture().logger(),
            metrics: MetricsRegistry())
        let listening = Task { for await _ in board.changes { told.note("changed") } }
        let task = Task { try await board.run() }
        try await eventually("measured") { board.isHealthy && time.sleeperCount == 2 && told.count > 0 }
        broken.note("break")
        time.advance(by: .seconds(5))
        try await eventually("broken seen") {
            board.checks == ["redis": false, "venue": false] && time.sleeperCount == 2
        }
        mended.note("mend")
        let before = told.count
        time.advance(by: .milliseconds(100))
        try await eventually("mended seen, and told") { board.checks["redis"] == true && told.count > before }
        #expect(board.checks["venue"] == false, "who is asked over the network waits for its interval")
        task.cancel()
        listening.cancel()
        _ = await task.result
    }

    @Test func `a probe that hangs is unhealthy and does not hold the others`() async throws {
        let time = ManualTime()
        let release = Promise<Bool>()
        let board = HealthBoard(
            [
                HealthProbe("hangs", timeout: .seconds(60)) { await stubborn(release) },
                HealthProbe("fine", timeout: .seconds(1)) {},
            ], every: .seconds(5), clock: .manual(time), log: LogCapture().logger(), metrics: MetricsRegistry())
        let task = Task { try await board.run() }
        try await eventually("the other is measured") { board.checks == ["hangs": false, "fine": true] }
        try await eventually("both wait") { time.sleeperCount == 2 }
        time.advance(by: .seconds(5))
        try await eventually("the time-out is seen") {
            board.latest["hangs"]?.reason?.hasPrefix("no answer within") == true
        }
        task.cancel()
        release.fulfil(true)
        _ = await task.result
    }

    @Test func `a board that stopped measuring shows no old good news`() async throws {
        let time = ManualTime()
        let board = HealthBoard(
            [HealthProbe("fine", timeout: .seconds(1)) {}], every: .seconds(5), clock: .manual(time),
            log: LogCapture().logger(), metrics: MetricsRegistry())
        let task = Task { try await board.run() }
        try await eventually("measured") { board.isHealthy && time.sleeperCount == 1 }
        task.cancel()
        _ = await task.result
        time.advance(by: .seconds(11))
        #expect(!board.isHealthy)
    }

    @Test func `unmeasured, well, failing, and broken once a vital check has failed for long`() async throws {
        let time = ManualTime()
        let (failing, broken) = (Tally(), Tally())
        let board = HealthBoard(
            [
                HealthProbe("bus", timeout: .seconds(1), isVital: true) { if broken.count > 0 { throw Broken() } },
                HealthProbe("database", timeout: .seconds(1)) { if failing.count > 0 { throw Broken() } },
            ], every: .seconds(5), clock: .manual(time), log: LogCapture().logger(), metrics: MetricsRegistry())
        #expect(board.standing == .unmeasured)
        let task = Task { try await board.run() }
        func next(_ standing: HealthStanding, _ note: String) async throws {
            time.advance(by: .seconds(5))
            let now = MachineClock.manual(time).now
            try await eventually(note) {
                let isNew = board.latest.values.allSatisfy { $0.measuredAt == now }
                return isNew && time.sleeperCount == 2
            }
            #expect(board.standing == standing, "\(note)")
        }
        try await eventually("measured") { board.standing == .well && time.sleeperCount == 2 }
        failing.note("fails")
        // CHECKLIST R34: without PostgreSQL a service goes on, however long.
        for _ in 0..<4 { try await next(.failing, "the database alone") }
        broken.note("fails")
        try await next(.failing, "the bus too, not for long")
        try await next(.failing, "5 s")
        try await next(.broken, "10 s")
        await board.setOn(false)
        #expect(board.standing == .well)
        task.cancel()
        _ = await task.result
    }

    @Test func `switched off nothing is asked or claimed, switched on everything is measured at once`() async throws {
        let time = ManualTime()
        let asked = Tally()
        let capture = LogCapture()
        let board = HealthBoard(
            [HealthProbe("redis", timeout: .seconds(1)) { asked.note("asked") }], every: .seconds(5),
            clock: .manual(time), log: capture.logger(), metrics: MetricsRegistry())
        let task = Task { try await board.run() }
        try await eventually("measured") { board.isHealthy && time.sleeperCount == 1 }
        await board.setOn(false)
        #expect(board.checks == [:] && board.latest.isEmpty && !board.isOn)
        let before = asked.count
        time.advance(by: .seconds(5))
        try await eventually("the interval has passed") { time.sleeperCount == 1 }
        let measured = await board.measure("redis")
        #expect(asked.count == before && measured == nil)
        await board.setOn(true)
        #expect(board.checks == ["redis": true] && asked.count == before + 1)
        #expect(capture.lines.count { $0.contains("health checks switched") } == 2)
        task.cancel()
        _ = await task.result
    }
}

@Suite(.timeLimit(.minutes(1))) struct SystemChecksTests {
    @Test func `a check that hangs delays no other, and is unhealthy after its own time-out`() async throws {
        let time = ManualTime()
        let release = Promise<Bool>()
        let metrics = MetricsRegistry()
        let checks = SystemChecks(
            "monitor",
            [
                SystemCheck("hangs", timeout: .seconds(3)) {
                    await stubborn(release)
                    return .init(.healthy)
                },
                SystemCheck("throws", timeout: .seconds(1)) { throw Broken() },
                SystemCheck("fine", timeout: .seconds(1)) { .init(.healthy, "2 of 2") },
            ], clock: .manual(time), wall: .fixed(7), metrics: metrics)
        #expect(checks.reports.map(\.state) == [.unknown, .unknown, .unknown])
        let cycle = Task { await checks.cycle() }
        try await eventually("the others are told") {
            checks.reports.map(\.state) == [.unknown, .unhealthy, .healthy]
        }
        #expect(checks.reports[1].detail == "broken" && checks.reports[2].detail == "2 of 2")
        try await eventually("its time-out") {
            time.advance(by: .milliseconds(100))
            return checks.reports[0].state != .unknown
        }
        let took = await cycle.value
        #expect(took >= .seconds(3))
        #expect(checks.reports[0].state == .unhealthy && checks.reports[0].detail.hasPrefix("no answer within"))
        release.fulfil(true)
        let text = metrics.prometheusText()
        #expect(text.contains("monitor_timeouts_total{check=\"hangs\"} 1"))
        #expect(text.contains("monitor_state{check=\"fine\"} 1") && text.contains("monitor_cycle_seconds_count 1"))
    }

    @Test func `a state keeps its beginning, and what is cleared is unknown`() async throws {
        let wall = NIOLockedValueBox<Int64>(100)
        let state = NIOLockedValueBox(CheckState.healthy)
        let checks = SystemChecks(
            "monitor", [SystemCheck("redis", timeout: .seconds(1)) { .init(state.withLockedValue { $0 }) }],
            clock: .real, wall: WallClock { wall.withLockedValue { $0 } }, metrics: MetricsRegistry())
        await checks.cycle()
        wall.withLockedValue { $0 = 200 }
        await checks.cycle()
        #expect(checks.reports[0].since == 100 && checks.reports[0].at == 200)
        state.withLockedValue { $0 = .unhealthy }
        await checks.cycle()
        #expect(checks.reports[0].since == 200 && checks.reports[0].state == .unhealthy)
        checks.clear()
        #expect(checks.reports[0].state == .unknown)
    }
}
