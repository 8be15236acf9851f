import Domain
import GameShardEngine
import OrchestratorEngine
import Resilience

/// Real engines, a database with the real guards, and links that lose, delay, repeat and reorder; all from one seed.
struct Simulation {
    indirect enum Happening {
        case shardStarts(Int, life: Int)
        case shardTimer(Int, life: Int)
        case orchestratorTimer(Int, life: Int)
        case toShard(Int, ShardEvent, life: Int)
        case command(Int, Command)
        case toOrchestrator(Int, Event, life: Int?)
        case shardReads(Int, life: Int, asked: MachineInstant, isReread: Bool)
        case leadershipAsked(Int, life: Int, told: Int64?, asked: MachineInstant)
        case leadershipAnswered(Int, life: Int, term: Int64?, asked: MachineInstant)
        case leadershipTimer(Int, life: Int)
        case desiredRead(Int, life: Int, [DesiredGame], drained: Set<ShardID>, term: Int64)
        case recordStored(Int, life: Int, SimulatedOrchestrator.Record)
        case recordAnswered(Int, life: Int, Event?)
        case look(Int, life: Int)
        case fault(Fault)
        case check
        case path(PathHappening)
        case pathFault(PathFault)

        /// Whether it may change who owns a game, or who takes himself for it.
        var touchesOwners: Bool {
            switch self {
            case .toShard(_, .state, _), .toShard(_, .bookUpdated, _), .toShard(_, .booksConfirmed, _): false
            case .toShard, .command, .recordStored, .fault, .pathFault: true
            default: false
            }
        }
    }

    let seed: UInt64
    let profile: SimulationProfile
    var capacity: Int { profile.capacity }
    var random: SeededGenerator
    var now = MachineInstant.origin
    var agenda = Agenda<Happening>()
    var database = SimulatedDatabase()
    var shards: [SimulatedShard] = []
    var orchestrators: [SimulatedOrchestrator] = []
    var scoreboard: [GameID: GameStatus] = [:]
    var isBusUp = true
    /// 0 to 100.
    var lossPercent = 0
    var failPercent = 0
    var watch = Watch()
    var log = EventLog()
    var violations: [String] = []
    var operatorOrders: [CommandID: OperatorOrder] = [:]
    /// The newest order about each shard whose answer PostgreSQL did not take: it is given again.
    var unkeptOrders: [ShardID: CommandID] = [:]
    var path: OrderPath
    /// How much has happened.
    var steps = 0
    /// Nothing more happens after so many steps.
    var stepLimit = Int.max
    /// A mistake made on purpose, to see that it is found.
    let plant: Plant?
    /// What happened, for whoever looks into one seed; nil while nobody does.
    var history: [String]?

    init(seed: UInt64, profile: SimulationProfile = .fleet, plant: Plant? = nil) {
        self.seed = seed
        self.plant = plant
        self.profile = profile
        path = OrderPath(seed: seed, profile: profile, plant: plant)
        database.isUnfenced = plant == .reservationsUnfenced
        random = SeededGenerator(seed: seed)
        for index in 0..<profile.shards {
            let id = ShardID(stringLiteral: "s\(index)")
            let process = SimulatedProcess(clockOffset: Self.anyOffset(&random))
            let engine = ShardEngine(
                shard: id, incarnation: SimulatedShard.incarnation(id, 1),
                rules: SimulatedShard.rules(profile))
            shards.append(SimulatedShard(id: id, process: process, engine: engine))
        }
        for index in 0..<2 {
            orchestrators.append(
                SimulatedOrchestrator(index: index, process: SimulatedProcess(clockOffset: Self.anyOffset(&random))))
        }
        if profile.isStretched { driftFleet() }
        for id in SimulatedGames.ids(profile.games) { scoreboard[id] = .live }
        if profile.hasOrderPath { startPath(profile) }
        for index in shards.indices { startShard(index) }
        for index in orchestrators.indices { startOrchestrator(index) }
        agenda.plan(.check, at: now)
    }

    /// Leases are counted on clocks that go at rates of their own, and advice is dated by venue times that are off.
    private mutating func driftFleet() {
        var draws = SeededGenerator(seed: seed ^ 0x6472_6966_7465_6421)
        func drift() -> Int64 { Int64.random(in: -200...200, using: &draws) }
        for index in shards.indices {
            shards[index].process.driftPerMillion = drift()
            shards[index].process.venueError = .milliseconds(drift())
        }
        for index in orchestrators.indices { orchestrators[index].process.driftPerMillion = drift() }
    }

    private static func anyOffset(_ random: inout SeededGenerator) -> Duration {
        .milliseconds(Int.random(in: 0...3_600_000, using: &random))
    }

    mutating func run(until end: MachineInstant) {
        while steps < stepLimit, let (at, happening) = agenda.next(until: end) {
            now = max(now, at)
            path.books.databaseNow = now
            steps += 1
            log.add(now.nanoseconds)
            log.add(happening.kind)
            happen(happening)
            if happening.touchesOwners { watchOwners() }
        }
        if steps < stepLimit { now = end }
    }

