import Domain
import GameShardEngine
import OrchestratorEngine
import Resilience

/// The tables that the fleet depends on, and what production's stores do with them: each transaction at one instant.
struct SimulatedDatabase {
    /// Whom a leadership row names: one life of an orchestrator.
    struct Holder: Hashable {
        let orchestrator: Int
        let life: Int
    }

    /// Why a leader's transaction stores nothing.
    enum Refusal: Error, Hashable {
        /// The term is another's, of another life, or has run out.
        case termLost
        /// An epoch would go back, or have two owners.
        case epochTaken
    }

    struct Row {
        var status: GameStatus
        /// Who was given the game last; it stays when the game is released, for its epoch must survive.
        var owner: Seat?
        var isReleased = false

        /// Nil while nobody owns it.
        var seat: Seat? { isReleased ? nil : owner }
        /// The highest that was ever used.
        var epoch: Epoch? { owner?.epoch }
    }

    /// What is stored of a game beside where it stands.
    struct Listing {
        var game: Game
        var markets: [MarketID: Market] = [:]

        var sortedMarkets: [Market] { markets.values.sorted { $0.id < $1.id } }
    }

    /// The leadership row, by the database's clock.
    private(set) var term: Int64 = 0
    private(set) var leader: Holder?
    var expires = MachineInstant.origin
    static let leadershipLife = Duration.seconds(3)

    private(set) var rows: [GameID: Row] = [:]
    private(set) var listings: [GameID: Listing] = [:]
    /// The games that there are, and the markets that belong to them.
    var catalogue: [GameID: (game: Game, markets: [Market])] = [:]
    /// The life of each shard that claimed its name last.
    private(set) var lives: [ShardID: Incarnation] = [:]
    /// The shards that operators want empty.
    private(set) var drained: Set<ShardID> = []
    /// The newest epoch under which each game was traded.
    private var traded: [GameID: Seat] = [:]
    private(set) var reservations = 0
    private(set) var refusedReservations = 0
    private(set) var moves = 0
    /// A mistake made on purpose: reservations do not ask who owns the game.
    var isUnfenced = false
    /// A mistake made on purpose, to see that the real tables show it.
    var plant: FleetPlant?
    /// What must never happen, as it happened.
    private(set) var violations: [String] = []

    func game(_ id: GameID) -> Game { catalogue[id]?.game ?? SimulatedGames.game(id) }
    func markets(of id: GameID) -> [Market] { catalogue[id]?.markets ?? [SimulatedGames.market(id)] }

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

// MARK: - The leadership

extension SimulatedDatabase {
    /// Which orchestrator the row names; -1 before anybody led.
    var holder: Int { leader?.orchestrator ?? -1 }

    /// Takes the row when nobody has held it for `patience`.
    mutating func acquire(_ holder: Holder, patience: Duration, at now: MachineInstant) -> Int64? {
        guard now >= expires.advanced(by: patience) else { return nil }
        term += 1
        leader = holder
        expires = now.advanced(by: Self.leadershipLife)
        return term
    }

    /// From now on others may take the row; also when it had run out already.
    mutating func offer(_ term: Int64, _ holder: Holder, at now: MachineInstant) {
        if names(holder, term) { expires = now }
    }

    /// Keeps the row, also one that has run out, while nobody else took it.
    mutating func renew(_ term: Int64, _ holder: Holder, at now: MachineInstant) -> Bool {
        guard names(holder, term) else { return false }
        expires = now.advanced(by: Self.leadershipLife)
        return true
    }

    func isLed(by holder: Holder, _ term: Int64, at now: MachineInstant) -> Bool {
        names(holder, term) && now < expires
    }

    /// Whether another orchestrator leads now; an earlier life of the same one is no other.
    func isAnothers(than orchestrator: Int, at now: MachineInstant) -> Bool {
        guard let leader, now < expires else { return false }
        return leader.orchestrator != orchestrator
    }

    private func names(_ holder: Holder, _ term: Int64) -> Bool { self.term == term && leader == holder }

    /// What every transaction of a leader asks first.
    private func permits(_ holder: Holder, _ term: Int64, at now: MachineInstant) -> Bool {
        plant == .termUnread || isLed(by: holder, term, at: now)
    }
}

// MARK: - What a leader stores

extension SimulatedDatabase {
    @discardableResult
    mutating func upsert(
        _ game: Game, _ status: GameStatus, by holder: Holder, under term: Int64, at now: MachineInstant
    ) -> Refusal? {
        guard permits(holder, term, at: now) else { return .termLost }
        put(game, status)
        return nil
    }

    @discardableResult
    mutating func keep(
        _ markets: [Market], of game: Game, _ status: GameStatus, by holder: Holder, under term: Int64,
        at now: MachineInstant
    ) -> Refusal? {
        guard permits(holder, term, at: now) else { return .termLost }
        put(game, status)
        map(markets)
        return nil
    }

