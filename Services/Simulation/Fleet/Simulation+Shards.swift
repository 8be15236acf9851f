import Domain
import GameShardEngine
import OrchestratorEngine
import Resilience

/// The shards' shells.
extension Simulation {
    func clock(of shard: Int) -> MachineInstant { clock(of: shards[shard].process) }

    /// First of all it claims its name; a process that cannot do so ends, and is started again.
    mutating func startShard(_ index: Int) {
        let process = shards[index].process
        guard process.hasDatabase, !path.trouble.isDiskFull else {
            agenda.plan(.shardStarts(index, life: process.life), at: now.advanced(by: .milliseconds(500)))
            return
        }
        database.claim(shards[index].id, shards[index].incarnation)
        shards[index].hasClaimed = true
        shards[index].nextBeat = now
        agenda.plan(.shardTimer(index, life: process.life), at: delay(0...100))
        ask(index, isReread: true)
    }

    mutating func restartShard(_ index: Int) {
        shards[index].process.life += 1
        shards[index].process.isRunning = true
        shards[index].process.isPaused = false
        shards[index].hasClaimed = false
        shards[index].inbox = []
        shards[index].journal = []
        shards[index].beat = 0
        shards[index].isIll = false
        shards[index].isStopping = false
        if path.isOn { path.feeds[index] = SimulatedFeed(isUp: path.feeds[index].isUp) }
        shards[index].engine = ShardEngine(
            shard: shards[index].id, incarnation: shards[index].incarnation,
            rules: SimulatedShard.rules(profile))
        startShard(index)
    }

    mutating func shardHappens(_ happening: Happening) {
        switch happening {
        case .shardStarts(let index, let life):
            guard isThere(index, life, happening) else { return }
            startShard(index)
        case .shardTimer(let index, let life):
            guard isThere(index, life, happening) else { return }
            tick(index)
            agenda.plan(.shardTimer(index, life: life), at: now.advanced(by: .milliseconds(100)))
        case .toShard(let index, let event, let life):
            guard isThere(index, life, happening) else { return }
            give(event, to: index)
        case .command(let index, let command):
            guard shards[index].process.hasBus, isThere(index, shards[index].process.life, happening) else { return }
            switch command.order {
            case .assign(let game, let markets, let pregame):
                let assigned = Assigned(
                    game: game, markets: markets, epoch: command.epoch, pregameHomeProbability: pregame)
                give(.assign(command.id, assigned), to: index)
            case .revoke where plant == .revokesIgnored: return
            case .revoke: give(.revoke(command.id, command.game, epoch: command.epoch), to: index)
            }
        default: break
        }
    }

    /// Whether this life still runs; what reaches a stopped process waits.
    private mutating func isThere(_ index: Int, _ life: Int, _ happening: Happening) -> Bool {
        guard shards[index].process.isRunning, shards[index].process.life == life else { return false }
        guard shards[index].process.isPaused else { return true }
        shards[index].inbox.append(happening)
        return false
    }

    private mutating func tick(_ index: Int) {
        give(.tick, to: index)
        if now >= shards[index].nextBeat {
            shards[index].nextBeat = now.advanced(by: .milliseconds(500))
            beat(index)
        }
        let standing = shards[index].engine.standing(at: clock(of: index))
        guard standing != .silent else { return }
        for (game, epoch) in shards[index].engine.watched {
            database.reserve(game, Seat(shard: shards[index].id, epoch: epoch))
        }
    }

    private mutating func beat(_ index: Int) {
        shards[index].beat += 1
        let shard = shards[index]
        give(.heartbeatSent(beat: shard.beat), to: index)
        guard shard.process.hasBus else { return }
        watch.shardsCause.lastSaid = now
        let isDegraded = shard.isIll || shard.engine.standing(at: clock(of: index)) != .leased && shard.beat > 4
        let status: ReportedStatus = shard.isStopping ? .stopping : isDegraded ? .degraded : .healthy
        tellOrchestrators(
            .heartbeat(
                ShardHeartbeat(
                    shard: shard.id, incarnation: shard.incarnation,
                    startedAt: Int64(shard.process.life) * 1_000 + clock(of: index).nanoseconds / 1_000_000_000_000,
                    beat: shard.beat, status: status, failedChecks: shard.isIll ? ["scores"] : [],
                    games: Dictionary(uniqueKeysWithValues: shard.engine.watched.map { ($0.game, $0.epoch) }),
                    capacity: capacity)))
    }

    mutating func give(_ event: ShardEvent, to index: Int) {
        guard shards[index].hasClaimed else { return }
        let effects = shards[index].engine.handle(
            event, at: path.isOn ? venueClock(of: shards[index].process) : SimulatedGames.scheduledAt,
            machine: clock(of: index))
        if history != nil, let told = Self.brief(event) {
            let id = shards[index].id
            record("\(id) \(told)")
        }
        for effect in effects {
            switch effect {
            case .acknowledge(let command, let game, _, let verdict):
                guard shards[index].process.hasBus else { continue }
                let answer: Acknowledgement.Verdict =
                    switch verdict {
                    case .accepted: .accepted
                    case .stale: .stale
                    case .atCapacity: .atCapacity
                    case .draining: .draining
                    case .malformed: .malformed
                    }
                tellOrchestrators(
                    .acknowledged(
                        Acknowledgement(command: command, shard: shards[index].id, game: game, verdict: answer)))
            case .askEpochs: ask(index, isReread: false)
            case .rereadAssignments: ask(index, isReread: true)
            default: carryOut(effect, of: index)
            }
        }
    }

    private static func brief(_ event: ShardEvent) -> String? {
        switch event {
        case .tick, .heartbeatSent, .state, .bookUpdated, .booksConfirmed: nil
        case .assign(let id, let assigned): "is assigned \(assigned.game.id)/\(assigned.epoch) by \(id)"
        case .reread(let list, _): "rereads \(list.map { "\($0.game.id)/\($0.epoch)" })"
        case .epochsAnswered(let epochs, _):
            "is told \(epochs.sorted { $0.key < $1.key }.map { "\($0.key)/\($0.value)" })"
        default: "gets \(event)"
        }
    }

    /// Asks PostgreSQL for its games; a reread is repeated until it is answered.
    mutating func ask(_ index: Int, isReread: Bool) {
        let asked = clock(of: index)
        let life = shards[index].process.life
        agenda.plan(.shardReads(index, life: life, asked: asked, isReread: isReread), at: databaseDelay(1...20))
    }

    mutating func read(_ index: Int, _ life: Int, _ asked: MachineInstant, _ isReread: Bool) {
        let shard = shards[index]
        guard shard.process.isRunning, shard.process.life == life, shard.hasClaimed else { return }
        guard shard.process.hasDatabase else {
            if isReread {
                agenda.plan(
                    .shardReads(
                        index, life: life, asked: asked.advanced(by: .milliseconds(500)), isReread: true),
                    at: now.advanced(by: .milliseconds(500)))
            }
            return
        }
        let answer: ShardEvent =
            isReread
            ? .reread(database.assigned(to: shard.id, shard.incarnation), asked: asked)
            : .epochsAnswered(database.epochs(of: shard.id, shard.incarnation), asked: asked)
        agenda.plan(.toShard(index, answer, life: life), at: databaseDelay(1...20))
    }
}
