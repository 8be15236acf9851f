import Domain
import GameShardEngine
import OrchestratorEngine
import Resilience

/// What a schedule breaks, and what ends it.
enum Fault {
    case killShard(Int)
    case restartShard(Int)
    case pauseShard(Int)
    case resumeShard(Int)
    case drainShard(Int)
    case cutShardFromBus(Int)
    case joinShardToBus(Int)
    case cutShardFromDatabase(Int)
    case joinShardToDatabase(Int)
    case makeIll(Int)
    case makeWell(Int)
    case killOrchestrator(Int)
    case restartOrchestrator(Int)
    case pauseOrchestrator(Int)
    case resumeOrchestrator(Int)
    case cutOrchestratorFromBus(Int)
    case joinOrchestratorToBus(Int)
    case cutOrchestratorFromDatabase(Int)
    case joinOrchestratorToDatabase(Int)
    case stopBus
    case startBus
    case lose(percent: Int)
    case failRecords(percent: Int)
    case show(GameID, GameStatus)
    /// A shard is given a game by hand.
    case smuggle(Int, GameID)
    case order(OperatorOrder)
    case hearsChanged(Int)

    /// The shard that it breaks or mends; nil when it is none.
    var shard: Int? {
        switch self {
        case .killShard(let index), .restartShard(let index), .pauseShard(let index), .resumeShard(let index),
            .drainShard(let index), .cutShardFromBus(let index), .joinShardToBus(let index),
            .cutShardFromDatabase(let index), .joinShardToDatabase(let index), .makeIll(let index),
            .makeWell(let index):
            index
        default: nil
        }
    }
}

extension Simulation {
    mutating func strike(_ fault: Fault) {
        watch.disturbed(at: now)
        if let index = fault.shard { watch.struck[index] = now }
        log.add("\(fault)")
        record("fault \(fault)")
        switch fault {
        case .killShard(let index): shards[index].process.isRunning = false
        case .restartShard(let index): restartShard(index)
        case .pauseShard(let index): shards[index].process.isPaused = true
        case .resumeShard(let index): resumeShard(index)
        case .drainShard(let index):
            shards[index].isStopping = true
            // One that has not got its name yet has nothing to let go: it ends.
            if !shards[index].hasClaimed { shards[index].process.isRunning = false }
            give(.drain, to: index)
        case .cutShardFromBus(let index): shards[index].process.hasBus = false
        case .joinShardToBus(let index): joinToBus(shard: index)
        case .cutShardFromDatabase(let index): shards[index].process.hasDatabase = false
        case .joinShardToDatabase(let index): shards[index].process.hasDatabase = true
        case .makeIll(let index): shards[index].isIll = true
        case .makeWell(let index): shards[index].isIll = false
        case .stopBus:
            isBusUp = false
            for index in orchestrators.indices { noticeBus(of: index) }
        case .startBus:
            isBusUp = true
            for index in orchestrators.indices { noticeBus(of: index) }
            for index in shards.indices { joinToBus(shard: index) }
        case .lose(let percent): lossPercent = percent
        case .failRecords(let percent): failPercent = percent
        case .show(let game, let status):
            guard scoreboard[game]?.permits(status) ?? false else { return }
            scoreboard[game] = status
            if status.isEnd { gameEnds(game) }
        case .smuggle(let index, let game):
            let assigned = Assigned(
                game: database.game(game), markets: database.markets(of: game),
                epoch: database.rows[game]?.epoch ?? .first)
            give(.assign("by-hand", assigned), to: index)
        case .order(let order):
            let request = CommandID(stringLiteral: "o\(operatorOrders.count + 1)")
            operatorOrders[request] = order
            for index in orchestrators.indices where orchestrators[index].process.isAble {
                give(.operatorOrder(order, request: request), toOrchestrator: index)
            }
        default: strikeOrchestrator(fault)
        }
    }

    private mutating func strikeOrchestrator(_ fault: Fault) {
        switch fault {
        case .killOrchestrator(let index): orchestrators[index].process.isRunning = false
        case .restartOrchestrator(let index): restartOrchestrator(index)
        case .pauseOrchestrator(let index): orchestrators[index].process.isPaused = true
        case .resumeOrchestrator(let index): resumeOrchestrator(index)
        case .cutOrchestratorFromBus(let index):
            orchestrators[index].process.hasBus = false
            noticeBus(of: index)
        case .joinOrchestratorToBus(let index):
            orchestrators[index].process.hasBus = true
            noticeBus(of: index)
        case .cutOrchestratorFromDatabase(let index): orchestrators[index].process.hasDatabase = false
        case .joinOrchestratorToDatabase(let index): orchestrators[index].process.hasDatabase = true
        case .hearsChanged(let index):
            let hears = orchestrators[index].process.hasBus && isBusUp
            guard orchestrators[index].process.isRunning, !orchestrators[index].process.isPaused,
                hears != orchestrators[index].hears
            else { return }
            orchestrators[index].hears = hears
            give(.bus(isUp: hears), toOrchestrator: index)
        default: break
        }
    }