    /// Stores all of the batch or nothing.
    mutating func commit(
        _ changes: [AssignmentChange], by holder: Holder, under term: Int64, at now: MachineInstant
    ) -> Refusal? {
        guard permits(holder, term, at: now) else { return .termLost }
        let isGuarded = plant != .epochUnread
        if isGuarded, !changes.allSatisfy({ mayOwn($0.to, $0.game.id) }) { return .epochTaken }
        for change in changes {
            put(change.game, change.status)
            map(change.markets)
            rows[change.game.id]?.owner = change.to
            rows[change.game.id]?.isReleased = false
            moves += 1
        }
        return nil
    }

    /// Nobody owns the game any more, and its epoch stays.
    ///
    /// - Returns: the epoch under which somebody owned it until now; nil when nobody did.
    mutating func release(
        _ game: GameID, _ status: GameStatus, by holder: Holder, under term: Int64, at now: MachineInstant
    ) -> Result<Epoch?, Refusal> {
        guard permits(holder, term, at: now) else { return .failure(.termLost) }
        guard var row = rows[game] else { return .success(nil) }
        let epoch = row.seat?.epoch
        if !row.status.isEnd { row.status = status }
        switch plant {
        case .releaseForgotten: break
        case .ownerForgotten: row.owner = nil
        default: row.isReleased = row.owner != nil
        }
        rows[game] = row
        return .success(epoch)
    }

    /// Keeps what became of an operator's order: a drain that holds, or is over.
    mutating func keep(
        _ order: OperatorOrder, _ answer: OperatorAnswer, by holder: Holder, under term: Int64, at now: MachineInstant
    ) -> Refusal? {
        guard permits(holder, term, at: now) else { return .termLost }
        switch (order, answer) {
        case (.drain(let shard), .accepted), (.drain(let shard), .refused(.alreadyDrained)): drained.insert(shard)
        case (.undrain(let shard), .accepted), (.undrain(let shard), .refused(.notDrained)): drained.remove(shard)
        default: break
        }
        return nil
    }

    /// A game that is over stays so.
    private mutating func put(_ game: Game, _ status: GameStatus) {
        if let row = rows[game.id], row.status.isEnd { return }
        rows[game.id, default: Row(status: status)].status = status
        listings[game.id, default: Listing(game: game)].game = game
    }

    private mutating func map(_ markets: [Market]) {
        for market in markets where listings[market.game]?.markets[market.id] == nil {
            listings[market.game]?.markets[market.id] = market
        }
    }

    /// An epoch never goes back, and belongs to one shard.
    private func mayOwn(_ seat: Seat, _ game: GameID) -> Bool {
        guard let last = rows[game]?.owner else { return true }
        return seat.epoch > last.epoch || seat == last
    }
}

// MARK: - What is read

extension SimulatedDatabase {
    /// What a leader goes by: every game that is not over and not given up.
    var desired: [DesiredGame] {
        rows.sorted { $0.key < $1.key }.filter { Self.isWanted($0.value) }.compactMap { id, row in
            listings[id].map {
                DesiredGame(
                    game: $0.game, status: row.status, markets: $0.sortedMarkets, shard: row.seat?.shard,
                    epoch: row.epoch)
            }
        }
    }

    /// What is put off keeps its epoch; what is only scheduled and never had an owner is not wanted yet.
    private static func isWanted(_ row: Row) -> Bool {
        if row.status.isEnd { return false }
        if row.owner == nil { return row.status != .scheduled }
        return !row.isReleased || row.status == .postponed || row.status == .suspended
    }

    /// Who was given the games last, also those that nobody owns any more.
    func owners(of games: [GameID]) -> [GameID: Seat] {
        games.reduce(into: [:]) { owners, id in owners[id] = rows[id]?.owner }
    }

    /// The games of the shard's name are this life's, until the next one claims.
    mutating func claim(_ shard: ShardID, _ life: Incarnation) { lives[shard] = life }

    /// Under which epochs the shard owns its games, those that are over included; none once another life has claimed.
    func epochs(of shard: ShardID, _ life: Incarnation) -> [GameID: Epoch] {
        guard plant == .lifeUnread || lives[shard] == life else { return [:] }
        return rows.filter { $0.value.seat?.shard == shard }.compactMapValues { $0.seat?.epoch }
    }

    /// What the shard is to watch: its games that are not over.
    func assigned(to shard: ShardID, _ life: Incarnation) -> [Assigned] {
        epochs(of: shard, life).sorted { $0.key < $1.key }.compactMap { id, epoch in
            guard let listing = listings[id], rows[id]?.status.isEnd == false else { return nil }
            return Assigned(game: listing.game, markets: listing.sortedMarkets, epoch: epoch)
        }
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
