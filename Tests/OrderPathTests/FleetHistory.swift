import Domain
import GameShardEngine
import Hosting
import Logging
import OrchestratorEngine
import Postgres
import Resilience
import Runtime
import Wire

@testable import GameShard
@testable import Orchestrator
@testable import Simulation

/// One random history of the fleet, carried out by production's stores on PostgreSQL and by the simulated one.
///
/// Orchestrators take the leadership from each other and write under terms that are theirs and that are not; shards
/// claim their names and read what is theirs. Time stands still, but a leadership may be made to have run out.
struct FleetHistory {
    private static let games: [GameID] = ["g0", "g1", "g2", "g3", "g4", "g5"]
    private static let shards: [ShardID] = ["shard-01", "shard-02", "shard-03"]
    /// Half of them play: what is over cannot be told anything new.
    private static let statuses: [GameStatus] = [
        .live, .live, .live, .live, .live, .live, .scheduled, .scheduled, .postponed, .postponed, .suspended,
        .suspended, .final, .cancelled,
    ]
    /// Longer than a history takes, so that the database's own time decides nothing.
    private static let patience = Duration.seconds(60)
    private static let settings = OrchestratorSettings(SettingsReader(environment: ["LEADERSHIP_TTL_SECS": "600"]))
    private static let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    /// One life of an orchestrator, with production's ways to the tables.
    private struct Candidate {
        let holder: SimulatedDatabase.Holder
        let leadership: Leadership
        let store: AssignmentStore
        let records: OrderRecords

        init(_ orchestrator: Int, life: Int, _ pool: PostgresPool) {
            let holder = SimulatedDatabase.Holder(orchestrator: orchestrator, life: life)
            let leadership = Leadership(
                database: pool, holder: FleetHistory.name(of: holder), settings: FleetHistory.settings)
            self.holder = holder
            self.leadership = leadership
            store = AssignmentStore(database: pool, leadership: leadership)
            records = OrderRecords(database: pool, leadership: leadership)
        }
    }

    let seed: UInt64
    private let rig: Rig
    private let candidates: [Candidate]
    private let now = MachineInstant.origin.advanced(by: .seconds(1_000))
    private var random: SeededGenerator
    private var database = SimulatedDatabase()
    /// What was done, in order.
    private(set) var steps: [String] = []

    /// A planted mistake makes the simulated tables others.
    init(seed: UInt64, rig: Rig, plant: FleetPlant? = nil) {
        self.seed = seed
        self.rig = rig
        random = SeededGenerator(seed: seed)
        database.plant = plant
        candidates = (0..<3).flatMap { orchestrator in
            (1...2).map { Candidate(orchestrator, life: $0, rig.pool) }
        }
    }

    /// Assignments that were stored.
    var moves: Int { database.moves }

    /// Where the two differ first, in words, and how their rows differ then; empty when they end equal.
    mutating func differences() async throws -> [String] {
        try await begin()
        var found: [String] = []
        for _ in 0..<roll(30...60) where found.isEmpty { found = try await step() }
        let (theirs, ours) = (try await stored(), simulated)
        found += theirs.subtracting(ours).sorted().map { "only in PostgreSQL: \($0)" }
        found += ours.subtracting(theirs).sorted().map { "only simulated: \($0)" }
        return found
    }

    private static func name(of holder: SimulatedDatabase.Holder) -> String {
        "orchestrator/\(holder.orchestrator)/life-\(holder.life)"
    }

