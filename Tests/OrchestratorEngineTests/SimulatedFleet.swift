import Domain
import Resilience

@testable import OrchestratorEngine

/// Shards, a database and lossy links around one engine, on a virtual clock and from one seed.
struct SimulatedFleet {
    struct SimulatedShard {
        let id: ShardID
        var isRunning = true
        var isStopping = false
        var isIll = false
        /// Nothing from or to it arrives.
        var isCutOff = false
        var life = 1
        var beat: Int64 = 0
        var capacity: Int
        var games: [GameID: Epoch] = [:]
        /// The newest epoch it ever accepted, per game, in this life.
        var newest: [GameID: Epoch] = [:]
        /// The newest epoch that it let go or refused, per game, in this life.
        var ended: [GameID: Epoch] = [:]
        var nextBeat = MachineInstant.origin
        var sentAt: [Int64: MachineInstant] = [:]
        var lease = Lease(length: .seconds(2))

        mutating func end(_ game: GameID, _ epoch: Epoch) { ended[game] = max(epoch, ended[game] ?? epoch) }
    }

    struct Row {
        var status: GameStatus
        var seat: Seat?
        var epoch: Epoch?
        var isReleased = false
    }

    enum Packet {
        case toOrchestrator(Event)
        case command(Command)
        case grant(ShardID, Incarnation, beat: Int64)
    }

    var engine: OrchestratorEngine
    var now = MachineInstant.origin
    var random: SeededGenerator
    var shards: [ShardID: SimulatedShard] = [:]
    var rows: [GameID: Row] = [:]
    var term: Int64 = 1
    var inFlight: [(at: MachineInstant, order: Int, packet: Packet)] = []
    var packets = 0
    /// When the last answer of the record lane arrives; the next comes after it.
    private var lastAnswer = MachineInstant.origin
    /// 0 to 100.
    var lossPercent = 0
    var failPercent = 0
    var isBusUp = true
    var scoreboard: [GameID: GameStatus] = [:]
    var nextLook = MachineInstant.origin
    /// What must never happen, as it happened.
    var violations: [String] = []
    private var commanded: [String: ShardID] = [:]
    var moves = 0

    init(seed: UInt64, shardCount: Int, gameCount: Int, capacity: Int) {
        random = SeededGenerator(seed: seed)
        engine = OrchestratorEngine()
        for index in 0..<shardCount {
            let id = ShardID(stringLiteral: "s\(index)")
            shards[id] = SimulatedShard(id: id, capacity: capacity)
        }
        for game in Fleet.games(gameCount) { scoreboard[game.id] = .live }
        deliver(.rehydrated([], term: term))
    }

    func roll(_ percent: Int, _ random: inout SeededGenerator) -> Bool {
        Int.random(in: 0..<100, using: &random) < percent
    }

    mutating func fly(_ packet: Packet) {
        if !isBusUp || roll(lossPercent, &random) { return }
        packets += 1
        let delay = Duration.milliseconds(Int.random(in: 1...(lossPercent > 0 ? 300 : 20), using: &random))
        inFlight.append((now.advanced(by: delay), packets, packet))
    }

    /// The record lane does one thing after another, so its answers keep their order.
    private mutating func answer(_ event: Event) {
        packets += 1
        let soonest = now.advanced(by: .milliseconds(Int.random(in: 1...20, using: &random)))
        lastAnswer = max(lastAnswer, soonest)
        inFlight.append((lastAnswer, packets, .toOrchestrator(event)))
    }

    /// One step of 50 ms.
    mutating func step() {
        now = now.advanced(by: .milliseconds(50))
        for id in shards.keys.sorted() { beatIfDue(id) }
        let due = inFlight.filter { $0.at <= now }.sorted { ($0.at, $0.order) < ($1.at, $1.order) }
        inFlight.removeAll { $0.at <= now }
        for item in due { arrive(item.packet) }
        if now >= nextLook {
            nextLook = now.advanced(by: .seconds(2))
            let shown = scoreboard.map { ScoreboardGame(game: Fleet.game($0.key), status: $0.value) }
            deliver(.scoreboard(shown, at: Fleet.venueNow))
        }
        if now.nanoseconds % 100_000_000 == 0 { deliver(.tick) }
    }

