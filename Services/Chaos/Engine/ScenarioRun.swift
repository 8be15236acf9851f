import Resilience

/// One round of one scenario, decided from samples alone.
///
/// Legal transitions: `settling -> hurt -> healed -> over`; any state ends in `over` when its deadline has passed.
/// The steps of a scenario each go from `due` by `standing` and `mending` to `gone`, whatever the others do. A
/// recovery that counts from the fault may be seen while it still stands.
public struct ScenarioRun: Sendable {
    public enum Event: Hashable, Sendable {
        case sample(Sample)
        /// The step's fault was undone.
        case undone(Int)
        /// The step's fault could not be made, or not be undone.
        case failed(Int, String)
    }

    public enum Effect: Hashable, Sendable {
        /// Make the step's fault; these are the processes or servers that it hits. Its undoing must be armed first.
        case make(Int, Fault, victims: [String], undoneAfter: Duration)
        case undo(Int)
        case finish(Verdict)
    }

    enum State: Hashable, Sendable {
        case settling(since: MachineInstant)
        case hurt(at: MachineInstant)
        case healed(at: MachineInstant, hurt: MachineInstant)
        case over
    }

    enum Stage: Hashable, Sendable {
        case due
        case standing(since: MachineInstant)
        case mending
        case gone
    }

    /// The suite must have been steady for so long before it is broken, and again before a recovery is believed.
    public static let calm = Duration.seconds(2)
    /// How long the precondition may take.
    public static let patience = Duration.seconds(120)
    /// How long after the recovery the rest may take: all shards back, every alert and its end told.
    public static let rest = Duration.seconds(60)
    /// For so long a fault stands longer than planned when it was not detected or told of by then.
    ///
    /// Late is a bound that was missed; an end before anybody could know would be a failure of another kind.
    public static let grace = Duration.seconds(20)
    /// A game that its owner has not shown for so long, though nothing was done to it, is not watched.
    public static let blindness = Duration.seconds(3)

    public let scenario: Scenario
    /// Whether a round must have made an order: one without it shows nothing of orders.
    let needsOrders: Bool
    private let steps: [Scenario.Step]
    let excuses: Excuses
    var state: State
    private(set) var stages: [Stage]
    var verdict: Verdict
    private var steadySince: MachineInstant?
    var last: Sample.Truth?
    /// Before the fault.
    private var owners: [String: String] = [:]
    /// Rows that are gone, by their number and by their names: the same ones, seen at different moments.
    var rowsFewer = 0
    var rowsMissing = 0
    /// Games that have had another owner since.
    var moved: Set<String> = []
    private var termBefore: Int64 = 0
    var ordersBefore = 0
    private var shardsBefore = 0
    /// Of the step by which the scenario is detected, and when that was made.
    private var victims: Set<String> = []
    private var detectedFrom: MachineInstant?
    var fired: Set<String> = []
    var ended: Set<String> = []
    var newestOrders: Sample.Orders?
    var earlierOrders: Sample.Orders?
    /// As many had the venue taken when all was steady again: each of them must be known in the end.
    private var takenWhenWhole: Int?
    var newestMessages: Sample.Messages?
    var earlierMessages: Sample.Messages?
    /// So many names had to be taken in when all was steady again.
    private var owedWhenWhole: Int?
    /// Before the fault, of each process and its life.
    private var streamsBefore: [String: Sample.Streams] = [:]
    private var streams: [String: Sample.Streams] = [:]
    /// When each trouble was seen last, since the recovery counts.
    private var troubles: [String: MachineInstant] = [:]
    var delivered: Set<String> = []
    var seesSink = false
    var filed: Set<String> = []
    var readsFiles = false
    /// Of the venue, when orders had to stand still or to go on.
    var takenWhenStill: Int?
    /// When its owner has shown each game, while all of them must be watched.
    private var seenAt: [String: MachineInstant] = [:]
    var unrest: [String] = ["nothing was seen"]

    public init(
        _ scenario: Scenario, round: Int, control: Finding? = nil, needsOrders: Bool = false, at now: MachineInstant
    ) {
        self.scenario = scenario
        self.needsOrders = needsOrders && control == nil
        steps = control.map(scenario.steps(toFind:)) ?? scenario.steps(in: round, withOrders: needsOrders)
        excuses = Excuses(scenario, steps, ofOwnSuite: needsOrders)
        stages = steps.map { _ in .due }
        state = .settling(since: now)
        verdict = Verdict(
            scenario.name, round: round, control: control,
            alertsExpected: control == nil ? scenario.alerts.count : 0)
    }

