import AsyncHTTPClient
import Domain
import Foundation
import Recording
import Runtime
import Servers
import TestKit
import Testing
import Wire

/// Positions sold, kept and paid out by a real execution-service at a simulated venue (DOMAIN 2.6, CHECKLIST H29,
/// R94, H35).
@Suite struct ExitTests {
    private static let start = VenueInstant.epoch.advanced(by: .seconds(1_776_729_600))
    private static let game: GameID = "exits"

    /// Markets that are all bought at 50 cents, and what becomes of their price.
    private enum Fate: String, CaseIterable {
        case falls
        case rises
        case wins

        var market: MarketID { MarketID(stringLiteral: "KXEXITS-\(rawValue.uppercased())") }
        var bid: Int64 {
            switch self {
            case .falls: 40
            case .rises: 60
            // Too sure to be sold: it is held until its market is settled.
            case .wins: 92
            }
        }
    }

    /// Prices move a minute into the game, and a minute later one of the markets is settled.
    private static func recording() throws -> Recording {
        let game = try Game(
            id: game, sport: .nba, home: Team(name: "Home", abbreviation: "HOM"),
            away: Team(name: "Away", abbreviation: "AWY"), scheduledAt: start)
        let markets = try Fate.allCases.map { fate in
            let market = try Market(
                id: fate.market, venue: .kalshi, game: game.id, eventTicker: "KXEXITS", title: "Winner?", team: .home)
            return RecordedMarket(market: market, settlement: fate == .wins ? .one : nil)
        }
        let header = RecordingHeader(
            name: "exits", attribution: ["nobody: made for a test"], synthetic: ["everything"], game: game,
            start: start, markets: markets, depth: nil)
        let score = RecordedScore(period: 3, clockTenths: 3_000, home: 70, away: 60)
        let (moved, over) = (start.advanced(by: .seconds(60)), start.advanced(by: .seconds(120)))
        var entries = [RecordingEntry(at: start, fact: .status(.live, score))]
        for (at, bid) in [(start, { _ in 49 }), (moved, { $0.bid })] as [(VenueInstant, (Fate) -> Int64)] {
            for fate in Fate.allCases {
                let quote = RecordedQuote(
                    market: fate.market, bid: .cents(bid(fate)), ask: .cents(bid(fate) + 1), bidSize: .contracts(500),
                    askSize: .contracts(500))
                entries.append(RecordingEntry(at: at, fact: .quote(quote)))
            }
        }
        entries.append(RecordingEntry(at: over, fact: .status(.final, score)))
        entries.append(RecordingEntry(at: over, fact: .closed(Fate.wins.market)))
        entries.append(RecordingEntry(at: over, fact: .settled(Fate.wins.market)))
        return try Recording(header: header, entries: entries)
    }

    /// The venue as a process.
    private struct Venue {
        let url: String

        private struct Ports: Decodable { let http: Int }
        private struct Clock: Decodable {
            let venueTime: Int64

            enum CodingKeys: String, CodingKey { case venueTime = "venue_time" }
        }
        private struct Orders: Decodable {
            struct Order: Decodable { let action: String }

            let orders: [Order]
        }

        init(in suite: SmallSuite) async throws {
            let (path, ready) = ("\(suite.folder.path)/exits.recording", "\(suite.folder.path)/venue.json")
            try ExitTests.recording().text.write(toFile: path, atomically: true, encoding: .utf8)
            try suite.spawn(
                "venue-simulator", as: "venue-simulator",
                ["SIMULATOR_READY_FILE": ready, "SIMULATOR_RECORDING": path, "SIMULATOR_SPEED": "20"])
            try await eventually(within: .seconds(60), "the venue listens") {
                FileManager.default.fileExists(atPath: ready)
            }
            let data = FileManager.default.contents(atPath: ready) ?? Data()
            url = "http://127.0.0.1:\(try JSONDecoder().decode(Ports.self, from: data).http)"
        }

        private func ask(_ path: String, post: Bool = false) async throws -> Data {
            var request = HTTPClientRequest(url: url + path)
            if post { request.method = .POST }
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
            return Data(buffer: try await response.body.collect(upTo: 1 << 20))
        }

        func play() async throws { _ = try await ask("/control/start", post: true) }
        func now() async throws -> VenueInstant {
            try VenueInstant(
                microseconds: JSONDecoder().decode(Clock.self, from: await ask("/control/clock")).venueTime)
        }
        func orders() async throws -> Int {
            try JSONDecoder().decode(Orders.self, from: await ask("/trade-api/v2/portfolio/orders")).orders.count
        }
    }

    /// The books, by SQL.
    private struct Books {
        let postgres: PrivatePostgres

