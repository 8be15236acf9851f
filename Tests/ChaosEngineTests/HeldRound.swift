import ChaosEngine
import Resilience

/// A round that is shown a sample ten times a second, and whose faults are undone as soon as it asks for that.
struct HeldRound {
    private var run: ScenarioRun
    private(set) var now = MachineInstant.origin
    /// When its first fault was made.
    private(set) var madeAt: MachineInstant?
    private(set) var stands = true
    private(set) var verdict: Verdict?

    init(_ scenario: Scenario, round: Int = 1, control: Finding? = nil, needsOrders: Bool = false) {
        run = ScenarioRun(scenario, round: round, control: control, needsOrders: needsOrders, at: .origin)
    }

    mutating func see(_ sample: (_ since: Duration, _ stands: Bool) -> Sample) {
        now = now.advanced(by: .milliseconds(100))
        var effects = run.handle(.sample(sample(madeAt.map { now.since($0) } ?? .zero, stands)), at: now)
        while let effect = effects.first {
            effects.removeFirst()
            switch effect {
            case .make: madeAt = madeAt ?? now
            case .undo(let step):
                stands = false
                effects += run.handle(.undone(step), at: now)
            case .finish(let verdict): self.verdict = verdict
            }
        }
    }

    /// The verdict; nil when there is none after so long.
    mutating func held(
        within limit: Duration, _ sample: (_ since: Duration, _ stands: Bool) -> Sample
    ) -> Verdict? {
        while verdict == nil, now < .origin.advanced(by: limit) { see(sample) }
        return verdict
    }
}
