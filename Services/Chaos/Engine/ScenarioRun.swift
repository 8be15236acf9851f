import Resilience

/// One round of one scenario, decided from samples alone.
///
/// Legal transitions: `settling -> breaking -> broken -> healing -> healed -> over`; any state ends in `over` when its
/// deadline has passed. A recovery that counts from the fault may be seen while it is still `broken`.
public struct ScenarioRun: Sendable {
    public enum Event: Hashable, Sendable {
        case sample(Sample)
        /// The fault was made.
        case broken
        case notBroken(String)
        /// The fault was undone.
        case healed
        case notHealed(String)
    }

    public enum Effect: Hashable, Sendable {
        /// Make the fault; these are the processes or servers that it hits. Its undoing must be armed first.
        case breakNow(Fault, victims: [String], undoneAfter: Duration)
        case healNow
        case finish(Verdict)
    }

    enum State: Hashable, Sendable {
        case settling(since: MachineInstant)
        case breaking
        case broken(at: MachineInstant)
        case healing(broken: MachineInstant)
        case healed(at: MachineInstant, broken: MachineInstant)
        case over
    }

    /// The suite must have been steady for so long before it is broken, and again before a recovery is believed.
    public static let calm = Duration.seconds(2)
    /// How long the precondition may take.
    public static let patience = Duration.seconds(120)
    /// How long after the recovery the rest may take: all shards back, every alert and its end told.
    public static let rest = Duration.seconds(60)

    public let scenario: Scenario
    private(set) var state: State
    private var verdict: Verdict
    private var steadySince: MachineInstant?
    private var last: Sample.Truth?
    private var owners: [String: String] = [:]
    private var termBefore: Int64 = 0
    private var shardsBefore = 0
    private var victims: Set<String> = []
    private var fired: Set<String> = []
    private var ended: Set<String> = []
    private var unrest: [String] = ["nothing was seen"]

    public init(_ scenario: Scenario, round: Int, isControl: Bool = false, at now: MachineInstant) {
        self.scenario = scenario
        state = .settling(since: now)
        verdict = Verdict(
            scenario.name, round: round, isControl: isControl, alertsExpected: isControl ? 0 : scenario.alerts.count)
    }

    public mutating func handle(_ event: Event, at now: MachineInstant) -> [Effect] {
        switch (event, state) {
        case (_, .over): return []
        case (.sample(let sample), _): return see(sample, at: now)
        case (.broken, .breaking):
            state = .broken(at: now)
            return []
        case (.notBroken(let why), .breaking): return finish("the fault was not made: \(why)")
        case (.healed, .healing(let broken)):
            state = .healed(at: now, broken: broken)
            return []
        case (.notHealed(let why), .healing): return finish("the fault was not undone: \(why)")
        default: return []
        }
    }

    // MARK: - Samples

    private mutating func see(_ sample: Sample, at now: MachineInstant) -> [Effect] {
        check(sample)
        unrest = sample.unrest
        if unrest.isEmpty {
            if steadySince == nil { steadySince = now }
        } else {
            steadySince = nil
        }
        let isCalm = steadySince.map { now.since($0) >= Self.calm } ?? false
        switch state {
        case .settling(let since): return settle(sample, since: since, isCalm: isCalm, at: now)
        case .breaking, .healing, .over: return []
        case .broken(let broken):
            detect(sample, broken, at: now)
            if scenario.recovery == .fault || verdict.isControl { recover(from: broken, isCalm: isCalm) }
            guard now.since(broken) >= heldFor else { return [] }
            state = .healing(broken: broken)
            return [.healNow]
        case .healed(let healed, let broken):
            detect(sample, broken, at: now)
            if !verdict.isControl { recover(from: scenario.recovery == .fault ? broken : healed, isCalm: isCalm) }
            let isWhole = isCalm && sample.healthyShards >= shardsBefore && isTold
            return isWhole || now.since(healed) >= scenario.recoverWithin + Self.rest ? conclude() : []
        }
    }

    /// A control's fault stays until nothing can have recovered in time.
    private var heldFor: Duration {
        verdict.isControl ? scenario.holds + scenario.recoverWithin + Self.calm : scenario.holds
    }

