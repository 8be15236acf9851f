import Resilience
import Runtime
import Servers

/// Decides about one process of the suite: when it is started again, when it hangs, when people must know.
///
/// Pure: it is told what happened and when, and says what to do.
struct ProcessWatch: Sendable {
    struct Policy: Sendable {
        var budget = RestartBudget()
        /// How often a sign of life is looked for.
        var checkEvery: Duration = .seconds(5)
        /// Checks in a row without a sign of life that mean it hangs (CHECKLIST R103); 0 never judges.
        var missThreshold = 3
        /// How long a start may take until the first sign of life.
        var readyWithin: Duration = .seconds(75)
        /// SIGKILL follows SIGTERM after this when it hangs.
        var killAfter: Duration = .seconds(5)
        /// Starts in a row that ended for want of a server before people are told.
        var unavailableThreshold = 3
    }

    /// Legal transitions: `starting -> running`; both `-> hung | waiting | coolingDown | refused`;
    /// `hung -> waiting | coolingDown`; `waiting | coolingDown -> starting`; `refused -> waiting`;
    /// anything `-> stopping -> stopped`.
    enum State: Hashable, Sendable {
        /// Started, and not yet heard.
        case starting
        case running
        /// Asked to end because it gave no sign of life; killed at the instant.
        case hung(killAt: MachineInstant)
        case waiting(until: MachineInstant)
        case coolingDown(until: MachineInstant)
        /// It does not take its settings; not started again before it is asked to.
        case refused
        case stopping
        case stopped
    }

    enum Event: Hashable, Sendable {
        /// A sign of life.
        case heard
        /// It ended, or could not be started.
        case ended(End)
        case tick
        /// An operator has mended something: start at once what waits.
        case retry
        case stop
    }

    enum End: Hashable, Sendable {
        case status(ChildProcess.ExitStatus)
        case notStarted(String)
    }

    enum Effect: Hashable, Sendable {
        case start
        case terminate
        case kill
        case report(Report)
        /// People must know, until `recover`.
        case raise(Trouble)
        case recover
    }

    /// What is worth a line.
    enum Report: Hashable, Sendable {
        case ready
        case ended(End, wasHung: Bool, then: Next)
        case hangs(misses: Int)
        case isSlow(Duration)
        case killed
    }

    enum Next: Hashable, Sendable {
        case restart(attempt: Int, after: Duration)
        case coolDown(Duration)
        /// Its servers are not there: tried again, without using the budget.
        case waitForServers(after: Duration)
        case refused
        case stopped
    }

    enum Trouble: Hashable, Sendable {
        case crashLoop(crashes: Int, End)
        case refusedSettings
        case serversMissing(starts: Int)
    }

    private(set) var state: State
    private(set) var budget: RestartBudget
    /// Whether it was ever heard in any of its lives.
    private(set) var wasEverReady = false
    private let policy: Policy
    private let isHeard: Bool
    private var startedAt: MachineInstant
    private var nextCheck: MachineInstant
    private var hasBeenHeard = false
    /// Whether it was ready in this life.
    private var hasComeUp: Bool
    private var misses = 0
    private var unavailable = 0
    private var isRaised = false

    /// - Parameters:
    ///   - policy: every bound.
    ///   - isHeard: whether it gives signs of life; what does not is running as soon as it is started.
    ///   - now: the instant of its first start.
    init(_ policy: Policy, isHeard: Bool, startedAt now: MachineInstant) {
        self.policy = policy
        self.isHeard = isHeard
        budget = policy.budget
        state = isHeard ? .starting : .running
        hasComeUp = !isHeard
        startedAt = now
        nextCheck = now.advanced(by: policy.checkEvery)
    }

    var restarts: Int { budget.restarts }
    /// Whether there is a process.
    var isUp: Bool {
        switch state {
        case .starting, .running, .hung, .stopping: true
        case .waiting, .coolingDown, .refused, .stopped: false
        }
    }

    mutating func handle(_ event: Event, at now: MachineInstant) -> [Effect] {
        var effects: [Effect] = []
        switch event {
        case .heard: heard(into: &effects)
        case .ended(let end): ended(end, at: now, into: &effects)
        case .tick: tick(at: now, into: &effects)
        case .retry: retry(at: now)
        case .stop:
            state = isUp ? .stopping : .stopped
        }
        return effects
    }

    private mutating func heard(into effects: inout [Effect]) {
        hasBeenHeard = true
        guard state == .starting else { return }
        state = .running
        hasComeUp = true
        wasEverReady = true
        unavailable = 0
        effects.append(.report(.ready))
    }

    // MARK: - Its end