    private mutating func roll(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

    private mutating func pick<Element>(of elements: [Element]) -> Element { elements[roll(0...elements.count - 1)] }

    private mutating func pickGames() -> [GameID] {
        let count = roll(1...3)
        return Array(Self.games.shuffled(using: &random).prefix(count))
    }

    /// Empty tables; what is never deleted in production, and a term that never falls, is here.
    private func begin() async throws {
        try await rig.pool.transaction("forget") { transaction in
            try await transaction.execute("SET LOCAL session_replication_role = replica")
            for table in [
                "assignment_log", "assignments", "market_mappings", "games", "shard_lives", "drained_shards",
                "audit_log",
            ] { try await transaction.execute(SQL(raw: "DELETE FROM \(table)")) }
            try await transaction.execute("UPDATE leadership SET term = 0, holder = '', expires_at = 'epoch'")
        }
    }

    // MARK: Steps

    private mutating func step() async throws -> [String] {
        // Without a leader nothing is stored: nobody waits for long.
        if now >= database.expires, roll(0...2) == 0 { return try await acquire() }
        switch roll(0...99) {
        case ..<12: return try await acquire()
        case ..<17: return try await renew()
        case ..<20: return try await offer()
        case ..<23: return try await endTerm()
        case ..<26: return try await lookForAnother()
        case ..<48: return try await commit()
        case ..<59: return try await release()
        case ..<67: return try await upsert()
        case ..<73: return try await keepMarkets()
        case ..<78: return try await want()
        case ..<82: return try await askOwners()
        case ..<87: return try await claim()
        case ..<94: return try await readGames()
        default: return try await answerOperator()
        }
    }

    private mutating func acquire() async throws -> [String] {
        let candidate = pick(of: candidates)
        let patience = roll(0...3) == 0 ? Self.patience : .zero
        let real = try await candidate.leadership.acquire(patience: patience, clock: .real)?.term
        let ours = database.acquire(candidate.holder, patience: patience, at: now)
        return note("\(Self.name(of: candidate.holder)) takes the leadership after \(patience)", real, ours)
    }

    private mutating func renew() async throws -> [String] {
        let (candidate, term) = writer()
        let real = try await candidate.leadership.renew(term, clock: .real)
        let ours = database.renew(term, candidate.holder, at: now)
        return note("\(Self.name(of: candidate.holder)) renews term \(term)", real, ours)
    }

    private mutating func offer() async throws -> [String] {
        let (candidate, term) = writer()
        await candidate.leadership.offer(term)
        database.offer(term, candidate.holder, at: now)
        steps.append("\(Self.name(of: candidate.holder)) offers term \(term)")
        return []
    }

    /// The leadership runs out: a while ago, which is less than the patience of some, or a long while ago.
    private mutating func endTerm() async throws -> [String] {
        let ago = pick(of: [30, 90])
        try await rig.pool.execute(
            "UPDATE leadership SET expires_at = clock_timestamp() - make_interval(secs => \(Double(ago)))")
        database.expires = now.advanced(by: .seconds(-ago))
        steps.append("the leadership ran out \(ago) s ago")
        return []
    }

    private mutating func lookForAnother() async throws -> [String] {
        let candidate = pick(of: candidates)
        let real = try await candidate.leadership.isAnothers()
        let ours = database.isAnothers(than: candidate.holder.orchestrator, at: now)
        return note("\(Self.name(of: candidate.holder)) looks for another", real, ours)
    }

    private mutating func commit() async throws -> [String] {
        let (candidate, term) = writer()
        var changes: [AssignmentChange] = []
        for game in pickGames() { changes.append(try change(of: game)) }
        let batch = changes
        let real = try await Self.outcome { _ = try await candidate.store.commit(batch, term: term) }
        let ours = database.commit(batch, by: candidate.holder, under: term, at: now)
        let list = batch.map { "\($0.game.id) \($0.status)->\($0.to.shard)/\($0.to.epoch)" }.joined(separator: ", ")
        return note("\(Self.name(of: candidate.holder)) commits \(list) under \(term)", Self.refusal(real), ours)
    }

    /// Mostly under the next epoch; else under the same or an older one, or far ahead.
    private mutating func change(of id: GameID) throws -> AssignmentChange {
        let last = database.rows[id]?.owner
        let number = last?.epoch.number ?? 0
        let next: Int64 =
            switch roll(0...9) {
            case 0, 1: number
            case 2: number - 1
            case 3: number + 3
            default: number + 1
            }
        var shard = pick(of: Self.shards)
        if let last, roll(0...2) == 0 { shard = last.shard }
        return AssignmentChange(
            game: try game(id), status: pick(of: Self.statuses), markets: try markets(of: id), from: last?.shard,
            to: Seat(shard: shard, epoch: try Epoch(max(1, next))), reason: .first)
    }

    private mutating func release() async throws -> [String] {
        let (candidate, term) = writer()
        let (id, status) = (pick(of: Self.games), pick(of: Self.statuses))
        let real = try await Self.outcome {
            try await candidate.store.release(id, status, nil, from: nil, term: term)?.epoch
        }
        let ours = database.release(id, status, by: candidate.holder, under: term, at: now)
        return note("\(Self.name(of: candidate.holder)) releases \(id) \(status) under \(term)", real, ours)
    }

    private mutating func upsert() async throws -> [String] {
        let (candidate, term) = writer()
        let (id, status) = (pick(of: Self.games), pick(of: Self.statuses))
        let game = try game(id)
        let real = try await Self.outcome { try await candidate.store.upsert(game, status, nil, term: term) }
        let ours = database.upsert(game, status, by: candidate.holder, under: term, at: now)
        return note("\(Self.name(of: candidate.holder)) stores \(id) \(status) under \(term)", Self.refusal(real), ours)
    }

    private mutating func keepMarkets() async throws -> [String] {
        let (candidate, term) = writer()
        let (id, status) = (pick(of: Self.games), pick(of: Self.statuses))
        let game = try game(id)
        let markets = try markets(of: id)
        let real = try await Self.outcome {
            try await candidate.store.keep(markets, of: game, status, term: term)
        }
        let ours = database.keep(markets, of: game, status, by: candidate.holder, under: term, at: now)
        return note(
            "\(Self.name(of: candidate.holder)) keeps \(id) \(status), \(markets.map(\.id)) under \(term)",
            Self.refusal(real), ours)
    }

    private mutating func want() async throws -> [String] {
        let real = try await pick(of: candidates).store.wanted()
        let found = note("what is wanted is read", real.games, database.desired)
        return found + note("who is drained is read", real.drained, database.drained)
    }

    private mutating func askOwners() async throws -> [String] {
        let (candidate, asked) = (pick(of: candidates), pickGames())
        let real = try await candidate.store.owners(of: asked)
        return note("the owners of \(asked) are read", real, database.owners(of: asked))
    }

    private mutating func claim() async throws -> [String] {
        let shard = pick(of: Self.shards)
        let life = anyLife(of: shard)
        try await store(of: shard, life).claim()
        database.claim(shard, life)
        steps.append("\(life) claims \(shard)")
        return []
    }

    /// Mostly by the life whose the name is.
    private mutating func readGames() async throws -> [String] {
        let shard = pick(of: Self.shards)
        var life = anyLife(of: shard)
        if let own = database.lives[shard], roll(0...3) > 0 { life = own }
        let store = store(of: shard, life)
        let assigned = try await store.assigned()
        var found = note("\(life) reads its games", assigned, database.assigned(to: shard, life))
        let epochs = try await store.epochs(timeout: .seconds(30))
        found += note("\(life) reads its epochs", epochs, database.epochs(of: shard, life))
        let successor = try await store.successor()
        let other = database.lives[shard].flatMap { $0 == life ? nil : $0 }
        return found + note("\(life) looks for its successor", successor, other)
    }

    private mutating func answerOperator() async throws -> [String] {
        let (candidate, term) = writer()
        let shard = pick(of: Self.shards)
        let order: OperatorOrder = roll(0...1) == 0 ? .drain(shard) : .undrain(shard)
        let answer: OperatorAnswer = pick(of: [
            .accepted(games: 1, withoutRoom: 0), .accepted(games: 0, withoutRoom: 0), .refused(.alreadyDrained),
            .refused(.notDrained), .refused(.unknownShard),
        ])
        let asked = ControlOrder(id: CommandID(stringLiteral: "c\(steps.count)"), order: order, by: "test")
        let real = try await Self.outcome { try await candidate.records.answered(asked, answer, term: term) }
        let ours = database.keep(order, answer, by: candidate.holder, under: term, at: now)
        return note(
            "\(Self.name(of: candidate.holder)) answers \(order) with \(answer) under \(term)", Self.refusal(real), ours
        )
    }

    // MARK: Parts of steps

    /// Mostly who leads, under the present term; else anybody, under any.
    private mutating func writer() -> (Candidate, Int64) {
        let anyTerm = Int64(roll(0...Int(database.term) + 1))
        let other = pick(of: candidates)
        let place = roll(0...9)
        let leader = candidates.first { $0.holder == database.leader }
        guard place > 1, let leader else { return (other, place == 0 ? anyTerm : database.term) }
        return (leader, place == 2 ? anyTerm : database.term)
    }

    /// Put off or brought forward, now and then.
    private mutating func game(_ id: GameID) throws -> Game {
        try Game(
            id: id, sport: .nba, home: Team(name: "Home", abbreviation: "HOM"),
            away: Team(name: "Away", abbreviation: "AWY"),
            scheduledAt: tipOff.advanced(by: .seconds(roll(0...2) * 3_600)))
    }

    /// Those that were found: none, one or both.
    private mutating func markets(of id: GameID) throws -> [Market] {
        let sides: [HomeAway] = pick(of: [[], [.home], [.away], [.away, .home]])
        return try sides.map {
            try Market(
                id: MarketID(stringLiteral: "\(id)-\($0.rawValue)"), venue: .kalshi, game: id, eventTicker: "E",
                title: "T", team: $0)
        }
    }

    private mutating func anyLife(of shard: ShardID) -> Incarnation {
        Incarnation(stringLiteral: "\(shard)-life-\(roll(1...2))")
    }

    private func store(of shard: ShardID, _ life: Incarnation) -> ShardStore {
        ShardStore(pool: rig.pool, shard: shard, incarnation: life, log: Self.quiet)
    }

    /// What became of a leader's transaction; whatever else goes wrong ends the history.
    private static func outcome<Value>(
        _ write: () async throws -> Value
    ) async throws -> Result<Value, SimulatedDatabase.Refusal> {
        do {
            return .success(try await write())
        } catch is Leadership.Lost {
            return .failure(.termLost)
        } catch let error as PostgresError where error.constraint == "assignments_epoch_grows" {
            return .failure(.epochTaken)
        }
    }

    private static func refusal<Value>(
        _ outcome: Result<Value, SimulatedDatabase.Refusal>
    ) -> SimulatedDatabase.Refusal? {
        if case .failure(let refusal) = outcome { refusal } else { nil }
    }

    private mutating func note<Answer: Equatable>(_ what: String, _ theirs: Answer, _ ours: Answer) -> [String] {
        steps.append(what)
        if theirs == ours { return [] }
        return ["step \(steps.count), \(what): PostgreSQL \(theirs), simulated \(ours)"]
    }

    // MARK: The end

    /// Every row of the fleet as a line, as PostgreSQL has them.
    private func stored() async throws -> Set<String> {
        let lines: [SQL] = [
            """
            SELECT concat_ws(' ', 'leadership', term, CASE WHEN holder = '' THEN '-' ELSE holder END,
                CASE WHEN expires_at > clock_timestamp() THEN 'runs' ELSE 'is over' END) AS line FROM leadership
            """,
            "SELECT concat_ws(' ', 'game', game_id, status, scheduled_at) AS line FROM games",
            "SELECT concat_ws(' ', 'market', market_id, game_id, status) AS line FROM market_mappings",
            "SELECT concat_ws(' ', 'assignment', game_id, coalesce(shard, '-'), epoch, state) AS line FROM assignments",
            "SELECT concat_ws(' ', 'moves', count(*)) AS line FROM assignment_log WHERE to_shard IS NOT NULL",
            "SELECT concat_ws(' ', 'life', shard, incarnation) AS line FROM shard_lives",
            "SELECT concat_ws(' ', 'drained', shard) AS line FROM drained_shards",
        ]
        var found: Set<String> = []
        for sql in lines { for row in try await rig.pool.query(sql) { found.insert(try row.text("line")) } }
        return found
    }

    /// The same, as the simulated tables have them.
    private var simulated: Set<String> {
        let holder = database.leader.map { Self.name(of: $0) } ?? "-"
        var found: Set<String> = [
            "leadership \(database.term) \(holder) \(now < database.expires ? "runs" : "is over")",
            "moves \(database.moves)",
        ]
        for (id, row) in database.rows {
            let listing = database.listings[id]
            found.insert("game \(id) \(row.status.rawValue) \(listing?.game.scheduledAt.microseconds ?? 0)")
            for market in listing?.sortedMarkets ?? [] { found.insert("market \(market.id) \(id) active") }
            if let owner = row.owner {
                let state = row.isReleased ? "released" : "assigned"
                found.insert("assignment \(id) \(owner.shard) \(owner.epoch) \(state)")
            }
        }
        for (shard, life) in database.lives { found.insert("life \(shard) \(life)") }
        for shard in database.drained { found.insert("drained \(shard)") }
        return found
    }
}
