import ChaosEngine
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// Holds rounds of scenarios against a target: the shell of `ScenarioRun`.
struct ChaosRun: Sendable {
    let target: any ChaosTarget
    let sampler: WorldSampler
    let clock: MachineClock

    private static let step = Duration.milliseconds(100)
    /// Beyond the time that a fault holds: a driver that lives asks before.
    private static let healerReserve = Duration.seconds(30)

    /// One round, to its verdict; whatever was broken is healed when it returns or throws.
    ///
    /// - Throws: `NeverStruck` where a fault of orders met none, on a suite that need not have any, and all else held.
    func round(_ scenario: Scenario, _ number: Int, control: Finding?) async throws -> Verdict {
        var run = ScenarioRun(
            scenario, round: number, control: control, needsOrders: target.isBusy, at: clock.now)
        let hands = Hands(
            target: target, sampler: sampler, reserve: Self.healerReserve, isDrawn: scenario.isDrawn, clock: clock)
        do {
            while true {
                let sample = sampler.take(
                    delivered: target.delivered(), filed: target.filed(), watcherAge: target.watcherAge())
                var effects = run.handle(.sample(sample), at: clock.now)
                for event in hands.done() { effects += run.handle(event, at: clock.now) }
                for effect in effects {
                    switch effect {
                    case .make(let step, let fault, let victims, let length): hands.make(step, fault, victims, length)
                    case .undo(let step): hands.undo(step)
                    case .finish(let verdict):
                        // Only where something went wrong on the way; the verdict says what.
                        await hands.undoAll()
                        return try Self.judge(verdict, missed: hands.missed)
                    }
                }
                try await clock.sleep(for: Self.step)
            }
        } catch {
            await hands.undoAll()  // cancelled: the caller is told so
            throw error
        }
    }
}

extension ChaosRun {
    /// A round in which nothing came a fault's way proves nothing of it; what else went wrong in it did go wrong.
    static func judge(_ verdict: Verdict, missed: NeverStruck?) throws(NeverStruck) -> Verdict {
        guard let missed else { return verdict }
        if verdict.passed { throw missed }
        var told = verdict
        told.problems.append("\(missed)")
        return told
    }
}

/// Makes and undoes the faults of a round, each in a task of its own: a container takes its time, and meanwhile the
/// world is looked at.
private final class Hands: Sendable {
    private struct Held {
        var fault: (any ArmedFault)?
        var work: Task<Void, Never>
    }

    private let target: any ChaosTarget
    private let sampler: WorldSampler
    private let reserve: Duration
    /// Then a fault that strikes nothing is none to speak of: another that is drawn may leave it nothing.
    private let isDrawn: Bool
    private let clock: MachineClock
    private let held = NIOLockedValueBox<[Int: Held]>([:])
    private let events = NIOLockedValueBox<[ScenarioRun.Event]>([])
    private let missing = NIOLockedValueBox<NeverStruck?>(nil)

    init(
        target: any ChaosTarget, sampler: WorldSampler, reserve: Duration, isDrawn: Bool, clock: MachineClock
    ) {
        self.target = target
        self.sampler = sampler
        self.reserve = reserve
        self.isDrawn = isDrawn
        self.clock = clock
    }

    /// A fault that was chosen and struck nothing, where nobody promises that there is anything.
    var missed: NeverStruck? { missing.withLockedValue { $0 } }

    /// What became of the work since it was asked last.
    func done() -> [ScenarioRun.Event] {
        events.withLockedValue { events in
            defer { events = [] }
            return events
        }
    }

    func make(_ step: Int, _ fault: Fault, _ victims: [String], _ length: Duration) {
        let leader = sampler.leader
        held.withLockedValue { held in
            // It takes the lock in its turn.
            let work = Task { [self] in
                do {
                    let armed = try await target.arm(
                        fault, victims: victims, leader: leader, undoneAfter: length + reserve)
                    self.held.withLockedValue { $0[step]?.fault = armed }
                    try await armed.make()
                    try await target.findAgain()
                } catch {
                    tell(.failed(step, "\(error)"))
                }
            }
            held[step] = Held(fault: nil, work: work)
        }
    }

    func undo(_ step: Int) {
        guard let made = held.withLockedValue({ $0[step]?.work }) else { return }
        let work = Task { [self] in
            await made.value
            do {
                do {
                    try await held.withLockedValue { $0[step]?.fault }?.undo()
                } catch let missed as NeverStruck {
                    if !isDrawn, target.isBusy { throw missed }
                    if !isDrawn { missing.withLockedValue { $0 = missed } }
                }
                held.withLockedValue { $0[step]?.fault = nil }
                tell(.undone(step))
                try await target.findAgain()
            } catch {
                tell(.failed(step, "\(error)"))
            }
        }
        held.withLockedValue { $0[step]?.work = work }
    }

    /// Waits for what is under way, and undoes what still stands, last made first.
    func undoAll() async {
        for (_, one) in held.withLockedValue({ $0 }).sorted(by: { $0.key > $1.key }) { await one.work.value }
        for (step, one) in held.withLockedValue({ $0 }).sorted(by: { $0.key > $1.key }) {
            guard let fault = one.fault else { continue }
            let undoing = Task { try await fault.undo() }
            // The verdict tells of the first trouble; here the rest is healed as far as it goes.
            _ = await undoing.result
            held.withLockedValue { $0[step]?.fault = nil }
        }
    }

    private func tell(_ event: ScenarioRun.Event) { events.withLockedValue { $0.append(event) } }
}