    private mutating func ended(_ end: End, at now: MachineInstant, into effects: inout [Effect]) {
        var wasHung = false
        switch state {
        case .waiting, .coolingDown, .refused, .stopped: return
        case .stopping:
            state = .stopped
            return effects.append(.report(.ended(end, wasHung: false, then: .stopped)))
        case .hung: wasHung = true
        case .starting, .running: break
        }
        let next: Next
        switch end {
        case .status(.exited(let code)) where Self.refusals.contains(code) && !wasHung:
            state = .refused
            next = .refused
            raise(.refusedSettings, into: &effects)
        case .status(.exited(ExitCode.unavailable.rawValue)) where !wasHung:
            next = waitForServers(at: now, into: &effects)
        case .status, .notStarted:
            next = crashed(end, at: now, into: &effects)
        }
        effects.insert(.report(.ended(end, wasHung: wasHung, then: next)), at: 0)
    }

    /// Exit codes that another start would only repeat.
    private static let refusals = [ExitCode.configuration.rawValue, ExitCode.usage.rawValue]

    private mutating func waitForServers(at now: MachineInstant, into effects: inout [Effect]) -> Next {
        unavailable += 1
        let until = budget.excused(at: now) ?? now
        state = .waiting(until: until)
        if unavailable >= policy.unavailableThreshold { raise(.serversMissing(starts: unavailable), into: &effects) }
        return .waitForServers(after: now.duration(to: until))
    }

    private mutating func crashed(_ end: End, at now: MachineInstant, into effects: inout [Effect]) -> Next {
        unavailable = 0
        let crashes = budget.crashes(at: now) + 1
        let until = budget.crashed(at: now, hadComeUp: hasComeUp) ?? now
        if case .coolingDown = budget.state {
            state = .coolingDown(until: until)
            raise(.crashLoop(crashes: crashes, end), into: &effects)
            return .coolDown(now.duration(to: until))
        }
        state = .waiting(until: until)
        return .restart(attempt: crashes, after: now.duration(to: until))
    }

    private mutating func raise(_ trouble: Trouble, into effects: inout [Effect]) {
        isRaised = true
        effects.append(.raise(trouble))
    }

    // MARK: - Time

    private mutating func tick(at now: MachineInstant, into effects: inout [Effect]) {
        switch state {
        case .waiting, .coolingDown:
            guard budget.start(at: now) else { return }
            begin(at: now)
            effects.append(.start)
        case .starting:
            guard now.since(startedAt) >= policy.readyWithin, policy.missThreshold > 0 else { return }
            effects.append(.report(.isSlow(policy.readyWithin)))
            hang(at: now, into: &effects)
        case .running:
            settle(at: now, into: &effects)
            check(at: now, into: &effects)
        case .hung(let killAt):
            guard now >= killAt else { return }
            state = .hung(killAt: now.advanced(by: policy.killAfter))
            effects += [.report(.killed), .kill]
        case .refused, .stopping, .stopped: break
        }
    }

    private mutating func begin(at now: MachineInstant) {
        state = isHeard ? .starting : .running
        hasComeUp = !isHeard
        startedAt = now
        nextCheck = now.advanced(by: policy.checkEvery)
        hasBeenHeard = false
        misses = 0
    }

    private mutating func settle(at now: MachineInstant, into effects: inout [Effect]) {
        _ = budget.settled(at: now)
        guard isRaised, now.since(startedAt) >= budget.stableAfter else { return }
        isRaised = false
        effects.append(.recover)
    }

    /// One look for each interval, however late: a supervisor that was stopped itself must not sentence.
    private mutating func check(at now: MachineInstant, into effects: inout [Effect]) {
        guard isHeard, policy.missThreshold > 0, now >= nextCheck else { return }
        nextCheck = now.advanced(by: policy.checkEvery)
        misses = hasBeenHeard ? 0 : misses + 1
        hasBeenHeard = false
        guard misses >= policy.missThreshold else { return }
        effects.append(.report(.hangs(misses: misses)))
        hang(at: now, into: &effects)
    }

    private mutating func hang(at now: MachineInstant, into effects: inout [Effect]) {
        state = .hung(killAt: now.advanced(by: policy.killAfter))
        effects.append(.terminate)
    }

    private mutating func retry(at now: MachineInstant) {
        switch state {
        case .refused:
            // It was up when it ended; its place in the budget is made free by an excuse that is due at once.
            budget.excused(at: now)
            budget.hasten(at: now)
            state = .waiting(until: now)
        case .waiting, .coolingDown:
            budget.hasten(at: now)
            state = .waiting(until: now)
        case .starting, .running, .hung, .stopping, .stopped: break
        }
    }
}
