import Domain
import Recording
import Resilience

/// One instant of a replay: a recorded moment, or a plain step between two of them.
struct ReplayStep: Hashable, Sendable {
    let at: VenueInstant
    /// What becomes true at this instant; nil for a plain step.
    let moment: RecordingMoment?
}

/// How fast a replay runs and how long it waits for its readers.
struct ReplayPace: Hashable, Sendable {
    /// Venue time a unit of machine time, 0.1 to 10,000.
    var speed: Double
    /// A reader that was not heard of for so long, machine time, counts as gone.
    var hold: Duration = .seconds(3)
    /// The longest a step is held for readers that are heard of but do not get done, machine time.
    var longestHold: Duration = .seconds(30)
    /// The longest plain step, venue time.
    var longestStep: Duration = .seconds(5)

    func machine(_ venue: Duration) -> Duration { venue / speed }
}

/// The venue time of a replay: it jumps from step to step, the same steps at any speed.
///
/// A step is left when it has lasted its venue time over the speed on the machine, and every active scoreboard reader
/// has said that it worked the step off, with all that follows from it. So a reader that decides on what it reads
/// decides at the same venue instants at any speed. A dead reader holds one step for `hold` at most.
///
/// Phases: `waiting -> running -> finished`, and `stopped` from either of the first two.
struct ReplayClock: Sendable {
    enum Phase: String, Sendable {
        case waiting
        case running
        case finished
        case stopped
    }

    /// What the clock waits for.
    enum Wait: Hashable, Sendable {
        case nothing
        case until(MachineInstant)
        /// For readers to be done, and at the latest until then.
        case readers([String], atMost: MachineInstant)
        /// For a command, or for ever.
        case command
    }

    let steps: [ReplayStep]
    let pace: ReplayPace
    private(set) var phase = Phase.waiting
    private(set) var index = 0
    /// When the current step began, on the machine.
    private(set) var entered: MachineInstant
    private(set) var readers = ReplayReaders()
    /// Steps that were left because `hold` had run out.
    private(set) var expiredHolds = 0

    init(recording: Recording, pace: ReplayPace, at now: MachineInstant) {
        self.init(start: recording.start, moments: recording.moments, pace: pace, at: now)
    }

    /// The moments are in time order, none before the start.
    init(start: VenueInstant, moments: [RecordingMoment], pace: ReplayPace, at now: MachineInstant) {
        precondition(pace.speed > 0, "speed \(pace.speed)")
        precondition(pace.longestStep > .zero, "longest step \(pace.longestStep)")
        self.pace = pace
        steps = Self.steps(of: moments, from: start, longest: pace.longestStep)
        entered = now
    }

    /// The recorded moments in order, with as few plain steps between as keep each at most `longest` long.
    static func steps(of moments: [RecordingMoment], from start: VenueInstant, longest: Duration) -> [ReplayStep] {
        var steps: [ReplayStep] = []
        var moments = moments
        if moments.first?.at != start { moments.insert(RecordingMoment(at: start, facts: []), at: 0) }
        for moment in moments {
            if var last = steps.last?.at {
                while last.duration(to: moment.at) > longest {
                    last = last.advanced(by: longest)
                    steps.append(ReplayStep(at: last, moment: nil))
                }
            }
            steps.append(ReplayStep(at: moment.at, moment: moment.facts.isEmpty ? nil : moment))
        }
        return steps
    }

    var current: ReplayStep { steps[index] }
    var venueTime: VenueInstant { current.at }

    /// - Returns: false when it was not waiting.
    mutating func start(at now: MachineInstant) -> Bool {
        guard phase == .waiting else { return false }
        entered = now
        phase = index == steps.count - 1 ? .finished : .running
        return true
    }

    mutating func stop() {
        if phase != .finished { phase = .stopped }
    }

    /// Notes that a declared reader was answered from the current step, and which step it had worked off before.
    mutating func read(by name: String, handled: VenueInstant?, at now: MachineInstant) {
        readers.read(by: name, handled: handled, at: now)
    }

    /// The readers that the current step waits for.
    var awaited: [String] { readers.awaited(for: current.at) }

    /// What stands between now and the next step.
    func wait(at now: MachineInstant) -> Wait {
        guard phase == .running else { return .command }
        let due = entered.advanced(by: pace.machine(current.at.duration(to: steps[index + 1].at)))
        if now < due { return .until(due) }
        let awaited = awaited
        guard let heard = readers.lastRead(of: awaited) else { return .nothing }
        let atMost = min(max(due, heard).advanced(by: pace.hold), due.advanced(by: pace.longestHold))
        return now < atMost ? .readers(awaited, atMost: atMost) : .nothing
    }

    /// Enters the next step when nothing stands before it; call again until it returns nil.
    mutating func advance(at now: MachineInstant) -> ReplayStep? {
        guard wait(at: now) == .nothing else { return nil }
        let due = entered.advanced(by: pace.machine(current.at.duration(to: steps[index + 1].at)))
        let wasHeld = readers.hasActive
        let late = awaited
        if !late.isEmpty {
            expiredHolds += 1
            readers.drop(late)
        }
        index += 1
        // Without readers a late wake-up is made good, so that the pace holds on average.
        entered = wasHeld ? now : max(due, now.advanced(by: .milliseconds(-100)))
        if index == steps.count - 1 { phase = .finished }
        return current
    }
}
