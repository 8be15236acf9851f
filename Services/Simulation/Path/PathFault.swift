import Domain
import GameShardEngine
import Resilience

/// What a schedule breaks on the order path.
enum PathFault: Hashable {
    case killProcessor(Int)
    case restartProcessor(Int)
    case pauseProcessor(Int)
    case resumeProcessor(Int)
    case processorBus(Int, isUp: Bool)
    case processorDatabase(Int, isUp: Bool)
    case killExecutor(Int)
    case restartExecutor(Int)
    case pauseExecutor(Int)
    case resumeExecutor(Int)
    case executorBus(Int, isUp: Bool)
    case executorDatabase(Int, isUp: Bool)
    case killDiscovery
    case restartDiscovery
    case pauseDiscovery
    case resumeDiscovery
    case discoveryBus(isUp: Bool)
    case slowDatabase(milliseconds: Int)
    case database(isUp: Bool)
    case diskFull(Bool)
    case lostAnswers(percent: Int)
    case venue(isUp: Bool)
    case venueLists(isUp: Bool)
    case lostRequests(percent: Int)
    case lostReplies(percent: Int)
    case lateRequests(percent: Int)
    case refusals(percent: Int)
    /// 429 of what arrives.
    case tooMany(percent: Int)
    case lingering(percent: Int)
    case killSwitch(isEngaged: Bool)
    case killFile(isPresent: Bool)
    case killFileUnknown(Bool)
    case feed(Int, isUp: Bool)
    case flushBus

    /// Whether it is market-discovery that stands still or is not heard.
    var isOfDiscovery: Bool {
        switch self {
        case .pauseDiscovery, .resumeDiscovery, .discoveryBus: true
        default: false
        }
    }
}

extension Simulation {
    mutating func strike(_ fault: PathFault) {
        switch fault {
        case .killProcessor(let index): path.processors[index].process.isRunning = false
        case .restartProcessor(let index): restartProcessor(index)
        case .pauseProcessor(let index): path.processors[index].process.isPaused = true
        case .resumeProcessor(let index):
            path.processors[index].process.isPaused = false
            replay(path.processors[index].inbox)
            path.processors[index].inbox = []
        case .processorBus(let index, let isUp): path.processors[index].process.hasBus = isUp
        case .processorDatabase(let index, let isUp): path.processors[index].process.hasDatabase = isUp
        case .killExecutor(let index): path.executors[index].process.isRunning = false
        case .restartExecutor(let index): restartExecutor(index)
        case .pauseExecutor(let index): path.executors[index].process.isPaused = true
        case .resumeExecutor(let index):
            path.executors[index].process.isPaused = false
            replay(path.executors[index].inbox)
            path.executors[index].inbox = []
        case .executorBus(let index, let isUp): path.executors[index].process.hasBus = isUp
        case .executorDatabase(let index, let isUp): path.executors[index].process.hasDatabase = isUp
        case .killDiscovery: path.discovery.process.isRunning = false
        case .restartDiscovery: restartDiscovery()
        case .pauseDiscovery: path.discovery.process.isPaused = true
        case .resumeDiscovery:
            path.discovery.process.isPaused = false
            replay(path.discovery.inbox)
            path.discovery.inbox = []
        case .discoveryBus(let isUp): path.discovery.process.hasBus = isUp
        case .database(let isUp): setDatabase(isUp: isUp)
        case .killSwitch(let isEngaged): path.books.killSwitch = isEngaged ? .engaged : .released
        case .feed(let shard, let isUp): feed(of: shard, isUp: isUp)
        case .flushBus: path.journal.flush()
        case .diskFull:
            watch.disturbed(at: now)
            path.trouble.strike(fault)
        default: path.trouble.strike(fault)
        }
    }

    private mutating func replay(_ inbox: [Happening]) {
        for happening in inbox { agenda.plan(happening, at: now) }
    }

    private mutating func restartDiscovery() {
        var process = path.discovery.process
        process.life += 1
        process.isRunning = true
        process.isPaused = false
        path.discovery = SimulatedDiscovery(process: process)
        planPath(.discoveryBeat(life: process.life), within: 0...500)
    }

    /// The server itself is away, for everybody.
    private mutating func setDatabase(isUp: Bool) {
        watch.disturbed(at: now)
        for index in shards.indices {
            shards[index].process.hasDatabase = isUp
            watch.struck[index] = now
        }
        for index in orchestrators.indices { orchestrators[index].process.hasDatabase = isUp }
        for index in path.processors.indices { path.processors[index].process.hasDatabase = isUp }
        for index in path.executors.indices { path.executors[index].process.hasDatabase = isUp }
    }

