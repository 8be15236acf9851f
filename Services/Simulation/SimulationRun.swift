import Domain
import OrchestratorEngine
import Resilience

/// One trouble of a schedule, and what ends it.
struct PlannedTrouble {
    enum Breakage {
        case fleet(Fault)
        case path(PathFault)
    }

    let at: MachineInstant
    let begin: Breakage
    var end: (what: Breakage, at: MachineInstant)?
}

/// When trouble ends, and how long what is open then has to come to its end.
struct SimulationTimeline: Hashable {
    /// Everything has begun by then.
    let troubleBegins = MachineInstant.origin.advanced(by: .seconds(6))
    let calmBegins: MachineInstant
    /// Nothing new is played from here on.
    let playEnds: MachineInstant
    let end: MachineInstant
    /// What is under way at the end is over by then: the life of an intent, and what may follow of it.
    var last: MachineInstant { end.advanced(by: .seconds(90)) }

    private init(calm: Int, playEnds: Int, end: Int) {
        calmBegins = .origin.advanced(by: .seconds(calm))
        self.playEnds = .origin.advanced(by: .seconds(playEnds))
        self.end = .origin.advanced(by: .seconds(end))
    }

    /// Three minutes: what a seed is.
    static let whole = SimulationTimeline(calm: 115, playEnds: 135, end: 180)
}

/// What one seed led to.
public struct SimulationOutcome: Sendable {
    public let seed: UInt64
    /// What must never happen, as it happened; empty when all held.
    public let violations: [String]
    /// Of everything that happened, in order.
    public let digest: String
    public let steps: Int
    /// How much time passed in it.
    public let simulated: Duration
    public let signals: Int
    public let orders: Int
    public let fills: Int
    /// Arbitrages that were approved.
    public let plans: Int
    public let moves: Int
    /// The troubles of its schedule.
    public let troubles: Int
    /// How often the bound of a game without an owner was held while a process of the fleet was broken.
    let judged: Int
    /// What happened, line by line, where that was asked for.
    public let history: [String]
}

/// Runs the whole suite on one seed: three minutes, of which the first two are full of trouble.
public enum SimulationRun {
    /// The same seed gives the same outcome, on every machine.
    ///
    /// `steps` bounds how much happens; a run that is cut short is not asked how it ended.
    public static func run(_ seed: UInt64, steps: Int = .max, isTold: Bool = false) -> SimulationOutcome {
        run(seed, steps: steps, isTold: isTold, plant: nil)
    }

    /// `keeping` names the troubles of the schedule that are carried out; nil for all.
    static func run(
        _ seed: UInt64, steps: Int = .max, isTold: Bool = false, plant: Plant?, keeping: Set<Int>? = nil,
        timeline: SimulationTimeline = .whole
    ) -> SimulationOutcome {
        var simulation = Simulation(seed: seed, profile: .suite(seed: seed), plant: plant)
        if isTold { simulation.history = [] }
        simulation.stepLimit = steps
        let schedule = simulation.schedule(timeline)
        for (index, trouble) in schedule.enumerated() where keeping?.contains(index) ?? true {
            simulation.plan(trouble)
        }
        simulation.run(until: timeline.calmBegins)
        if simulation.steps < steps {
            simulation.calm()
            simulation.run(until: timeline.playEnds)
            simulation.path.isPlaying = false
            simulation.run(until: timeline.end)
            simulation.runOut(until: timeline.last)
        }
        if simulation.steps < steps {
            simulation.watchEnd()
            simulation.watchFleetEnd()
        }
        return SimulationOutcome(
            seed: seed,
            violations: simulation.violations + simulation.database.violations + simulation.path.watch.violations,
            digest: simulation.log.digest, steps: simulation.steps,
            simulated: MachineInstant.origin.duration(to: simulation.now),
            signals: simulation.path.books.signals.count, orders: simulation.path.venue.orders.count,
            fills: simulation.path.books.fills.count, plans: simulation.path.books.plans.count,
            moves: simulation.database.moves, troubles: schedule.count,
            judged: simulation.watch.judged, history: simulation.history ?? [])
    }
}

extension Simulation {
    /// Goes on while something that began in time is not over: who waits rightly has the rest of its life.
    fileprivate mutating func runOut(until last: MachineInstant) {
        while isUnderWay, now < last, steps < stepLimit { run(until: now.advanced(by: .seconds(5))) }
    }

    private var isUnderWay: Bool {
        path.books.isUnderWay || path.executors.contains { !$0.isReconciled }
            || path.books.plans.contains { $0.value.state != .finished && !standsStill($0.key) }
    }