    public mutating func handle(_ event: Event, at now: MachineInstant) -> [Effect] {
        switch (event, state) {
        case (_, .over): return []
        case (.sample(let sample), _): return see(sample, at: now)
        case (.undone(let step), .hurt(let hurt)):
            guard stages.indices.contains(step), stages[step] == .mending else { return [] }
            stages[step] = .gone
            if stages.allSatisfy({ $0 == .gone }) {
                state = .healed(at: now, hurt: hurt)
                if scenario.recovery == .undo { troubles = [:] }
            }
            return []
        case (.failed(let step, let why), .hurt):
            return finish("\(steps[step].fault.kind) of \(steps[step].fault.part): \(why)")
        default: return []
        }
    }

    // MARK: - Samples

    private mutating func see(_ sample: Sample, at now: MachineInstant) -> [Effect] {
        check(sample)
        unrest = sample.unrest(within: life(at: now)) + streamUnrest
        if verdict.recovered == nil { for trouble in unrest { troubles[trouble] = now } }
        if unrest.isEmpty {
            if steadySince == nil { steadySince = now }
        } else {
            steadySince = nil
        }
        let isCalm = steadySince.map { now.since($0) >= Self.calm } ?? false
        switch state {
        case .settling(let since): return settle(sample, since: since, isCalm: isCalm, at: now)
        case .over: return []
        case .hurt(let hurt):
            detect(sample, hurt, at: now)
            countOrders(since: hurt, at: now)
            watchGames(sample, since: hurt, at: now)
            if verdict.control == .unsteady {
                // As it is at the end: some faults are not felt at once.
                if case .standing? = stages.first { verdict.recovered = isCalm ? steadySince?.since(hurt) : nil }
            } else if !verdict.isControl, scenario.recovery == .fault {
                recover(from: hurt, isCalm: isCalm)
            }
            return advance(sample, hurt, at: now)
        case .healed(let healed, let hurt):
            detect(sample, hurt, at: now)
            if !verdict.isControl { recover(from: scenario.recovery == .fault ? hurt : healed, isCalm: isCalm) }
            let areBooksRead = sample.booksAge.map { now.since(healed) >= $0 } ?? false
            let isWhole =
                isCalm && sample.healthyShards >= shardsBefore && isShared(sample) && isTold && hasOrders
                && areBooksRead
            if isWhole, takenWhenWhole == nil {
                takenWhenWhole = newestOrders?.taken ?? 0
                owedWhenWhole = newestMessages?.owed ?? 0
            }
            if isWhole && forgotten == 0 && untaken == 0 { return conclude() }
            // What is gone for good is waited for only where nobody has said so.
            if verdict.control == .lostMessages, isWhole, now.since(healed) >= Self.calm * 4 { return conclude() }
            guard now.since(healed) >= scenario.recoverWithin + Self.rest else { return [] }
            if sample.healthyShards < shardsBefore {
                verdict.note("only \(sample.healthyShards) of \(shardsBefore) shards are back")
            }
            if !isShared(sample) { verdict.note("games are not spread evenly in the end") }
            if !areBooksRead { verdict.note("nobody held the books against their rules in the end") }
            if verdict.recovered != nil, !unrest.isEmpty {
                verdict.note("not steady in the end: \(unrest.joined(separator: "; "))")
            }
            return conclude()
        }
    }

    /// Whether a shard that was away has got its share of the games again.
    private func isShared(_ sample: Sample) -> Bool {
        verdict.isControl || !excuses.movesGames || sample.isBalanced
    }

    /// What was heard before the undoing says nothing of a recovery from it.
    private func life(at now: MachineInstant) -> Duration {
        guard case .healed(let healed, _) = state, scenario.recovery == .undo, !verdict.isControl else {
            return Sample.life
        }
        return min(Sample.life, now.since(healed))
    }

    private mutating func settle(
        _ sample: Sample, since: MachineInstant, isCalm: Bool, at now: MachineInstant
    ) -> [Effect] {
        guard isCalm, sample.isBalanced, let truth = sample.truth else {
            guard now.since(since) >= Self.patience else { return [] }
            let why = unrest.isEmpty ? ["games are not spread evenly"] : unrest
            return finish("it was not steady to begin with: \(why.joined(separator: "; "))")
        }
        earlierOrders = newestOrders
        earlierMessages = newestMessages
        streamsBefore = sample.streams
        streams = sample.streams
        troubles = [:]
        termBefore = truth.term
        ordersBefore = truth.orders
        shardsBefore = sample.healthyShards
        for game in truth.games { owners[game.id] = game.owner }
        // What was told before is of another fault.
        verdict.messagesLost = 0
        (fired, ended, delivered, filed) = ([], [], [], [])
        verdict.unexpected = [:]
        verdict.problems = []
        steadySince = nil
        state = .hurt(at: now)
        return advance(sample, now, at: now)
    }