        func ask(_ sql: String) async throws -> String {
            try await postgres.run(sql: sql, database: "linesman").trimmingCharacters(in: .whitespacesAndNewlines)
        }

        /// An approved intent to buy ten of each market, as the signal-processor stores it.
        func approve() async throws {
            let life = ExitTests.start.microseconds + 3_600_000_000
            var script = """
                INSERT INTO games (game_id, sport, home_name, home_abbreviation, away_name, away_abbreviation,
                    scheduled_at, status) VALUES ('exits', 'nba', 'Home', 'HOM', 'Away', 'AWY', 0, 'live');

                """
            for fate in Fate.allCases {
                script += """
                    INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team,
                        price_step, status)
                    VALUES ('\(fate.market)', 'kalshi', 'exits', 'E', 'T', 'home', 'linear_cent', 'active');
                    INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome,
                        model_probability, price, edge_basis_points, venue_created_at, venue_expires_at, trace, verdict)
                    VALUES ('\(fate)', 'exits', '\(fate.market)', 'shard-01', 1, 'model_edge_yes', 'yes', 0.6, 5000,
                        1000, \(ExitTests.start.microseconds), \(life), '', 'approved');
                    INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount)
                    VALUES ('\(fate)', 'exits', '\(fate.market)', 'nba', 6000000);
                    INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome,
                        action, limit_price, quantity, venue_expires_at, expires_at, trace)
                    VALUES ('\(fate)', '\(fate)', '\(fate)', 'exits', '\(fate.market)', 1, 'yes', 'buy', 5000, 1000,
                        \(life), now() + interval '1 hour', '');

                    """
            }
            _ = try await ask(script)
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func `a loss is stopped, a profit taken and a winner paid out; the kill switch holds exits back and says so`()
        async throws
    {
        try await withOwnPostgres { postgres in
            try await withOwnRedis { redis in
                let database = postgres.url(database: "linesman")
                try await SmallSuite.with(redis: redis.url, database: database) { suite in
                    let venue = try await Venue(in: suite)
                    let books = Books(postgres: postgres)
                    let file = "\(suite.folder.path)/kill-switch"
                    try suite.spawn(
                        "execution-service", as: "execution-service",
                        [
                            "PAPER_VENUE_URL": venue.url, "KALSHI_BASE_URL": "\(venue.url)/trade-api/v2",
                            "REPLAY_SPEED": "20", "KILL_SWITCH_FILE": file, "MIN_HOLD_SECONDS": "0",
                            "EXIT_CHECK_INTERVAL_SECS": "0.1", "INTENT_SWEEP_MS": "100", "SETTLEMENT_POLL_MS": "200",
                        ])
                    try await eventually(within: .seconds(60), "the schema is there") {
                        (try? await books.ask("SELECT count(*) FROM outbox_dead_letters")) != nil
                    }
                    try await books.approve()
                    try await eventually(within: .seconds(60), "all are bought") {
                        try await books.ask("SELECT count(*) FROM positions WHERE net_quantity = 1000") == "3"
                    }

                    let environment = Executable.environment(
                        temporary: suite.folder.path,
                        ["DATABASE_URL": database, "REDIS_URL": redis.url, "KILL_SWITCH_FILE": file])
                    func killSwitch(_ arguments: String...) async throws -> String {
                        let (code, output) = try await ChildProcess.run(
                            Executable.path("linesman"), ["kill-switch"] + arguments, environment: environment,
                            timeout: .seconds(60))
                        #expect(code == .exited(0), "\(output)")
                        return output
                    }
                    let engaged = try await killSwitch("engage", "--reason", "a test", "--within", "20")
                    #expect(engaged.contains("3 positions are open, $15.00 at cost"), "\(engaged)")

                    let peer = try BusPeer(redis.url)
                    try await venue.play()
                    /// A shard's part: the prices that the venue shows now.
                    func tell() async throws {
                        let now = try await venue.now()
                        guard now >= Self.start.advanced(by: .seconds(60)) else { return }
                        for fate in Fate.allCases {
                            let price = PriceUpdate(
                                game: Self.game, market: fate.market,
                                yesBid: try BookLevel(price: .cents(fate.bid), quantity: .contracts(500)),
                                yesAsk: try BookLevel(price: .cents(fate.bid + 1), quantity: .contracts(500)), at: now)
                            _ = try await peer.bus.publish(price, on: Channels.price(Self.game), trace: nil)
                        }
                    }
                    func told(_ fate: Fate, _ state: String) -> Bool {
                        suite.world.heard.contains {
                            $0.fingerprint == "exitHeldBack:\(fate.market)" && $0.state == state
                        }
                    }
                    try await eventually(within: .seconds(60), "the exits that are held back are told of") {
                        try await tell()
                        return told(.falls, "firing") && told(.rises, "firing")
                    }
                    #expect(try await books.ask("SELECT count(*) FROM intents WHERE action = 'sell'") == "0")
                    _ = try await killSwitch("release", "--reason", "looked at", "--within", "20")
                    try await eventually(within: .seconds(60), "both are sold") {
                        try await tell()
                        return try await books.ask("SELECT count(*) FROM positions WHERE state = 'closed'") == "2"
                    }
                    try await eventually(within: .seconds(60), "the winner is paid out") {
                        try await books.ask("SELECT count(*) FROM positions WHERE state = 'settled'") == "1"
                    }
                    try await eventually(within: .seconds(30), "the alerts are over") {
                        told(.falls, "recovered") && told(.rises, "recovered")
                    }
                    await peer.stop()
                    try await check(books)
                    #expect(!told(.wins, "firing"))
                    #expect(try await venue.orders() == 5, "three purchases and two sales")
                }
            }
        }
    }

    @Test(.timeLimit(.minutes(5)))
    func `in shadow everything is decided and booked, and the venue sees no order, over a kill too`() async throws {
        try await withOwnPostgres { postgres in
            try await withOwnRedis { redis in
                let database = postgres.url(database: "linesman")
                try await SmallSuite.with(redis: redis.url, database: database) { suite in
                    let venue = try await Venue(in: suite)
                    let books = Books(postgres: postgres)
                    let settings = [
                        "PAPER_VENUE_URL": venue.url, "KALSHI_BASE_URL": "\(venue.url)/trade-api/v2",
                        "REPLAY_SPEED": "20", "SHADOW_TRADING": "true", "INTENT_SWEEP_MS": "100",
                    ]
                    try suite.spawn("execution-service", as: "execution-service", settings)
                    try await eventually(within: .seconds(60), "the schema is there") {
                        (try? await books.ask("SELECT count(*) FROM outbox_dead_letters")) != nil
                    }
                    try await books.approve()
                    func untilDecided() async throws {
                        try await eventually(within: .seconds(60), "all are decided") {
                            try await books.ask("SELECT count(*) FROM orders WHERE reason = 'shadow'") == "3"
                        }
                    }
                    try await untilDecided()
                    let process = try suite.process("execution-service")
                    process.signal(SIGKILL)
                    _ = await process.wait()
                    try suite.spawn("execution-service", as: "execution-service", settings)
                    try await eventually(within: .seconds(60), "the next life looks") {
                        suite.log("execution-service").contains("positions compared with the venue")
                    }
                    try await untilDecided()
                    let audited = "SELECT count(*) FROM audit_log WHERE event IN ('order_stored', 'order_expired')"
                    #expect(try await books.ask(audited) == "6")
                    #expect(try await books.ask("SELECT count(*) FROM positions") == "0")
                    #expect(try await books.ask("SELECT count(*) FROM reservations WHERE state = 'held'") == "0")
                    #expect(try await venue.orders() == 0)
                }
            }
        }
    }

    private func check(_ books: Books) async throws {
        let exits = try await books.ask(
            """
            SELECT market_id || ' ' || exit_reason || ' ' || state FROM intents WHERE exit_reason IS NOT NULL
                AND state = 'done' ORDER BY 1
            """)
        #expect(exits == "KXEXITS-FALLS stop_loss done\nKXEXITS-RISES take_profit done")
        let results = try await books.ask(
            "SELECT string_agg(market_id || ' ' || realised / 10000, ', ' ORDER BY market_id) FROM positions")
        // Ten contracts each: sold at 40 and 60 cents, paid out at a dollar.
        #expect(results == "KXEXITS-FALLS -100, KXEXITS-RISES 100, KXEXITS-WINS 500")
        let audited = try await books.ask(
            """
            SELECT string_agg(event || ' ' || n, ', ' ORDER BY event) FROM (SELECT event, count(*) AS n FROM audit_log
                WHERE event IN ('kill_switch_activated', 'kill_switch_deactivated', 'position_settled')
                GROUP BY event) AS events
            """)
        #expect(audited == "kill_switch_activated 1, kill_switch_deactivated 1, position_settled 1")
        let why = try await books.ask(
            "SELECT details->>'reason' FROM audit_log WHERE event = 'kill_switch_deactivated'")
        #expect(why == "looked at")
        let identity = try await books.ask(
            "SELECT cash - initial - realised + fees + (SELECT coalesce(sum(cost), 0) FROM positions) FROM bankroll")
        #expect(identity == "0")
    }
}