    /// The troubles of a seed: drawn before anything happens, so that some of them may be left out.
    mutating func schedule(_ timeline: SimulationTimeline) -> [PlannedTrouble] {
        let (start, end) = (timeline.troubleBegins, timeline.calmBegins)
        var draws = SeededGenerator(seed: seed ^ 0x7472_6f75_626c_6573)
        var troubles: [PlannedTrouble] = []
        var at = start
        while at < end {
            let longest = at.advanced(by: .milliseconds(Int.random(in: 200...9_000, using: &draws)))
            let finish = min(longest, end)
            if Int.random(in: 0..<100, using: &draws) < 40 {
                swap(&random, &draws)
                let (begin, last) = trouble()
                swap(&random, &draws)
                troubles.append(PlannedTrouble(at: at, begin: .fleet(begin), end: last.map { (.fleet($0), finish) }))
            } else {
                let (begin, last) = pathTrouble(using: &draws)
                troubles.append(PlannedTrouble(at: at, begin: .path(begin), end: last.map { (.path($0), finish) }))
            }
            at = at.advanced(by: .milliseconds(Int.random(in: 300...4_000, using: &draws)))
        }
        if profile.isStretched { troubles += stretchedTroubles(from: start, to: end) }
        if profile.isCrowded { troubles += crowdedTroubles(from: start, to: end) }
        let ids = scoreboard.keys.sorted()
        for _ in 0..<4 {
            let game = ids[Int.random(in: 0..<ids.count, using: &draws)]
            let permille = Int.random(in: 100...750, using: &draws)
            let over = start.advanced(by: start.duration(to: end) * permille / 1_000)
            troubles.append(PlannedTrouble(at: over, begin: .fleet(.show(game, .final))))
            guard Bool.random(using: &draws) else { continue }
            // A game that ends in the dark: what was bought at last is learnt of after the market was paid out.
            let dark = over.advanced(by: .seconds(-4))
            let light = min(over.advanced(by: .seconds(24)), end)
            troubles.append(
                PlannedTrouble(
                    at: dark, begin: .path(.lostReplies(percent: 70)), end: (.path(.lostReplies(percent: 0)), over)))
            troubles.append(
                PlannedTrouble(
                    at: dark, begin: .path(.venueLists(isUp: false)), end: (.path(.venueLists(isUp: true)), light)))
        }
        return troubles
    }

    /// Drawn from numbers of their own, so that the other troubles of a seed stay what they were.
    private func stretchedTroubles(from start: MachineInstant, to end: MachineInstant) -> [PlannedTrouble] {
        var draws = SeededGenerator(seed: seed ^ 0x7374_7265_7463_6864)
        var troubles: [PlannedTrouble] = []
        var at = start
        while at < end {
            let finish = min(at.advanced(by: .milliseconds(Int.random(in: 500...9_000, using: &draws))), end)
            let (begin, last) = Self.stretchedTrouble(using: &draws)
            var over = finish
            // Some of it long enough to be told.
            if begin.isOfDiscovery, at.duration(to: finish) > .seconds(5) {
                over = min(at.advanced(by: at.duration(to: finish) * 3), end)
            }
            troubles.append(PlannedTrouble(at: at, begin: .path(begin), end: (.path(last), over)))
            at = finish.advanced(by: .milliseconds(Int.random(in: 300...9_000, using: &draws)))
        }
        return troubles
    }

    /// A shard is gone for so long that the games it leaves over must be told of.
    private func crowdedTroubles(from start: MachineInstant, to end: MachineInstant) -> [PlannedTrouble] {
        var draws = SeededGenerator(seed: seed ^ 0x6372_6f77_6465_6421)
        var troubles: [PlannedTrouble] = []
        var at = start
        while at < end {
            let shard = Int.random(in: 0..<shards.count, using: &draws)
            let over = min(at.advanced(by: .seconds(Int.random(in: 12...30, using: &draws))), end)
            troubles.append(
                PlannedTrouble(
                    at: at, begin: .fleet(.killShard(shard)), end: (.fleet(.restartShard(shard)), over)))
            at = over.advanced(by: .seconds(Int.random(in: 5...20, using: &draws)))
        }
        return troubles
    }

    mutating func plan(_ trouble: PlannedTrouble) {
        plan(trouble.begin, at: trouble.at)
        if let (what, at) = trouble.end { plan(what, at: at) }
    }

    private mutating func plan(_ breakage: PlannedTrouble.Breakage, at instant: MachineInstant) {
        switch breakage {
        case .fleet(let fault): agenda.plan(.fault(fault), at: instant)
        case .path(let fault): agenda.plan(.pathFault(fault), at: instant)
        }
    }

    /// After calm every game that is played has one owner, and no other game has any.
    mutating func watchFleetEnd() {
        for (game, status) in scoreboard.sorted(by: { $0.key < $1.key }) {
            let watchers = shards.filter { shard in shard.engine.watched.contains { $0.game == game } }
                .map(\.id.rawValue)
            let isRight = status.isEnd || status == .postponed ? watchers.isEmpty : watchers.count == 1
            if !isRight { violations.append("in the end \(game), \(status), is watched by \(watchers)") }
            if status == .live, owner(of: game) == nil { violations.append("in the end \(game) has no owner") }
        }
        for orchestrator in orchestrators where !orchestrator.engine.isLeading {
            let open = orchestrator.toldAlerts.filter(\.isLeadersToTell).map(\.rawValue).sorted()
            if !open.isEmpty { violations.append("in the end a standby still tells \(open)") }
        }
    }
}