    /// Makes what is due and undoes what has stood long enough.
    private mutating func advance(_ sample: Sample, _ hurt: MachineInstant, at now: MachineInstant) -> [Effect] {
        var effects: [Effect] = []
        for (index, step) in steps.enumerated() {
            switch stages[index] {
            case .due where now.since(hurt) >= step.after:
                let hit = Self.victims(of: step.fault.part, in: sample)
                guard !hit.isEmpty else { return finish("there is nothing to break: \(step.fault.part.rawValue)") }
                if index == scenario.detectedStep {
                    victims = Set(hit)
                    detectedFrom = now
                }
                stages[index] = .standing(since: now)
                effects.append(.make(index, step.fault, victims: hit, undoneAfter: step.holds))
            case .standing(let since) where now.since(since) >= step.holds + (isKnown ? .zero : Self.grace):
                stages[index] = .mending
                effects.append(.undo(index))
            default: break
            }
        }
        return effects
    }

    static func victims(of part: Part, in sample: Sample) -> [String] {
        switch part {
        case .allShards: return sample.shards.map(\.name).sorted()
        case .busiestShard:
            let shards = sample.shards.sorted { $0.name < $1.name }
            let most = shards.map(\.games.count).max() ?? 0
            return shards.first { $0.games.count == most }.map { [$0.name] } ?? []
        default: return [part.rawValue]
        }
    }

    private mutating func detect(_ sample: Sample, _ hurt: MachineInstant, at now: MachineInstant) {
        if verdict.delivered == nil, !scenario.alerts.isEmpty, scenario.alerts.isSubset(of: delivered) {
            verdict.delivered = now.since(hurt)
        }
        if verdict.filed == nil, !scenario.alerts.isEmpty, scenario.alerts.isSubset(of: filed) {
            verdict.filed = now.since(hurt)
        }
        guard verdict.detected == nil, let detection = scenario.detection, let detectedFrom else { return }
        let isDetected =
            switch detection {
            case .gamesMoved: sample.truth?.games.allSatisfy { !victims.contains($0.owner ?? "") } ?? false
            case .checkFails(let check): sample.checks?[check] == false
            case .otherLeads: sample.truth.map { $0.term > termBefore } ?? false
            case .alert(let kind): fired.contains(kind)
            case .unrest: !unrest.isEmpty
            case .silence: sample.isSilent
            }
        if isDetected { verdict.detected = now.since(detectedFrom) }
    }

    /// What the venue takes while the first fault stands and no order may leave, or orders must go on.
    private mutating func countOrders(since hurt: MachineInstant, at now: MachineInstant) {
        guard let begin = scenario.stillAfter ?? scenario.goesOnAfter, now.since(hurt) >= begin,
            case .standing? = stages.first, let taken = newestOrders?.taken
        else { return }
        let before = takenWhenStill ?? taken
        takenWhenStill = before
        verdict.ordersMeanwhile = taken - before
    }

    /// What was done to others must not keep a shard from its games.
    private mutating func watchGames(_ sample: Sample, since hurt: MachineInstant, at now: MachineInstant) {
        guard scenario.goesOnAfter != nil, case .standing? = stages.first, let truth = sample.truth else { return }
        for game in truth.games {
            guard !sample.shows(game) else {
                seenAt[game.id] = now
                continue
            }
            if now.since(seenAt[game.id] ?? hurt) >= Self.blindness { verdict.note("\(game.id) was not watched") }
        }
    }

    /// To the first moment of the calm that lasted.
    private mutating func recover(from start: MachineInstant, isCalm: Bool) {
        guard verdict.recovered == nil, isCalm, let steadySince else { return }
        verdict.waits = troubles.map { Verdict.Wait(trouble: $0.key, until: max($0.value.since(start), .zero)) }
            .sorted { ($1.until, $0.trouble) < ($0.until, $1.trouble) }
        var length = steadySince.since(start)
        if scenario.recovery == .fault, scenario.detection != nil {
            // A fault that takes its time to be made is not over before it was felt.
            guard let detected = verdict.detected else { return }
            length = max(length, detected)
        }
        verdict.recovered = max(length, .zero)
    }