    /// One trouble of the order path, and what ends it.
    mutating func pathTrouble(using random: inout SeededGenerator) -> (PathFault, PathFault?) {
        let processor = Int.random(in: 0..<path.processors.count, using: &random)
        let executor = Int.random(in: 0..<path.executors.count, using: &random)
        let shard = Int.random(in: 0..<shards.count, using: &random)
        func percent(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
        switch Int.random(in: 0..<31, using: &random) {
        case 0, 1: return (.killProcessor(processor), .restartProcessor(processor))
        case 2: return (.pauseProcessor(processor), .resumeProcessor(processor))
        case 3: return (.processorBus(processor, isUp: false), .processorBus(processor, isUp: true))
        case 4: return (.processorDatabase(processor, isUp: false), .processorDatabase(processor, isUp: true))
        case 5, 6, 7: return (.killExecutor(executor), .restartExecutor(executor))
        case 8, 9: return (.pauseExecutor(executor), .resumeExecutor(executor))
        case 10: return (.executorBus(executor, isUp: false), .executorBus(executor, isUp: true))
        case 11: return (.executorDatabase(executor, isUp: false), .executorDatabase(executor, isUp: true))
        case 12: return (.killDiscovery, .restartDiscovery)
        case 13: return (.database(isUp: false), .database(isUp: true))
        case 14: return (.diskFull(true), .diskFull(false))
        case 15, 16: return (.lostAnswers(percent: percent(5...40)), .lostAnswers(percent: 0))
        case 17: return (.venue(isUp: false), .venue(isUp: true))
        case 18: return (.venueLists(isUp: false), .venueLists(isUp: true))
        case 19: return (.lostRequests(percent: percent(10...60)), .lostRequests(percent: 0))
        case 20, 21: return (.lostReplies(percent: percent(10...60)), .lostReplies(percent: 0))
        case 22: return (.lateRequests(percent: percent(10...60)), .lateRequests(percent: 0))
        case 23: return (.refusals(percent: percent(10...60)), .refusals(percent: 0))
        case 24, 25: return (.lingering(percent: percent(10...60)), .lingering(percent: 0))
        case 26: return (.killSwitch(isEngaged: true), .killSwitch(isEngaged: false))
        case 27:
            return Bool.random(using: &random)
                ? (.killFile(isPresent: true), .killFile(isPresent: false))
                : (.killFileUnknown(true), .killFileUnknown(false))
        case 28: return (.tooMany(percent: percent(10...60)), .tooMany(percent: 0))
        case 29: return (.feed(shard, isUp: false), .feed(shard, isUp: true))
        default: return (.flushBus, nil)
        }
    }

    /// One trouble of a stretched seed, and what ends it.
    static func stretchedTrouble(using random: inout SeededGenerator) -> (PathFault, PathFault) {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: (.discoveryBus(isUp: false), .discoveryBus(isUp: true))
        case 1: (.pauseDiscovery, .resumeDiscovery)
        default:
            (
                .slowDatabase(milliseconds: Int.random(in: 20...1_500, using: &random)),
                .slowDatabase(milliseconds: 0)
            )
        }
    }

    mutating func calmPath() {
        guard path.isOn else { return }
        path.trouble = PathTrouble()
        watch.disturbed(at: now)
        strike(PathFault.database(isUp: true))
        strike(.killSwitch(isEngaged: false))
        for index in path.processors.indices {
            strike(.processorBus(index, isUp: true))
            strike(path.processors[index].process.isRunning ? .resumeProcessor(index) : .restartProcessor(index))
        }
        for index in path.executors.indices {
            strike(.executorBus(index, isUp: true))
            strike(path.executors[index].process.isRunning ? .resumeExecutor(index) : .restartExecutor(index))
        }
        strike(.discoveryBus(isUp: true))
        strike(path.discovery.process.isRunning ? .resumeDiscovery : .restartDiscovery)
        for shard in shards.indices { strike(.feed(shard, isUp: true)) }
    }
}

extension PathTrouble {
    fileprivate mutating func strike(_ fault: PathFault) {
        switch fault {
        case .diskFull(let isFull): isDiskFull = isFull
        case .lostAnswers(let percent): lostAnswers = percent
        case .slowDatabase(let milliseconds): slowness = milliseconds
        case .venue(let isUp): isVenueDown = !isUp
        case .venueLists(let isUp): isVenueListless = !isUp
        case .lostRequests(let percent): lostRequests = percent
        case .lostReplies(let percent): lostReplies = percent
        case .lateRequests(let percent): lateRequests = percent
        case .refusals(let percent): refusals = percent
        case .tooMany(let percent): tooMany = percent
        case .lingering(let percent): lingering = percent
        case .killFile(let isPresent): isKillFilePresent = isPresent
        case .killFileUnknown(let isUnknown): isKillFileUnknown = isUnknown
        default: break
        }
    }
}
