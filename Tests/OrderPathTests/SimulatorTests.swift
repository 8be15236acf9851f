import Domain
import Logging
import Recording
import Resilience
import Runtime
import Testing

@testable import VenueSimulator

/// A simulator in this process, and what the order path needs to trade there.
enum SimulatedVenue {
    static let market: MarketID = "KXNBAGAME-26APR20TORCLE-CLE"

    private static let text = """
        linesman-recording\t1
        name\tshort
        attribution\tmade for a test
        synthetic\tall of it
        game\t401869369\tnba\t2026-04-20T23:00:00.000000Z\tCLE\tCleveland Cavaliers\tTOR\tToronto Raptors
        start\t2026-04-20T23:10:00.000000Z
        market\tKXNBAGAME-26APR20TORCLE-CLE\tkalshi\tKXNBAGAME-26APR20TORCLE\thome\tlinear_cent\t1.0000\tWinner?
        depth\t3\t40\t10
        facts\t5
        0\tstatus\tlive\t1\t720.0\t0\t0
        0\tquote\t0\t0.4900\t0.5000
        600000000\tstatus\tfinal\t4\t0.0\t5\t3
        601000000\tclosed\t0
        602000000\tsettled\t0

        """

    /// Runs a simulator that stands at its beginning until it is told to go on.
    static func run(
        _ body: @escaping @Sendable (Simulator, String) async throws -> Void
    ) async throws {
        var log = Logger(label: "simulator")
        log.logLevel = .critical
        let settings = SimulatorSettings(SettingsReader(environment: ["SIMULATOR_SPEED": "1000"]))
        let simulator = Simulator(
            recording: try Recording(text: text), settings: settings, clock: .real, log: log)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await simulator.serveHTTP() }
            group.addTask { try await simulator.play() }
            defer { group.cancelAll() }
            try await eventually("the simulator listens") { simulator.httpPort != nil }
            try await body(simulator, "http://127.0.0.1:\(simulator.httpPort ?? 0)")
        }
    }

    /// An order path whose execution-service reaches such a simulator over its own gateway.
    static func withPath(
        _ body: @escaping @Sendable (Simulator, OrderPath, [String: String]) async throws -> Void
    ) async throws {
        try await run { simulator, url in
            try await withOrderPath { path in
                try await addMarket(to: path)
                try await body(simulator, path, ["PAPER_VENUE_URL": url])
            }
        }
    }

    /// Both services, and the signal that they trade on.
    static func trade(_ path: OrderPath, _ settings: [String: String]) async throws {
        path.startSignalProcessor()
        path.startRealExecution(settings)
        try await path.publish(try signal())
    }

    private static func addMarket(to path: OrderPath) async throws {
        try await path.rig.pool.execute(
            """
            INSERT INTO market_mappings (market_id, venue, game_id, event_ticker, title, outcome_team, price_step,
                status)
            VALUES (\(market.rawValue), 'kalshi', 'game-1', 'E', 'T', 'home', 'linear_cent', 'active')
            """)
    }

    static func signal() throws -> Signal {
        let now = try VenueInstant(rfc3339: "2026-04-20T23:10:00Z")
        return try Signal(
            id: "s1", kind: .modelEdgeYes, game: "game-1", sport: .nba, market: market, venue: .kalshi,
            epoch: .first, shard: "shard-01", outcome: .yes, probability: Probability(0.6), price: .cents(50),
            available: .contracts(1_000), edgeBasisPoints: 1_800, play: nil, createdAt: now,
            expiresAt: now.advanced(by: .seconds(60)))
    }
}

/// The whole order path over real HTTP, in today's shape of the venue's interface.
struct SimulatorTests {
    @Test func `an order to the simulator trades, and its market settles`() async throws {
        try await SimulatedVenue.withPath { simulator, path, settings in
            try await SimulatedVenue.trade(path, settings)
            try await eventually("a position") {
                try await path.rig.number("SELECT count(*) AS n FROM positions WHERE net_quantity > 0") == 1
            }
            try await path.rig.expectBooksToBalance()
            _ = simulator.state.withLockedValue { $0.start(at: MachineClock.real.now) }
            try await eventually("settled") {
                try await path.rig.text("SELECT state AS t FROM positions") == "settled"
            }
            #expect(
                try await path.rig.number(
                    "SELECT settlement_price AS n FROM market_mappings WHERE status = 'settled'") == 10_000)
            #expect(try await path.rig.number("SELECT realised AS n FROM bankroll") > 0)
        }
    }

    @Test func `an order whose acknowledgement the simulator loses is found, and traded once`() async throws {
        try await SimulatedVenue.withPath { simulator, path, settings in
            _ = simulator.state.withLockedValue { state in
                state.faults.arm(FaultOrder(kind: .lostAcknowledgement), at: .epoch)
            }
            try await SimulatedVenue.trade(path, settings)
            try await eventually("it was unknown, and is found") {
                try await path.rig.number(
                    """
                    SELECT count(*) AS n FROM orders o JOIN audit_log a USING (order_id)
                    WHERE a.event = 'order_unknown' AND o.filled > 0 AND o.closed_at IS NOT NULL
                    """) == 1
            }
            #expect(try await path.rig.number("SELECT count(*) AS n FROM orders") == 1)
        }
    }
}