    /// Whether the suite knows of the fault as far as it must.
    private var isKnown: Bool {
        verdict.isControl
            || (scenario.detection == nil || verdict.detected != nil) && scenario.alerts.isSubset(of: fired)
    }

    var hasOrders: Bool { !needsOrders || (last?.orders ?? 0) > ordersBefore }

    private var isTold: Bool {
        verdict.isControl
            || (scenario.alerts.isSubset(of: fired) && scenario.alerts.isSubset(of: ended)
                && (!seesSink || scenario.alerts.isSubset(of: delivered)))
    }

    // MARK: - Invariants

    private mutating func check(_ sample: Sample) {
        if let arrived = sample.delivered {
            seesSink = true
            delivered.formUnion(arrived)
        }
        for alert in sample.alerts {
            if alert.isFiring { fired.insert(alert.kind) } else { ended.insert(alert.kind) }
        }
        if let written = sample.filed {
            readsFiles = true
            filed.formUnion(written.filter(\.isFiring).map(\.kind))
        }
        for alert in sample.alerts + (sample.filed ?? []) where alert.isFiring {
            if !excuses.covers(alert.kind), !verdict.isControl, verdict.unexpected[alert.kind]?.isEmpty ?? true {
                verdict.unexpected[alert.kind] = alert.summary
            }
        }
        var watchers: [String: String] = [:]
        for shard in sample.shards.sorted(by: { $0.name < $1.name }) where shard.isFresh {
            for (game, epoch) in shard.games.sorted(by: { $0.key < $1.key }) {
                let key = "\(game) under epoch \(epoch)"
                if let other = watchers[key] { verdict.note("\(key) is watched by \(other) and \(shard.name)") }
                watchers[key] = shard.name
            }
        }
        if let orders = sample.orders { newestOrders = orders }
        if let messages = sample.messages { newestMessages = messages }
        // A process that ends and its next life are two.
        streams.merge(sample.streams) { $1 }
        guard let truth = sample.truth else { return }
        if let last { compare(truth, with: last) }
        last = truth
    }

    private mutating func compare(_ truth: Sample.Truth, with last: Sample.Truth) {
        let pairs = [
            (truth.signals, last.signals), (truth.intents, last.intents), (truth.orders, last.orders),
            (truth.fills, last.fills),
        ]
        // A row that is gone may hide behind a new one: those that were seen are asked for by name as well.
        rowsFewer += pairs.reduce(0) { $0 + max(0, $1.1 - $1.0) }
        rowsMissing += truth.missing - last.missing
        for rule in truth.brokenRules { verdict.note(rule) }
        if truth.staleApprovals > last.staleApprovals {
            verdict.note("\(truth.staleApprovals - last.staleApprovals) signals were approved under an old epoch")
        }
        if truth.term < last.term { verdict.note("the term went back from \(last.term) to \(truth.term)") }
        for game in truth.games {
            // One that is on its way has no owner for a moment.
            if let before = owners[game.id], let owner = game.owner, owner != before { moved.insert(game.id) }
        }
        let before = Dictionary(last.games.map { ($0.id, $0.epoch) }, uniquingKeysWith: max)
        for game in truth.games where game.epoch < before[game.id] ?? 0 {
            verdict.note("\(game.id) went back to epoch \(game.epoch)")
        }
    }

    /// Orders that the venue has taken in time, and PostgreSQL still does not call placed.
    var forgotten: Int {
        guard let newestOrders else { return 0 }
        let before = takenWhenWhole ?? newestOrders.taken
        return newestOrders.waiting.count { $0 < before }
    }

    /// Messages that were on the bus in time, and PostgreSQL has not taken in.
    var untaken: Int {
        guard let newestMessages else { return 0 }
        let before = owedWhenWhole ?? newestMessages.owed
        return newestMessages.waiting.count { $0 < before }
    }

    /// What every process that was there before the fault has been handed since.
    var handed: [(process: String, open: Int, gaps: Int)] {
        streamsBefore.sorted { $0.key < $1.key }.compactMap { process, before in
            streams[process].map { (process, before.open, $0.gaps - before.gaps) }
        }
    }

    /// Streams that know nothing yet of what they have missed.
    private var streamUnrest: [String] {
        guard scenario.givesOneGap, !verdict.isControl, case .healed = state else { return [] }
        return handed.filter { $0.gaps < $0.open }.map { "\($0.process) was handed no gap on some stream" }
    }
}
