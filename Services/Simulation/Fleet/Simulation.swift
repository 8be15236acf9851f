import Domain
import GameShardEngine
import OrchestratorEngine
import Resilience

/// Real engines, a database with the real guards, and links that lose, delay, repeat and reorder; all from one seed.
struct Simulation {
    indirect enum Happening {
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
        case recordStored(Int, life: Int, Effect)
        case recordAnswered(Int, life: Int, Event?)
        case look(Int, life: Int)
        case fault(Fault)
        case check
    }

    let seed: UInt64
    let capacity: Int
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
    /// A mistake made on purpose, to see that it is found.
    let plant: Plant?
    /// What happened, for whoever looks into one seed; nil while nobody does.
    var history: [String]?

    init(seed: UInt64, shards shardCount: Int = 3, games: Int = 10, capacity: Int = 8, plant: Plant? = nil) {
        self.seed = seed
        self.plant = plant
        database.isUnfenced = plant == .reservationsUnfenced
        self.capacity = capacity
        random = SeededGenerator(seed: seed)
        for index in 0..<shardCount {
            let id = ShardID(stringLiteral: "s\(index)")
            let process = SimulatedProcess(clockOffset: Self.anyOffset(&random))
            let engine = ShardEngine(
                shard: id, incarnation: SimulatedShard.incarnation(id, 1),
                rules: SimulatedShard.rules(capacity: capacity))
            shards.append(SimulatedShard(id: id, process: process, engine: engine))
        }
        for index in 0..<2 {
            orchestrators.append(
                SimulatedOrchestrator(index: index, process: SimulatedProcess(clockOffset: Self.anyOffset(&random))))
        }
        for id in SimulatedGames.ids(games) { scoreboard[id] = .live }
        for index in shards.indices { startShard(index) }
        for index in orchestrators.indices { startOrchestrator(index) }
        agenda.plan(.check, at: now)
    }

    private static func anyOffset(_ random: inout SeededGenerator) -> Duration {
        .milliseconds(Int.random(in: 0...3_600_000, using: &random))
    }

    mutating func run(until end: MachineInstant) {
        while let (at, happening) = agenda.next(until: end) {
            now = max(now, at)
            happen(happening)
        }
        now = end
    }

    mutating func record(_ text: @autoclosure () -> String) {
        if history != nil { history?.append("\(now.nanoseconds / 1_000_000) ms: \(text())") }
    }

    mutating func roll(_ percent: Int) -> Bool { percent > 0 && Int.random(in: 0..<100, using: &random) < percent }

    mutating func delay(_ range: ClosedRange<Int>) -> MachineInstant {
        now.advanced(by: .milliseconds(Int.random(in: range, using: &random)))
    }

    private mutating func happen(_ happening: Happening) {
        switch happening {
        case .shardTimer, .toShard, .command: shardHappens(happening)
        case .shardReads(let index, let life, let asked, let isReread): read(index, life, asked, isReread)
        case .orchestratorTimer, .toOrchestrator, .leadershipAnswered, .leadershipTimer, .desiredRead, .recordAnswered,
            .look:
            orchestratorHappens(happening)
        case .leadershipAsked(let index, let life, let told, let asked): lead(index, life, told, asked)
        case .recordStored(let index, let life, let effect): store(index, life, effect)
        case .fault(let fault): strike(fault)
        case .check:
            check()
            agenda.plan(.check, at: now.advanced(by: .milliseconds(250)))
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
