import Domain
import GameShardEngine
import OrchestratorEngine
import Resilience

/// Looks at the whole from outside: who watches what, and for how long that has been wrong.
///
/// It looks after every step that may change who owns a game, and four times a second: time alone may end a lease.
struct Watch {
    /// How long a game may have no owner while somebody leads, a shard has room, and its own shard is not struck.
    ///
    /// The worst is a shard and the leader dying together: 3 s until another leads, 2.5 s in which it judges nobody,
    /// 2 s of lease, and 5 s of grace for what a shard does not take up.
    static let unownedBound = Duration.seconds(15)
    /// Three heartbeats, half a second each, one to notice, and the way of the revoke.
    static let zombieBound = Duration.milliseconds(2_500)

    var lastDisturbance = MachineInstant.origin
    var ledSince: MachineInstant?
    /// As above under one term: who has just begun to lead must look around first.
    var term: (number: Int64, since: MachineInstant)?
    /// Since when a leader has heard and a well shard has had room, with every message and statement on its way.
    var ableSince: MachineInstant?
    /// When each shard was broken, or mended, last: a game that is its own may need a new owner since.
    var struck: [Int: MachineInstant] = [:]
    var shardsCause = CauseWatch()
    var discoveryCause = CauseWatch()
    var roomCause = CauseWatch()
    /// How often somebody looked while `unownedBound` could have been missed and things still broke.
    var judged = 0
    var unownedSince: [GameID: MachineInstant] = [:]
    var zombieSince: [GameID: [Int: MachineInstant]] = [:]
    var longestUnowned = Duration.zero
    var longestZombie = Duration.zero

    mutating func disturbed(at now: MachineInstant) { lastDisturbance = now }
}

extension Simulation {
    mutating func check() {
        let isAble = isLed && hasRoom && !isImpeded
        watch.ableSince = isAble ? (watch.ableSince ?? now) : nil
        if let able = watch.ableSince, now.since(able) > Watch.unownedBound, isBroken { watch.judged += 1 }
        watchOwners()
        log.add(Int64(shards.reduce(0) { $0 * 31 + $1.engine.watchedCount }))
    }

    /// Every game has one owner, and nobody else takes himself for it, but for as long as `Watch` allows.
    mutating func watchOwners() {
        if isImpeded {
            watch.disturbed(at: now)
            watch.ableSince = nil
        }
        watch.ledSince = isLed ? (watch.ledSince ?? now) : nil
        if !isLed {
            watch.term = nil
        } else if watch.term?.number != database.term {
            watch.term = (database.term, now)
        }
        for (game, status) in scoreboard.sorted(by: { $0.key < $1.key }) {
            if status == .live, owner(of: game) == nil {
                checkUnowned(game)
            } else {
                watch.unownedSince[game] = nil
            }
            for index in shards.indices { checkZombie(game, on: index) }
        }
    }

    /// What is broken counts only where it concerns the game: its own shard, or whoever would give it to another.
    private mutating func checkUnowned(_ game: GameID) {
        let begin = watch.unownedSince[game] ?? now
        watch.unownedSince[game] = begin
        // Nobody trades a game of which no market is known.
        guard database.listings[game]?.markets.isEmpty == false, let able = watch.ableSince else { return }
        let own = database.rows[game]?.seat.flatMap { seat in shards.firstIndex { $0.id == seat.shard } }
        let since = max(begin, able, own.flatMap { watch.struck[$0] } ?? begin)
        watch.longestUnowned = max(watch.longestUnowned, now.since(since))
        guard now.since(since) > Watch.unownedBound else { return }
        violations.append("\(now.nanoseconds / 1_000_000) ms: \(game) is watched by nobody")
        watch.unownedSince[game] = now
    }

    private mutating func checkZombie(_ game: GameID, on index: Int) {
        let held = shards[index].engine.epoch(of: game)
        let isOwned = held.map { database.rows[game]?.seat == Seat(shard: shards[index].id, epoch: $0) } ?? true
        guard !isOwned, shards[index].process.isAble else {
            watch.zombieSince[game]?[index] = nil
            return
        }
        let known = watch.zombieSince[game]?[index]
        let since = max(known ?? now, watch.lastDisturbance)
        watch.zombieSince[game, default: [:]][index] = known ?? now
        // Without a leader that hears nobody can say so.
        guard let led = watch.ledSince else { return }
        let length = now.since(max(since, led))
        watch.longestZombie = max(watch.longestZombie, length)
        if length > Watch.zombieBound {
            violations.append("\(now.nanoseconds / 1_000_000) ms: \(game) is a zombie on \(shards[index].id)")
            watch.zombieSince[game]?[index] = now
        }
    }

    /// The shard that watches the game under the stored epoch and may speak.
    func owner(of game: GameID) -> Int? {
        guard let seat = database.rows[game]?.seat, let index = shards.firstIndex(where: { $0.id == seat.shard }),
            shards[index].process.isAble, shards[index].engine.epoch(of: game) == seat.epoch,
            shards[index].engine.standing(at: clock(of: index)) != .silent
        else { return nil }
        return index
    }

    /// Whether something is in the way of what they all say, ask and store.
    var isImpeded: Bool {
        lossPercent > 0 || failPercent > 0 || !isBusUp || path.trouble.slowness > 0 || path.trouble.isDiskFull
    }

    /// Whether a process of the fleet is away, stands still, or is cut off.
    private var isBroken: Bool {
        (shards.map(\.process) + orchestrators.map(\.process)).contains { !$0.isAble || !$0.hasBus || !$0.hasDatabase }
            || shards.contains(where: \.isIll)
    }

    /// Whether somebody could lead and hear, and has a well shard for one more game; a standby knows them too.
    var hasRoom: Bool {
        let able = orchestrators.filter(\.process.isAble)
        guard let judge = able.first(where: { $0.told == database.term }) ?? able.first else { return false }
        let rows = judge.engine.snapshot(at: clock(ofOrchestrator: judge.index)).shards
        return rows.contains { $0.status == "healthy" && $0.free > 0 && $0.breaker == "closed" && !$0.isDrained }
    }

    /// Whether somebody leads and hears.
    private var isLed: Bool {
        orchestrators.contains {
            $0.told == database.term && $0.engine.isLeading && $0.process.isAble && $0.hears && now < database.expires
        }
    }

    /// At the moment in which games get new owners: the old ones must not hold a lease for them any more.
    mutating func watchHandOver(_ changes: [AssignmentChange]) {
        for change in changes {
            guard let seat = database.rows[change.game.id]?.seat, seat.shard != change.to.shard,
                let index = shards.firstIndex(where: { $0.id == seat.shard }), shards[index].process.isRunning,
                shards[index].engine.epoch(of: change.game.id) == seat.epoch,
                shards[index].engine.standing(at: clock(of: index)) == .leased
            else { continue }
            violations.append(
                "\(now.nanoseconds / 1_000_000) ms: \(change.game.id) given to \(change.to.shard) (\(change.reason)) "
                    + "while \(seat.shard) holds a lease")
        }
    }
}
