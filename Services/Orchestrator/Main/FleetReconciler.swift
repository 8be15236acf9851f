import Domain
import Hosting
import Logging
import OrchestratorEngine
import Resilience
import Runtime

/// Takes what happened to the engine and hands its effects to the lanes; never waits for anything.
actor FleetReconciler {
    private var engine: OrchestratorEngine
    private let lanes: EffectLanes
    private let host: ServiceHost
    private let dropped: Counter
    private let decided: Histogram
    /// What each shard's present life says it has sent, for the status page.
    private var signalsSent: [ShardID: Double] = [:]
    /// How each one's bus does, by service and instance; of those that the engine knows.
    private var buses: [String: BusReport] = [:]

    init(policy: OrchestratorPolicy, lanes: EffectLanes, host: ServiceHost) {
        engine = OrchestratorEngine(policy: policy)
        self.lanes = lanes
        self.host = host
        dropped = host.context.metrics.counter("effects_dropped_total", "Messages that found their lane full.")
        decided = host.context.metrics.histogram("decision_seconds", "What the engine needs for one event.")
    }

    @discardableResult
    func take(_ event: Event) -> [Effect] {
        let now = host.clock.now
        let effects = engine.handle(event, at: now)
        decided.observe(now.duration(to: host.clock.now))
        for effect in effects {
            log(effect)
            // Nothing is decided by the event that ends or begins a term.
            if !lanes.put(effect, term: engine.term) { dropped.increment() }
        }
        return effects
    }

    /// Takes what is found out only now, with nothing told in between: of two findings the later one counts.
    ///
    /// - Returns: whether anything was found.
    func take(found: @Sendable () -> [Event]) -> Bool {
        let events = found()
        for event in events { take(event) }
        return !events.isEmpty
    }

    /// What becomes of an operator's order; its moves follow in pace.
    func answer(_ order: OperatorOrder, request: CommandID) -> OperatorAnswer {
        take(.operatorOrder(order, request: request))
            .compactMap { if case .answerOperator(request, let answer) = $0 { answer } else { nil } }
            .first ?? .refused(.notLeading)
    }

    func note(signalsSent count: Double, by shard: ShardID) { signalsSent[shard] = count }

    func note(_ bus: BusReport) { buses[Self.name(bus.service, bus.instance)] = bus }

    /// In order of service and instance; forgets who the engine has forgotten.
    func busReports() -> [BusReport] {
        let fleet = snapshot()
        let services = Set(fleet.services.map { Self.name($0.service, $0.instance) })
        let shards = Set(fleet.shards.map(\.shard))
        buses = buses.filter { services.contains($0.key) || shards.contains($0.value.instance) }
        return buses.sorted { $0.key < $1.key }.map(\.value)
    }

    private static func name(_ service: String, _ instance: String) -> String { "\(service)/\(instance)" }

    var isLeading: Bool { engine.isLeading }

    var hears: Bool { engine.hears }

    /// Since when we hear again; nil while we never did not.
    var hearingSince: MachineInstant? { engine.hearingSince }

    /// Since when nothing is heard; nil while we hear.
    var deafSince: MachineInstant? { engine.deafSince }

    /// The term in which we lead and hear; nil while we judge nothing.
    var judgingTerm: Int64? { health().isJudging ? engine.term : nil }

    func health() -> FleetHealth { engine.health(at: host.clock.now) }

    func snapshot() -> FleetSnapshot { engine.snapshot(at: host.clock.now) }

    /// Signals that the shards say they have sent in their present lives.
    func totalSignalsSent() -> Int { Int(signalsSent.values.reduce(0, +)) }

    private func log(_ effect: Effect) {
        switch effect {
        case .commitAssignments(let batch, let changes, let term):
            host.log.info(
                "assigning games",
                metadata: ["batch": "\(batch)", Key.count: "\(changes.count)", Key.term: "\(term)"])
        case .releaseGame(let game, let status, _, _, _):
            host.log.info("releasing game", metadata: [Key.game: "\(game)", Key.status: "\(status.rawValue)"])
        case .raiseAlert(let kind, _, let facts):
            host.log.error(
                "alert raised",
                metadata: [Key.kind: "\(kind.rawValue)", "facts": "\(facts.sorted(by: { $0.key < $1.key }))"])
        case .recoverAlert(let kind, _, _): host.log.info("alert recovered", metadata: [Key.kind: "\(kind.rawValue)"])
        case .handOverAlert(let kind, _): host.log.info("alert handed over", metadata: [Key.kind: "\(kind.rawValue)"])
        case .notify(let note): host.log.info("fleet changed", metadata: ["change": "\(note)"])
        case .sendCommand(let command):
            host.log.debug(
                "sending command",
                metadata: [
                    Key.command: "\(command.id)", Key.shard: "\(command.shard)", Key.game: "\(command.game)",
                    Key.epoch: "\(command.epoch)",
                ])
        case .readDesiredState: host.log.warning("desired state is read again")
        case .report(let oddity): host.log.warning("odd news", metadata: [Key.kind: "\(oddity.rawValue)"])
        case .answerOperator(_, let answer): host.log.info("operator answered", metadata: ["answer": "\(answer)"])
        case .grant, .requestMarkets, .upsertGame, .keepMarkets: break
        }
    }
}
