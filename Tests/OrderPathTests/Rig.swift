import Bus
import Domain
import ExecutionServiceEngine
import Faults
import Hosting
import Logging
import NIOConcurrencyHelpers
import Postgres
import Redis
import Resilience
import Runtime
import Servers
import Testing
import Wire

@testable import ExecutionService
@testable import SignalProcessor

let tipOff = VenueInstant.epoch.advanced(by: .seconds(1_776_729_600))
private let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// The servers of this test process; each rig has its own database and its own Redis.
private actor TestServers {
    static let shared = TestServers()
    private var cluster: Task<PrivatePostgres, any Error>?
    private var number = 0

    /// Its address over the Unix socket, and over TCP.
    func database() async throws -> (socket: String, tcp: String) {
        // Awaited by every rig.
        let starting = cluster ?? Task { try await Self.start() }
        cluster = starting
        number += 1
        let name = "path_\(number)"
        let server = try await starting.value
        try await server.createDatabase(name, from: "migrated")
        return (server.socketURL(database: name), server.url(database: name))
    }

    /// A server with one database that has the schema, of which the others are copies.
    private static func start() async throws -> PrivatePostgres {
        let server = try await PrivatePostgres.start(in: TemporaryDirectory().kept(), maxConnections: 1_000)
        try await server.createDatabase("migrated")
        var settings = try PostgresSettings(url: server.socketURL(database: "migrated"))
        settings.minConnections = 0
        let pool = Rig.pool(settings)
        try await Migrations.run(pool)
        await pool.close(grace: .milliseconds(100))
        return server
    }
}

private let keptDirectories = NIOLockedValueBox<[TemporaryDirectory]>([])

extension TemporaryDirectory {
    /// Lives as long as the process: what is in it is removed at the exit of the servers.
    fileprivate func kept() -> String {
        keptDirectories.withLockedValue { $0.append(self) }
        return path
    }
}

struct NeverCame: Error, CustomStringConvertible {
    let description: String
}

/// Waits until the condition holds, at most three minutes: others may have most of the machine.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = MachineClock.real.now.advanced(by: .seconds(180))
    while try await !condition() {
        guard MachineClock.real.now < deadline else { throw NeverCame(description: "never: \(what)") }
        try await MachineClock.real.sleep(for: .milliseconds(10))
    }
}

/// A database with a schema, a pool on it, and games that can be traded.
struct Rig: Sendable {
    let url: String
    /// The same over TCP, for whoever stands in between.
    let tcp: String
    let pool: PostgresPool
    let account = TradingAccount(.paper)
    let statistics = DailyStatistics(timeZone: "America/New_York")

    init() async throws {
        (url, tcp) = try await TestServers.shared.database()
        var settings = try PostgresSettings(url: url)
        settings.minConnections = 0
        pool = Self.pool(settings)
        try await account.open(with: .dollars(1_000), pool)
    }

    /// On a database that was made elsewhere, without an account.
    init(url: String, tcp: String) throws {
        self.url = url
        self.tcp = tcp
        var settings = try PostgresSettings(url: url)
        settings.minConnections = 0
        pool = Self.pool(settings)
    }

    static func pool(_ settings: PostgresSettings) -> PostgresPool {
        var settings = settings
        // A hundred calls at once wait for each other's locks on a machine of any speed, and this process may itself be
        // held up for seconds.
        settings.acquireTimeout = .seconds(120)
        settings.transactionTimeout = .seconds(120)
        settings.queryTimeout = .seconds(60)
        settings.lockTimeout = .seconds(60)
        settings.statementTimeout = .seconds(60)
        return PostgresPool(
            settings: settings, application: "test", clock: .real, random: .seeded(1), log: quiet,
            metrics: MetricsRegistry())
    }

    /// Another process' connections to the same database; closed by whoever asked.
    func anotherPool() throws -> PostgresPool {
        var settings = try PostgresSettings(url: url)
        settings.minConnections = 0
        settings.maxConnections = 8
        return Self.pool(settings)
    }