    mutating func run(_ duration: Duration) {
        let end = now.advanced(by: duration)
        while now < end { step() }
    }

    // MARK: Shards

    private mutating func beatIfDue(_ id: ShardID) {
        guard var shard = shards[id], shard.isRunning, now >= shard.nextBeat else { return }
        shard.beat += 1
        shard.nextBeat = now.advanced(by: .milliseconds(500))
        shard.sentAt[shard.beat] = now
        shards[id] = shard
        if shard.isCutOff { return }
        let status: ReportedStatus = shard.isStopping ? .stopping : shard.isIll ? .degraded : .healthy
        fly(
            .toOrchestrator(
                .heartbeat(
                    ShardHeartbeat(
                        shard: id, incarnation: life(shard), startedAt: Int64(shard.life), beat: shard.beat,
                        status: status, games: shard.games, capacity: shard.capacity))))
    }

    private func life(_ shard: SimulatedShard) -> Incarnation { Incarnation(stringLiteral: "life-\(shard.life)") }

    private mutating func arrive(_ packet: Packet) {
        switch packet {
        case .toOrchestrator(let event): deliver(event)
        case .grant(let id, let incarnation, let beat):
            guard let shard = shards[id], shard.isRunning, !shard.isCutOff, life(shard) == incarnation else { return }
            if let sent = shard.sentAt[beat] { shards[id]?.lease.granted(sentAt: sent) }
        case .command(let command): obey(command)
        }
    }

    private mutating func obey(_ command: Command) {
        guard var shard = shards[command.shard], shard.isRunning, !shard.isCutOff else { return }
        var verdict = Acknowledgement.Verdict.accepted
        let newest = shard.newest[command.game]
        switch command.order {
        case .assign:
            let isOver = shard.ended[command.game].map { command.epoch <= $0 } ?? false
            if isOver || newest.map({ command.epoch < $0 }) ?? false {
                verdict = .stale
            } else if shard.isStopping || (shard.games[command.game] == nil && shard.games.count >= shard.capacity) {
                verdict = shard.isStopping ? .draining : .atCapacity
            } else {
                shard.games[command.game] = command.epoch
                shard.newest[command.game] = command.epoch
            }
            if verdict != .accepted { shard.end(command.game, command.epoch) }
        case .revoke:
            if let held = shard.games[command.game], held <= command.epoch { shard.games[command.game] = nil }
            shard.end(command.game, command.epoch)
        }
        shards[command.shard] = shard
        fly(
            .toOrchestrator(
                .acknowledged(
                    Acknowledgement(command: command.id, shard: command.shard, game: command.game, verdict: verdict))))
    }

    // MARK: The orchestrator's shell and its database

    mutating func deliver(_ event: Event) {
        for effect in engine.handle(event, at: now) { carryOut(effect) }
    }

    private mutating func carryOut(_ effect: Effect) {
        switch effect {
        case .commitAssignments(let batch, let changes, let term): commit(batch, changes, term)
        case .sendCommand(let command):
            check(command)
            fly(.command(command))
        case .grant(let shard, let incarnation, let beat, _): fly(.grant(shard, incarnation, beat: beat))
        case .requestMarkets(let game, _):
            fly(.toOrchestrator(.discovered(game.id, [Fleet.market(game)], reason: nil)))
        case .upsertGame(let game, let status, _): rows[game.id, default: Row(status: status)].status = status
        case .keepMarkets: break
        case .releaseGame(let game, let status, _, _, let term):
            guard term == self.term, !roll(failPercent, &random) else {
                return answer(.releaseFailed(game))
            }
            rows[game]?.status = status
            rows[game]?.isReleased = true
            answer(.released(game))
        case .readDesiredState: answer(.rehydrated(desired, term: term))
        case .raiseAlert, .recoverAlert, .handOverAlert, .notify, .report, .answerOperator: break
        }
    }