    /// A lost link is noticed when no PONG came for an interval, one that is back soon after.
    private mutating func noticeBus(of index: Int) {
        agenda.plan(.fault(.hearsChanged(index)), at: now.advanced(by: .milliseconds(1_300)))
        agenda.plan(.fault(.hearsChanged(index)), at: now.advanced(by: .milliseconds(1_600)))
    }

    private mutating func resumeShard(_ index: Int) {
        guard shards[index].process.isPaused else { return }
        shards[index].process.isPaused = false
        let waiting = shards[index].inbox
        shards[index].inbox = []
        for happening in waiting { agenda.plan(happening, at: now) }
    }

    private mutating func resumeOrchestrator(_ index: Int) {
        guard orchestrators[index].process.isPaused else { return }
        orchestrators[index].process.isPaused = false
        let waiting = orchestrators[index].inbox
        orchestrators[index].inbox = []
        for happening in waiting { agenda.plan(happening, at: now) }
        noticeBus(of: index)
    }

    /// The journal replays what was missed, or is too short for it and the shard reads all again.
    private mutating func joinToBus(shard index: Int) {
        shards[index].process.hasBus = true
        let missed = shards[index].journal
        shards[index].journal = []
        guard isBusUp else { return }
        if roll(50) {
            var at = delay(50...500)
            for command in missed {
                agenda.plan(.command(index, command), at: at)
                at = at.advanced(by: .milliseconds(1))
            }
        } else {
            ask(index, isReread: true)
        }
    }
}

extension Simulation {
    /// A minute of trouble, drawn from the seed, and how each trouble ends.
    mutating func planTrouble(from start: MachineInstant, for length: Duration) {
        var at = start
        let end = start.advanced(by: length)
        while at < end {
            let (begin, finish) = trouble()
            agenda.plan(.fault(begin), at: at)
            if let finish {
                agenda.plan(
                    .fault(finish), at: at.advanced(by: .milliseconds(Int.random(in: 200...9_000, using: &random))))
            }
            at = at.advanced(by: .milliseconds(Int.random(in: 100...4_000, using: &random)))
        }
    }

    mutating func trouble() -> (Fault, Fault?) {
        let shard = Int.random(in: 0..<shards.count, using: &random)
        let orchestrator = Int.random(in: 0..<orchestrators.count, using: &random)
        let ids = scoreboard.keys.sorted()
        let game = ids[Int.random(in: 0..<ids.count, using: &random)]
        switch Int.random(in: 0..<26, using: &random) {
        case 0, 1, 2: return (.killShard(shard), .restartShard(shard))
        case 3: return (.restartShard(shard), nil)
        case 4, 5: return (.pauseShard(shard), .resumeShard(shard))
        case 6: return (.drainShard(shard), .restartShard(shard))
        case 7, 8: return (.cutShardFromBus(shard), .joinShardToBus(shard))
        case 9: return (.cutShardFromDatabase(shard), .joinShardToDatabase(shard))
        case 10: return (.makeIll(shard), .makeWell(shard))
        case 11, 12: return (.killOrchestrator(orchestrator), .restartOrchestrator(orchestrator))
        case 13: return (.pauseOrchestrator(orchestrator), .resumeOrchestrator(orchestrator))
        case 14: return (.cutOrchestratorFromBus(orchestrator), .joinOrchestratorToBus(orchestrator))
        case 15: return (.cutOrchestratorFromDatabase(orchestrator), .joinOrchestratorToDatabase(orchestrator))
        case 16: return (.stopBus, .startBus)
        case 17, 18: return (.lose(percent: Int.random(in: 5...40, using: &random)), .lose(percent: 0))
        case 19: return (.failRecords(percent: Int.random(in: 10...60, using: &random)), .failRecords(percent: 0))
        case 20: return (.show(game, .final), nil)
        case 21: return (.show(game, .postponed), .show(game, .live))
        case 22: return (.show(game, .suspended), .show(game, .live))
        case 23: return (.smuggle(shard, game), nil)
        case 24: return (.order(.drain(shards[shard].id)), .order(.undrain(shards[shard].id)))
        default:
            let target = shards[Int.random(in: 0..<shards.count, using: &random)].id
            return (.order(.reassign(game, to: Bool.random(using: &random) ? target : nil)), nil)
        }
    }

    /// Ends every trouble.
    mutating func calm() {
        calmPath()
        strike(.lose(percent: 0))
        strike(.failRecords(percent: 0))
        if !isBusUp { strike(.startBus) }
        for index in orchestrators.indices {
            strike(.joinOrchestratorToBus(index))
            strike(.joinOrchestratorToDatabase(index))
            strike(orchestrators[index].process.isRunning ? .resumeOrchestrator(index) : .restartOrchestrator(index))
        }
        for index in shards.indices {
            strike(.joinShardToBus(index))
            strike(.joinShardToDatabase(index))
            strike(.makeWell(index))
            let isOver = !shards[index].process.isRunning || shards[index].isStopping
            strike(isOver ? .restartShard(index) : .resumeShard(index))
            strike(.order(.undrain(shards[index].id)))
            // Where nobody led just now the operator asks until somebody does.
            if database.drained.contains(shards[index].id) {
                unkeptOrders[shards[index].id] = CommandID(stringLiteral: "o\(operatorOrders.count)")
            }
        }
    }
}
