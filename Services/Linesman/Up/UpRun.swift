import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Servers
import UnixSignals

/// One life of `linesman up`, from the lock to the last end.
struct UpRun: Sendable {
    private let plan: UpPlan
    private let isLive: Bool
    private let clock = MachineClock.real
    private let wall = WallClock.real

    init(_ plan: UpPlan, isLive: Bool) {
        self.plan = plan
        self.isLive = isLive
    }

    /// What ends it.
    private enum Reason: Sendable {
        case asked(String)
        /// A process that the suite cannot be without.
        case refused(ProcessSuite.Ended)
    }

    /// Runs until a signal, or until a process refuses its settings before it was ever ready.
    ///
    /// - Returns: the exit code: 0, 1 when a process had to be killed at the end or was in its cooldown, 78 when one
    ///   refused its settings, 130 when stopped at once.
    func run(_ signals: UnixSignalsSequence) async throws -> Int32 {
        try FileManager.default.createDirectory(atPath: plan.logs, withIntermediateDirectories: true)
        guard let lock = UpLock(path: "\(plan.logs)/linesman-up.lock") else {
            Console.complain("another linesman up writes to \(plan.logs); --log-dir names another folder")
            return Runtime.ExitCode.unavailable.rawValue
        }
        defer { lock.release() }
        let folder = try TemporaryDirectory("linesman-up")
        defer { folder.remove() }
        let display = UpDisplay(isLive: isLive, record: "\(plan.logs)/linesman-up.log", clock: clock, wall: wall)
        let alerts = UpAlerts(plan, clock: clock, wall: wall) { display.print($0) }
        let suite = ProcessSuite(
            logs: plan.logs, sockets: folder.path, directory: nil, endsWhenSpent: false, clock: clock
        ) { name, news in
            for line in SuiteWords.lines(name, news) { display.say(line) }
            alerts.note(name, news)
        }
        announce(display)
        let code = await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await display.run { await suite.rows } }
            tasks.addTask { try await alerts.dispatcher.run() }
            tasks.addTask { await ServerProbe(plan: plan, clock: clock) { display.say($0) }.run() }
            tasks.addTask { await follow(suite, display) }
            tasks.addTask { await settle(suite, alerts) }
            defer { tasks.cancelAll() }
            return await live(suite, display, alerts, signals)
        }
        await display.finish()
        return code
    }

    private func announce(_ display: UpDisplay) {
        let names = plan.processes.map(\.name).joined(separator: ", ")
        display.say("linesman up, pid \(ProcessInfo.processInfo.processIdentifier): \(names)")
        display.say("logs in \(plan.logs); alerts in \(plan.alerts.logPath)")
        for port in plan.statusPorts where port != 0 {
            display.say("look in: linesman status --url http://127.0.0.1:\(port)")
        }
    }

    // MARK: - From the start to the end

    private func live(
        _ suite: ProcessSuite, _ display: UpDisplay, _ alerts: UpAlerts, _ signals: UnixSignalsSequence
    ) async -> Int32 {
        let end = Promise<Reason>()
        let isHurried = NIOLockedValueBox(false)
        // Both end with this function: the watch when the suite stops, the signals when it is cancelled below.
        let hearing = Task {
            for await signal in signals {
                if signal == .sighup, !hasLostTerminal {
                    display.say("SIGHUP: every process reads its settings again")
                    await suite.reload()
                    reload(alerts)
                } else if !end.fulfil(.asked(signal == .sighup ? "the terminal is gone" : "\(signal)")) {
                    guard signal != .sighup else { continue }
                    isHurried.withLockedValue { $0 = true }
                    await suite.killAll()
                }
            }
        }
        let watching = Task {
            do {
                for process in plan.processes { try await suite.start(process) }
                try await suite.watch()
            } catch let ended as ProcessSuite.Ended {
                end.fulfil(.refused(ended))
            } catch {
                let ended = ProcessSuite.Ended(name: "", description: "\(error)", isRefusal: false)
                end.fulfil(.refused(ended))
            }
        }
        let reason = await end.value()
        switch reason {
        case .asked(let why): display.say("\(why): stopping everything; once more kills at once")
        case .refused(let ended): display.say("\(ended.description); stopping everything")
        }
        let code = await stop(suite, display, reason)
        await alerts.dispatcher.drain(within: .seconds(1))
        watching.cancel()
        hearing.cancel()
        return isHurried.withLockedValue { $0 } ? 130 : code
    }

    private func stop(_ suite: ProcessSuite, _ display: UpDisplay, _ reason: Reason) async -> Int32 {
        let began = clock.now
        let rows = await suite.rows
        let killed = await suite.stop(within: plan.drainTimeout)
        let took = began.duration(to: clock.now)
        for name in killed { display.say("\(name): killed, \(plan.drainTimeout.short) after it was asked to end") }
        display.say("everything is stopped after \(took.inSeconds.formatted(decimals: 1)) s")
        if case .refused(let ended) = reason {
            return (ended.isRefusal ? Runtime.ExitCode.configuration : .failure).rawValue
        }
        if rows.contains(where: { $0.state == .refused }) { return Runtime.ExitCode.configuration.rawValue }
        let hasGivenUp = rows.contains { if case .coolingDown = $0.state { true } else { false } }
        return killed.isEmpty && !hasGivenUp ? 0 : Runtime.ExitCode.failure.rawValue
    }

    /// Whether standard output was a terminal and is none any more: SIGHUP then says that it was closed.
    private var hasLostTerminal: Bool { isLive && isatty(STDOUT_FILENO) == 0 }

    private func reload(_ alerts: UpAlerts) {
        do {
            alerts.dispatcher.apply(try UpPlan(plan.options, environment: plan.environment).alerts)
        } catch {
            // The processes say themselves what is wrong with the file; alerts go on as they were.
        }
    }

    // MARK: - Beside

    private func follow(_ suite: ProcessSuite, _ display: UpDisplay) async {
        guard plan.options.follows else { return }
        let width = plan.processes.map(\.name.count).max() ?? 0
        while !Task.isCancelled {
            if display.hasRoom {
                for (name, line) in await suite.newLines() { display.print("\(name.padded(width)) | \(line)") }
            }
            guard (try? await clock.sleep(for: .milliseconds(200))) != nil else { return }
        }
    }

    /// Tells this process's own supervisor that it lives; and ends alerts of an earlier life once all have stayed up.
    private func settle(_ suite: ProcessSuite, _ alerts: UpAlerts) async {
        let supervisor = NotifySocket(environment: ProcessInfo.processInfo.environment)
        let stableAfter = plan.processes.first?.policy.budget.stableAfter ?? .seconds(60)
        var isSettled = false
        supervisor?.say("READY=1")
        while !Task.isCancelled {
            supervisor?.say("WATCHDOG=1")
            let rows = await suite.rows
            let now = clock.now
            if !isSettled, rows.count == plan.processes.count,
                rows.allSatisfy({ $0.state == .running && now.since($0.startedAt) >= stableAfter })
            {
                isSettled = true
                alerts.dispatcher.resolveUnconfirmed(kinds: [SuiteWords.kind])
            }
            guard (try? await clock.sleep(for: .seconds(1))) != nil else { return }
        }
    }
}

/// Held by the one `linesman up` that writes to a folder; ends with the process however it ends.
struct UpLock: Sendable {
    private let descriptor: Int32

    /// Nil when another holds it.
    init?(path: String) {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
    }

    func release() { close(descriptor) }
}