    var desired: [DesiredGame] {
        rows.filter { !$0.value.isReleased && !$0.value.status.isEnd }.map { id, row in
            DesiredGame(
                game: Fleet.game(id), status: row.status, markets: [Fleet.market(Fleet.game(id))],
                shard: row.seat?.shard, epoch: row.epoch)
        }
    }

    /// The guards of the real tables: the term is ours, and an epoch only grows.
    private mutating func commit(_ batch: Int, _ changes: [AssignmentChange], _ term: Int64) {
        let stored = rows.compactMapValues(\.seat)
        let isLost = roll(failPercent, &random)
        let isUnknown = isLost && roll(50, &random)
        guard term == self.term, !isLost || isUnknown else {
            return answer(.commitFailed(batch: batch, stored: stored))
        }
        for change in changes {
            let id = change.game.id
            if let epoch = rows[id]?.epoch, change.to.epoch <= epoch {
                violations.append("\(id): epoch \(change.to.epoch) stored after \(epoch)")
            }
            if let owner = rows[id]?.seat, owner.shard != change.to.shard, let old = shards[owner.shard],
                old.isRunning, old.games[id] == owner.epoch, old.lease.isHeld(at: now)
            {
                violations.append(
                    "\(now): \(id): given to \(change.to.shard), \(change.reason), while \(owner.shard) holds a lease")
            }
            moves += 1
            rows[id, default: Row(status: .live)].seat = change.to
            rows[id]?.epoch = change.to.epoch
        }
        // An unknown outcome cannot say what is stored.
        answer(isUnknown ? .commitFailed(batch: batch, stored: nil) : .committed(batch: batch, pregame: [:]))
    }

    private mutating func check(_ command: Command) {
        guard command.isAssignment else { return }
        let key = "\(command.game)/\(command.epoch)"
        if let other = commanded[key], other != command.shard {
            violations.append("\(key): commanded to \(other) and to \(command.shard)")
        }
        commanded[key] = command.shard
        guard let row = rows[command.game], let epoch = row.epoch else {
            return violations.append("\(key): commanded and never stored")
        }
        if command.epoch > epoch || (command.epoch == epoch && row.seat?.shard != command.shard) {
            let stored = "\(epoch) on \(row.seat?.shard.rawValue ?? "nobody")"
            violations.append("\(key): commanded to \(command.shard), stored is \(stored)")
        }
    }

    /// The orchestrator is gone; another takes over with what the database knows.
    mutating func replaceOrchestrator() {
        term += 1
        engine = OrchestratorEngine()
        inFlight.removeAll {
            switch $0.packet {
            case .toOrchestrator(.committed), .toOrchestrator(.commitFailed), .toOrchestrator(.released),
                .toOrchestrator(.releaseFailed), .toOrchestrator(.rehydrated):
                true
            default: false
            }
        }
        deliver(.rehydrated(desired, term: term))
    }

    mutating func setBus(isUp: Bool) {
        isBusUp = isUp
        deliver(.bus(isUp: isUp))
    }

    mutating func restart(_ id: ShardID) {
        guard var shard = shards[id] else { return }
        shard.life += 1
        shard.beat = 0
        shard.games = [:]
        shard.newest = [:]
        shard.ended = [:]
        shard.sentAt = [:]
        shard.lease = Lease(length: .seconds(2))
        shard.isRunning = true
        shard.isStopping = false
        shard.isIll = false
        shard.isCutOff = false
        shard.nextBeat = now
        shards[id] = shard
    }

    /// Who watches each game under the stored epoch.
    func owner(of game: GameID) -> ShardID? {
        guard let seat = rows[game]?.seat, let shard = shards[seat.shard], shard.isRunning, !shard.isCutOff,
            shard.games[game] == seat.epoch
        else { return nil }
        return seat.shard
    }
}