    mutating func record(_ text: @autoclosure () -> String) {
        if history != nil { history?.append("\(now.nanoseconds / 1_000_000) ms: \(text())") }
    }

    mutating func roll(_ percent: Int) -> Bool { percent > 0 && Int.random(in: 0..<100, using: &random) < percent }

    mutating func delay(_ range: ClosedRange<Int>) -> MachineInstant {
        now.advanced(by: .milliseconds(Int.random(in: range, using: &random)))
    }

    /// When a statement reaches PostgreSQL, or its answer comes back.
    mutating func databaseDelay(_ range: ClosedRange<Int>) -> MachineInstant {
        delay(range).advanced(by: slowness())
    }

    /// What a slow PostgreSQL adds to a way; nothing is drawn while it is quick.
    mutating func slowness() -> Duration {
        path.trouble.slowness > 0 ? path.milliseconds(0...path.trouble.slowness) : .zero
    }

    private mutating func happen(_ happening: Happening) {
        switch happening {
        case .shardStarts, .shardTimer, .toShard, .command: shardHappens(happening)
        case .shardReads(let index, let life, let asked, let isReread): read(index, life, asked, isReread)
        case .orchestratorTimer, .toOrchestrator, .leadershipAnswered, .leadershipTimer, .desiredRead, .recordAnswered,
            .look:
            orchestratorHappens(happening)
        case .leadershipAsked(let index, let life, let told, let asked): lead(index, life, told, asked)
        case .recordStored(let index, let life, let record): store(index, life, record)
        case .fault(let fault): strike(fault)
        case .path(let happening): pathHappens(happening)
        case .pathFault(let fault):
            log.add("\(fault)")
            record("fault \(fault)")
            strike(fault)
        case .check:
            check()
            watchFleetAlerts()
            watchLosses()
            watchResting()
            watchAlerts()
            agenda.plan(.check, at: now.advanced(by: .milliseconds(250)))
        }
    }

    private mutating func pathHappens(_ happening: PathHappening) {
        switch happening {
        case .play: play()
        case .confirmBooks: confirmBooks()
        case .settle(let market, let value):
            record("venue settles \(market) at \(value)")
            path.venue.settle(market, at: value)
        case .publish(let shard, let life, let signal, let attempt): publish(shard, life, signal, attempt: attempt)
        case .entryHeard, .follow, .followed, .decided, .priceToProcessor: processorHappens(happening)
        case .planDecided: processorHappens(happening)
        case .lookForLosses(let index, let life): lookForLosses(index, life, happening)
        case .decide(let index, let life, let place, let signal): decide(index, life, place, signal)
        case .discoveryAsked, .discoveryListed, .discoveryBeat: discoveryHappens(happening)
        case .priceToExecutor, .intentToExecutor, .sweep, .swept, .claimed, .book, .booked, .tellUntold:
            orderHappens(happening)
        case .claim(let index, let life, let intent, let began): claim(index, life, intent, began)
        case .arrive(let index, let life, let claimed, let replyBy): arrive(index, life, claimed, replyBy: replyBy)
        case .lookForExits, .exitAsked: exitHappens(happening)
        case .sweepPlans, .drive, .legSend, .legAnswered: planHappens(happening)
        case .conclude(let fill, let isTrue):
            record("venue \(isTrue ? "confirms" : "takes back") \(fill)")
            path.venue.conclude(fill, isTrue: isTrue)
        case .followFills(let index, let life): followFills(index, life, happening)
        case .cancelAll(let index, let life): cancelAll(index, life, happening)
        case .linger(let order, let index, let life, let claimed, let replyBy):
            linger(order, index, life, claimed, replyBy: replyBy)
        case .killSwitch(let isEngaged): path.books.killSwitch = isEngaged ? .engaged : .released
        default: lookHappens(happening)
        }
    }

    // MARK: The bus

    /// When a message sent now arrives: never, once, or twice.
    mutating func flights() -> [MachineInstant] {
        if !isBusUp || roll(lossPercent) { return [] }
        let longest = lossPercent > 0 ? 400 : 15
        let first = delay(1...longest)
        return roll(lossPercent) ? [first, delay(1...longest)] : [first]
    }

    mutating func tellOrchestrators(_ event: Event) {
        for index in orchestrators.indices where orchestrators[index].process.hasBus {
            for at in flights() { agenda.plan(.toOrchestrator(index, event, life: nil), at: at) }
        }
    }

    mutating func tellShard(_ command: Command) {
        guard let index = shards.firstIndex(where: { $0.id == command.shard }) else { return }
        if plant == .assignmentsLost, command.isAssignment, command.game == "g03" { return }
        guard shards[index].process.hasBus, isBusUp else { return shards[index].journal.append(command) }
        for at in flights() { agenda.plan(.command(index, command), at: at) }
    }
}