    /// The way to the same database over a proxy that can lose it.
    func behindProxy() async throws -> (proxy: FaultProxy, url: String) {
        let colon = try #require(tcp.lastIndex(of: ":"))
        let (head, tail) = (tcp[..<colon], tcp[tcp.index(after: colon)...])
        let proxy = try await FaultProxy.start(to: try #require(Int(tail.prefix { $0 != "/" })))
        return (proxy, "\(head):\(proxy.port)\(tail.drop { $0 != "/" })")
    }

    func addGame(_ game: GameID = "game-1", sport: Sport = .nba, epoch: Int64 = 1) async throws {
        try await pool.execute(
            """
            INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                scheduled_at, status)
            VALUES (\(game.rawValue), \(sport.rawValue), 'Home', 'HOM', 'Away', 'AWY', 0, 'live')
            """)
        try await pool.execute(
            """
            INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team, price_step,
                status)
            VALUES (\(home(game).rawValue), 'kalshi', \(game.rawValue), 'E', 'T', 'home', 'linear_cent', 'active')
            """)
        try await pool.execute(
            """
            INSERT INTO assignments (game_id, shard, epoch, state)
            VALUES (\(game.rawValue), 'shard-01', \(epoch), 'assigned')
            """)
    }

    func home(_ game: GameID) -> MarketID { MarketID(stringLiteral: "\(game)-HOME") }

    func signal(
        _ id: SignalID, game: GameID = "game-1", sport: Sport = .nba, probability: Double = 0.6, cents: Int64 = 50,
        epoch: Epoch = .first, market: String? = nil
    ) throws -> Signal {
        try Signal(
            id: id, kind: .modelEdgeYes, game: game, sport: sport,
            market: market.map { try MarketID($0) } ?? home(game), venue: .kalshi, epoch: epoch, shard: "shard-01",
            outcome: .yes, probability: Probability(probability), price: .cents(cents),
            available: .contracts(1_000), edgeBasisPoints: 1_800, play: nil, createdAt: tipOff,
            expiresAt: tipOff.advanced(by: .seconds(60)))
    }

    /// The price of a game's home market, in cents of YES.
    func price(of game: GameID, bid: Int64, ask: Int64, at: VenueInstant) throws -> PriceUpdate {
        PriceUpdate(
            game: game, market: home(game), yesBid: try BookLevel(price: .cents(bid), quantity: .contracts(100)),
            yesAsk: try BookLevel(price: .cents(ask), quantity: .contracts(100)), at: at)
    }

    /// An approved intent to sell some of what the first intent bought.
    @discardableResult
    func addExit(_ id: IntentID, contracts: Int64) async throws -> IntentID {
        try await pool.execute(
            """
            INSERT INTO signals SELECT (jsonb_populate_record(NULL::signals,
                to_jsonb(s) || jsonb_build_object('signal_id', \(id.rawValue)::text))).*
            FROM signals s WHERE game_id = 'game-1' ORDER BY received_at LIMIT 1
            """)
        try await pool.execute(
            """
            INSERT INTO intents (intent_id, signal_id, game_id, market_id, epoch, outcome, action, limit_price,
                quantity, venue_expires_at, expires_at, trace)
            SELECT \(id.rawValue), \(id.rawValue), game_id, market_id, epoch, outcome, 'sell', limit_price,
                \(contracts * 100), venue_expires_at, expires_at, trace
            FROM intents WHERE game_id = 'game-1' AND action = 'buy' ORDER BY created_at LIMIT 1
            """)
        return id
    }

    /// Writes what the triggers of the schema would refuse.
    func force(_ sql: SQL) async throws {
        _ = try await pool.transaction("force") { transaction in
            try await transaction.execute("SET LOCAL session_replication_role = replica")
            return try await transaction.execute(sql)
        }
    }

    func number(_ sql: SQL) async throws -> Int64 { try await pool.first(sql)?.int64("n") ?? 0 }
    func text(_ sql: SQL) async throws -> String? { try await pool.first(sql)?.textOrNil("t") }

    /// What must hold of the books at every instant (DESIGN rules 6 and 7).
    func expectBooksToBalance(_ location: SourceLocation = #_sourceLocation) async throws {
        let identity = try await number(
            """
            SELECT cash - initial - realised + fees
                + (SELECT coalesce(sum(cost), 0) FROM positions)::int8 AS n FROM bankroll
            """)
        #expect(identity == 0, "cash is initial + realised - fees - open cost", sourceLocation: location)
        let stray = try await number(
            """
            SELECT count(*) AS n FROM positions p WHERE p.state <> 'settled' AND p.net_quantity <>
                (SELECT coalesce(sum(CASE WHEN (outcome = 'yes') = (action = 'buy') THEN quantity ELSE -quantity END),
                    0) FROM fills f WHERE f.market_id = p.market_id AND f.standing <> 'reversed')
            """)
        #expect(stray == 0, "positions are the sum of their fills", sourceLocation: location)
        let held = try await number(
            """
            SELECT count(*) AS n FROM reservations r JOIN intents i USING (reservation_id)
                LEFT JOIN plans p USING (plan_id)
            WHERE CASE WHEN p.plan_id IS NULL THEN (r.state = 'held') <> (i.state IN ('approved', 'sending'))
                ELSE r.state = 'held' AND p.state = 'finished' OR r.state <> 'held' AND p.finished_at IS NULL END
            """)
        #expect(held == 0, "a reservation is held as long as its intent or plan lives", sourceLocation: location)
        let doubled = try await number(
            """
            SELECT count(*) AS n FROM (SELECT intent_id FROM orders
                WHERE coalesce(reason, '') <> 'not_accepted' AND purpose IS NULL
                GROUP BY intent_id HAVING count(*) > 1) AS doubled
            """)
        #expect(doubled == 0, "one order per intent that may have reached the venue", sourceLocation: location)
    }
}

extension OrderStore {
    func waitingIntents() async throws -> [IntentID] { try await waiting().map(\.intent) }
}

extension Rig {
    /// An approved intent to buy a game's home market, with its reservation; below zero contracts of NO.
    @discardableResult
    func approve(
        _ contracts: Int64 = 96, at cents: Int64 = 50, in game: GameID = "game-1", name: String = "s1"
    ) async throws -> IntentID {
        let outcome: Outcome = contracts > 0 ? .yes : .no
        let market = home(game).rawValue
        try await pool.execute(
            """
            INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability, price,
                edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
            VALUES (\(name), \(game.rawValue), \(market), 'shard-01', 1, 'model_edge_yes', \(outcome.rawValue), 0.6,
                \(cents * 100), 1000, \(tipOff.microseconds), \(tipOff.microseconds + 60_000_000), '', 'approved')
            """)
        try await pool.execute(
            """
            INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount)
            VALUES (\(name), \(game.rawValue), \(market), 'nba', 60000000)
            """)
        try await pool.execute(
            """
            INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
                limit_price, quantity, venue_expires_at, expires_at, trace)
            VALUES (\(name), \(name), \(name), \(game.rawValue), \(market), 1, \(outcome.rawValue), 'buy',
                \(cents * 100), \(Quantity.contracts(abs(contracts)).hundredths),
                \(tipOff.microseconds + 60_000_000), now() + interval '1 minute', '')
            """)
        return try IntentID(name)
    }

    /// The same, sent to a venue that fills it.
    func buy(
        _ contracts: Int64, at cents: Int64, _ store: OrderStore, name: String = "s1"
    ) async throws {
        let claim = try await store.claim(
            approve(contracts, at: cents, name: name), engine: ExecutionServiceEngine(safeguards: Safeguards()),
            seen: .clear, at: tipOff)
        let order = try #require(claim.claimed).order
        _ = try await store.book(order.request.id, .sent, at: tipOff)
        _ = try await store.book(
            order.request.id, await FakeVenue().submit(order.request, deadline: .origin), at: tipOff)
    }
}
