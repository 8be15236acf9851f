import Resilience

/// By what one sees that the suite itself knows of the fault.
public enum Detection: Hashable, Sendable {
    /// PostgreSQL names another owner for each game of the victim.
    case gamesMoved
    /// A check of the orchestrator's status page fails, or the service of that kind is not well there.
    case checkFails(String)
    /// A higher term: another orchestrator leads.
    case otherLeads
    /// An alert of this kind is there.
    case alert(String)
    /// A heartbeat says that the games of a shard, or a service, are not well.
    case unrest
    /// No orchestrator's page answers, and the outside watcher is not called any more: nobody else could tell of it.
    case silence
}

/// One rehearsed failure: what is broken, when and how long, and what must be true of it in figures.
public struct Scenario: Hashable, Sendable {
    /// A fault, and when it is there.
    public struct Step: Hashable, Sendable {
        public let fault: Fault
        /// After the first step was begun.
        public let after: Duration
        /// From its begin to its undoing.
        public let holds: Duration

        public init(_ kind: Fault.Kind, _ part: Part, after: Duration = .zero, holds: Duration) {
            fault = Fault(kind, part)
            self.after = after
            self.holds = holds
        }
    }

    /// Since when a recovery counts.
    public enum Start: Hashable, Sendable {
        /// The suite heals itself: others take over while the victim is away.
        case fault
        /// Nobody can take the victim's place: since the last undoing.
        case undo
    }

    /// Whether a second orchestrator runs.
    public enum Standby: Hashable, Sendable {
        case either
        case needed
        /// The one that is there is the only one.
        case absent
    }

    public let name: String
    /// In one sentence, what it shows.
    public let shows: String
    /// Empty when each round draws its own (`steps(in:)`).
    private let fixed: [Step]
    /// Nil where nothing but the invariants tells.
    public let detection: Detection?
    /// The step that is detected, and whose victims lose their games; the bound counts from it.
    public let detectedStep: Int
    public let detectWithin: Duration
    /// By when every alert is at the sink, where somebody sees it.
    public let deliverWithin: Duration?
    public let recovery: Start
    public let recoverWithin: Duration
    /// Kinds that must be told, and their end too.
    public let alerts: Set<String>
    /// Kinds that may be told besides; where faults are drawn, for those that have a reason in them.
    public let mayAlert: Set<String>
    /// What the negative control breaks instead, without undoing it in time; nothing can recover from it.
    public let control: Fault
    /// Further controls: what they break, so that something is found.
    public let counterproofs: [Finding: [Step]]
    /// Whether every stream of a process that lives on is handed one gap, and no more, before all is steady again.
    public let givesOneGap: Bool
    /// So long after it was broken, and until that is undone, the venue takes no order of ours; nil where it may.
    public let stillAfter: Duration?
    /// So long after it was broken, and until that is undone, each game is watched by its owner and orders go on.
    public let goesOnAfter: Duration?
    public let standby: Standby
    /// How many games a suite of its own has.
    public let games: Int

    /// In the order in which they are held.
    public var controls: [Finding] { [.unsteady] + Finding.allCases.filter { counterproofs[$0] != nil } }

    /// Whether its faults are drawn from the number of the round.
    public var isDrawn: Bool { fixed.isEmpty }

    public init(
        _ name: String, _ shows: String, _ steps: [Step], detection: Detection? = nil, of detectedStep: Int = 0,
        within detect: Duration = .zero, atSink deliver: Duration? = nil, recovery: Start = .undo,
        recoversIn recover: Duration, alerts: Set<String> = [], mayAlert: Set<String> = [], control: Fault? = nil,
        counterproofs: [Finding: [Step]] = [:], givesOneGap: Bool = false, stillAfter: Duration? = nil,
        goesOnAfter: Duration? = nil, standby: Standby = .either, games: Int = 4
    ) {
        self.name = name
        self.shows = shows
        fixed = steps
        self.detection = detection
        self.detectedStep = detectedStep
        detectWithin = detect
        deliverWithin = deliver
        self.recovery = recovery
        recoverWithin = recover
        self.alerts = alerts
        self.mayAlert = mayAlert
        self.control = control ?? steps.first?.fault ?? Fault(.kill, .allShards)
        self.counterproofs = counterproofs
        self.givesOneGap = givesOneGap
        self.stillAfter = stillAfter
        self.goesOnAfter = goesOnAfter
        self.standby = standby
        self.games = games
    }

    /// Every fault that a round of it may make.
    public var faults: Set<Fault> {
        Set(
            (isDrawn ? Self.mixed : fixed.map(\.fault)) + [control]
                + counterproofs.values.flatMap { $0.map(\.fault) })
    }

    /// What happens in a round; the same for the same number.
    ///
    /// Of what is drawn a fault that strikes orders is left out where nobody promises any: it would never strike.
    public func steps(in round: Int, withOrders: Bool = true) -> [Step] {
        isDrawn ? Self.draw(round).filter { withOrders || $0.fault.kind != .loseAcknowledgements } : fixed
    }

    /// What happens in a control.
    ///
    /// What nothing recovers from stays until nothing can have recovered in time.
    func steps(toFind finding: Finding) -> [Step] {
        counterproofs[finding] ?? [Step(control.kind, control.part, holds: recoverWithin + ScenarioRun.calm)]
    }

    // MARK: - Mixed faults

    /// What the suite must live through in any order and together.
    static let mixed = [
        Fault(.kill, .busiestShard), Fault(.freeze, .busiestShard), Fault(.restart, .busiestShard),
        Fault(.kill, .redis), Fault(.freeze, .redis), Fault(.stutter, .redis), Fault(.flush, .redis),
        Fault(.kill, .postgres), Fault(.freeze, .postgres), Fault(.terminate, .postgres), Fault(.kill, .leader),
        Fault(.freeze, .leader), Fault(.kill, .signalProcessor), Fault(.freeze, .signalProcessor),
        Fault(.kill, .executionService), Fault(.stop, .executionService), Fault(.kill, .marketDiscovery),
        Fault(.mute, .venue), Fault(.disconnect, .venue), Fault(.loseAcknowledgements, .venue),
        Fault(.skipFrames, .venue), Fault(.refuse, .scores),
    ]

    /// Eight faults within a minute, up to three at once, no two of one part at a time.
    private static func draw(_ round: Int) -> [Step] {
        var generator = SeededGenerator(seed: UInt64(round))
        var steps: [Step] = []
        var freeAfter: [Part: Duration] = [:]
        var after = Duration.zero
        while steps.count < 8 {
            let choice = mixed[Int.random(in: 0..<mixed.count, using: &generator)]
            let holds = Duration.milliseconds(Int64.random(in: 500...8_000, using: &generator))
            let standing = steps.count { $0.after + $0.holds > after }
            if standing < 3, freeAfter[choice.part] ?? .zero <= after {
                steps.append(Step(choice.kind, choice.part, after: after, holds: holds))
                // Until the part is there again.
                freeAfter[choice.part] = after + holds + .seconds(3)
            }
            after += .milliseconds(Int64.random(in: 1_000...6_000, using: &generator))
        }
        return steps
    }
}
