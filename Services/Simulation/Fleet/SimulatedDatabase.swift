import Domain
import OrchestratorEngine
import Resilience

/// The tables that the fleet depends on, with the guards of the real ones.
struct SimulatedDatabase {
    struct Row {
        var status: GameStatus
        var seat: Seat?
        var epoch: Epoch?
        var isReleased = false
        /// Its markets are stored.
        var isMapped = false
    }

    /// The leadership row, by the database's clock.
    var term: Int64 = 0
    var holder = -1
    var expires = MachineInstant.origin
    static let leadershipLife = Duration.seconds(3)

    private(set) var rows: [GameID: Row] = [:]
    /// The games that there are, and the markets that belong to them.
    var catalogue: [GameID: (game: Game, markets: [Market])] = [:]
    /// The life of each shard that claimed its name last.
    var lives: [ShardID: Incarnation] = [:]
    /// The shards that operators want empty.
    var drained: Set<ShardID> = []
    /// The newest epoch under which each game was traded.
    private var traded: [GameID: Seat] = [:]
    private(set) var reservations = 0
    private(set) var refusedReservations = 0
    private(set) var moves = 0
    /// A mistake made on purpose: reservations do not ask who owns the game.
    var isUnfenced = false
    /// What must never happen, as it happened.
    private(set) var violations: [String] = []

    mutating func acquire(_ orchestrator: Int, patience: Duration, at now: MachineInstant) -> Int64? {
        guard now >= expires.advanced(by: patience) else { return nil }
        term += 1
        holder = orchestrator
        expires = now.advanced(by: Self.leadershipLife)
        return term
    }

    mutating func offer(_ term: Int64, _ orchestrator: Int, at now: MachineInstant) {
        if isLed(by: orchestrator, term, at: now) { expires = now }
    }

    mutating func renew(_ term: Int64, _ orchestrator: Int, at now: MachineInstant) -> Bool {
        guard self.term == term, holder == orchestrator else { return false }
        expires = now.advanced(by: Self.leadershipLife)
        return true
    }

    func isLed(by orchestrator: Int, _ term: Int64, at now: MachineInstant) -> Bool {
        self.term == term && holder == orchestrator && now < expires
    }

    mutating func upsert(_ game: GameID, _ status: GameStatus) {
        if let row = rows[game], row.status.isEnd { return }
        rows[game, default: Row(status: status)].status = status
    }

    mutating func keepMarkets(_ game: GameID, _ status: GameStatus) {
        upsert(game, status)
        rows[game]?.isMapped = true
    }

    mutating func release(_ game: GameID, _ status: GameStatus) {
        if !(rows[game]?.status.isEnd ?? false) { rows[game]?.status = status }
        rows[game]?.isReleased = true
        rows[game]?.seat = nil
    }

    /// Stores all or nothing, as the transaction does; false when a guard refuses.
    mutating func assign(_ changes: [AssignmentChange]) -> Bool {
        let isHigher = changes.allSatisfy { change in
            rows[change.game.id]?.epoch.map { change.to.epoch > $0 } ?? true
        }
        guard isHigher else { return false }
        for change in changes {
            upsert(change.game.id, change.status)
            rows[change.game.id]?.seat = change.to
            rows[change.game.id]?.epoch = change.to.epoch
            rows[change.game.id]?.isReleased = false
            rows[change.game.id]?.isMapped = true
            moves += 1
        }
        return true
    }

    var desired: [DesiredGame] {
        rows.sorted { $0.key < $1.key }
            .filter { !$0.value.status.isEnd && (!$0.value.isReleased || $0.value.status == .postponed) }
            .map { id, row in
                DesiredGame(
                    game: game(id), status: row.status,
                    markets: catalogue.isEmpty || row.isMapped ? markets(of: id) : [],
                    shard: row.isReleased ? nil : row.seat?.shard, epoch: row.epoch)
            }
    }

    func game(_ id: GameID) -> Game { catalogue[id]?.game ?? SimulatedGames.game(id) }
    func markets(of id: GameID) -> [Market] { catalogue[id]?.markets ?? [SimulatedGames.market(id)] }

    /// The games of one shard, as it reads them at start and while it has no lease.
    func epochs(of shard: ShardID) -> [GameID: Epoch] {
        rows.filter { $0.value.seat?.shard == shard && !$0.value.status.isEnd }.compactMapValues { $0.seat?.epoch }
    }

    /// What the signal-processor does within the reserving transaction: only the owner's epoch passes.
    mutating func reserve(_ game: GameID, _ seat: Seat) {
        guard isUnfenced || rows[game]?.seat == seat else { return refusedReservations += 1 }
        reservations += 1
        if let last = traded[game], last.epoch > seat.epoch || (last.epoch == seat.epoch && last.shard != seat.shard) {
            violations.append("\(game): \(seat) traded after \(last)")
        }
        traded[game] = seat
    }
}

/// The games of every simulation.
enum SimulatedGames {
    static let scheduledAt: VenueInstant = {
        guard let instant = try? VenueInstant(rfc3339: "2026-04-20T23:10:00Z") else { preconditionFailure("bad time") }
        return instant
    }()

    static func ids(_ count: Int) -> [GameID] { (0..<count).map { GameID(stringLiteral: "g\($0 / 10)\($0 % 10)") } }

    static func game(_ id: GameID) -> Game {
        guard let home = try? Team(name: "Cleveland Cavaliers", abbreviation: "CLE"),
            let away = try? Team(name: "Toronto Raptors", abbreviation: "TOR"),
            let game = try? Game(id: id, sport: .nba, home: home, away: away, scheduledAt: scheduledAt)
        else { preconditionFailure("bad game") }
        return game
    }

    static func market(_ id: GameID) -> Market {
        guard
            let market = try? Market(
                id: MarketID(stringLiteral: "KX-\(id)-CLE"), venue: .kalshi, game: id, eventTicker: "KX",
                title: "winner", team: .home)
        else { preconditionFailure("bad market") }
        return market
    }
}