    private mutating func settle(
        _ sample: Sample, since: MachineInstant, isCalm: Bool, at now: MachineInstant
    ) -> [Effect] {
        guard isCalm, sample.isBalanced, let truth = sample.truth else {
            guard now.since(since) >= Self.patience else { return [] }
            let why = unrest.isEmpty ? ["games are not spread evenly"] : unrest
            return finish("it was not steady to begin with: \(why.joined(separator: "; "))")
        }
        let fault = verdict.isControl ? scenario.control : scenario.fault
        termBefore = truth.term
        shardsBefore = sample.healthyShards
        for game in truth.games { owners[game.id] = game.owner }
        // What was told before is of another fault.
        (fired, ended) = ([], [])
        verdict.falseAlerts = []
        verdict.problems = []
        let hit = Self.victims(of: fault.part, in: sample)
        guard !hit.isEmpty else { return finish("there is nothing to break: \(fault.part.rawValue)") }
        victims = Set(hit)
        steadySince = nil
        state = .breaking
        return [.breakNow(fault, victims: hit, undoneAfter: heldFor)]
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

    private mutating func detect(_ sample: Sample, _ broken: MachineInstant, at now: MachineInstant) {
        guard verdict.detected == nil else { return }
        let isDetected =
            switch scenario.detection {
            case .gamesMoved: sample.truth?.games.allSatisfy { !victims.contains($0.owner ?? "") } ?? false
            case .checkFails(let check): sample.checks?[check] == false
            case .otherLeads: sample.truth.map { $0.term > termBefore } ?? false
            case .alert(let kind): fired.contains(kind)
            }
        if isDetected { verdict.detected = now.since(broken) }
    }

    /// To the first moment of the calm that lasted.
    private mutating func recover(from start: MachineInstant, isCalm: Bool) {
        guard verdict.recovered == nil, isCalm, let steadySince else { return }
        verdict.recovered = steadySince.since(start)
    }

    private var isTold: Bool {
        verdict.isControl || (scenario.alerts.isSubset(of: fired) && scenario.alerts.isSubset(of: ended))
    }

    // MARK: - Invariants

    private mutating func check(_ sample: Sample) {
        for alert in sample.alerts {
            if alert.isFiring { fired.insert(alert.kind) } else { ended.insert(alert.kind) }
            let isExpected = scenario.alerts.union(scenario.mayAlert).contains(alert.kind)
            if alert.isFiring, !isExpected, !verdict.isControl, !verdict.falseAlerts.contains(alert.kind) {
                verdict.falseAlerts.append(alert.kind)
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
        guard let truth = sample.truth else { return }
        if let last { compare(truth, with: last) }
        last = truth
    }

    private mutating func compare(_ truth: Sample.Truth, with last: Sample.Truth) {
        let pairs = [
            (truth.signals, last.signals), (truth.intents, last.intents), (truth.orders, last.orders),
            (truth.fills, last.fills),
        ]
        verdict.lost += pairs.reduce(0) { $0 + max(0, $1.1 - $1.0) }
        verdict.duplicated += max(0, truth.surplusOrders - last.surplusOrders)
        if truth.staleApprovals > last.staleApprovals {
            verdict.note("\(truth.staleApprovals - last.staleApprovals) signals were approved under an old epoch")
        }
        if truth.term < last.term { verdict.note("the term went back from \(last.term) to \(truth.term)") }
        let before = Dictionary(last.games.map { ($0.id, $0.epoch) }, uniquingKeysWith: max)
        for game in truth.games where game.epoch < before[game.id] ?? 0 {
            verdict.note("\(game.id) went back to epoch \(game.epoch)")
        }
    }

    // MARK: - The end

    private mutating func finish(_ problem: String) -> [Effect] {
        verdict.note(problem)
        state = .over
        return [.finish(verdict)]
    }

    private mutating func conclude() -> [Effect] {
        state = .over
        verdict.moved = last?.games.count { owners[$0.id] != nil && $0.owner != owners[$0.id] } ?? 0
        verdict.alertsReceived = verdict.isControl ? 0 : scenario.alerts.intersection(fired).count
        if verdict.isControl {
            // What it must find, since nothing was undone until nothing could be in time.
            verdict.note(
                verdict.recovered == nil ? "not steady in time, as it must be" : "the control recovered after all")
            return [.finish(verdict)]
        }
        if verdict.lost > 0 { verdict.note("\(verdict.lost) rows are lost") }
        if verdict.duplicated > 0 { verdict.note("\(verdict.duplicated) orders were sent twice") }
        for kind in verdict.falseAlerts { verdict.note("\(kind) was told without a reason") }
        for kind in scenario.alerts.subtracting(fired).sorted() { verdict.note("\(kind) was not told") }
        for kind in scenario.alerts.intersection(fired).subtracting(ended).sorted() {
            verdict.note("the end of \(kind) was not told")
        }
        if verdict.moved > 0, !scenario.mayMoveGames { verdict.note("\(verdict.moved) games moved") }
        switch verdict.detected {
        case nil: verdict.note("not detected")
        case let detected? where detected > scenario.detectWithin:
            verdict.note("detected after \(detected.wholeMilliseconds) ms, later than allowed")
        default: break
        }
        switch verdict.recovered {
        case nil: verdict.note("not recovered: \(unrest.joined(separator: "; "))")
        case let recovered? where recovered > scenario.recoverWithin:
            verdict.note("recovered after \(recovered.wholeMilliseconds) ms, later than allowed")
        default: break
        }
        return [.finish(verdict)]
    }
}
