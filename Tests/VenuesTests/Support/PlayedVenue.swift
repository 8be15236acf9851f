import Domain
import Logging
import Recording
import Runtime
import TestKit

@testable import VenueSimulator
@testable import Venues

/// The simulator on free ports, and our clients connected to it: two encodings of one wire, written apart.
struct PlayedVenue: Sendable {
    static let home: MarketID = "KXNBAGAME-26APR20TORCLE-CLE"
    static let away: MarketID = "KXNBAGAME-26APR20TORCLE-TOR"

    let simulator: Simulator
    let http: VenueHTTP
    let rest: KalshiREST
    let scores: ScoreboardClient
    let webSocketURL: String
    let shown: ShownTime

    private static let header = """
        linesman-recording\t1
        name\tvenues
        attribution\tmade for a test
        synthetic\tall of it
        game\t401869369\tnba\t2026-04-20T23:00:00.000000Z\tCLE\tCleveland Cavaliers\tTOR\tToronto Raptors
        start\t2026-04-20T23:10:00.000000Z
        market\t\(home)\tkalshi\tKXNBAGAME-26APR20TORCLE\thome\tlinear_cent\t1.0000\tA vs B Winner?
        market\t\(away)\tkalshi\tKXNBAGAME-26APR20TORCLE\taway\tlinear_cent\t0.0000\tA vs B Winner?
        depth\t3\t40\t10
        """

    /// Quotes of the home market in cents, one each 10 s; then the end.
    static func recording(quotes: [Int]) throws -> Recording {
        var facts = ["0\tstatus\tscheduled\t0\t0.0\t0\t0"]
        var at = 0
        for (index, cents) in quotes.enumerated() {
            let bid = cents < 10 ? "0.0\(cents)00" : "0.\(cents)00"
            let ask = cents + 1 < 10 ? "0.0\(cents + 1)00" : "0.\(cents + 1)00"
            facts.append("\(at)\tquote\t0\t\(bid)\t\(ask)")
            facts.append("\(at)\tquote\t1\t0.2000\t0.2\(index % 9 + 1)00")
            if index == 0 { facts.append("1000000\tstatus\tlive\t1\t720.0\t0\t0") }
            at += 10_000_000
        }
        facts.append("\(at)\tstatus\tfinal\t4\t0.0\t5\t3")
        for kind in ["closed", "settled"] {
            at += 10_000_000
            facts += ["\(at)\t\(kind)\t0", "\(at)\t\(kind)\t1"]
        }
        return try Recording(text: header + "\nfacts\t\(facts.count)\n" + facts.joined(separator: "\n") + "\n")
    }

    static func with(
        quotes: [Int] = [60, 61, 62], speed: Int = 1, _ body: @escaping @Sendable (PlayedVenue) async throws -> Void
    ) async throws {
        let settings = SimulatorSettings(
            SettingsReader(environment: ["SIMULATOR_SPEED": "\(speed)", "SIMULATOR_SETTLE_MS": "5"]))
        let simulator = Simulator(
            recording: try recording(quotes: quotes), settings: settings, clock: .real, log: Fixture.log)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await simulator.serveHTTP() }
            group.addTask { try await simulator.serveWebSocket() }
            group.addTask { try await simulator.play() }
            group.addTask { try await simulator.ping() }
            defer { group.cancelAll() }
            try await eventually(within: .seconds(60), "the ports") {
                simulator.httpPort != nil && simulator.webSocketPort != nil
            }
            let shown = ShownTime()
            let http = Fixture.http(time: shown.time)
            let origin = "http://127.0.0.1:\(simulator.httpPort ?? 0)"
            try await body(
                PlayedVenue(
                    simulator: simulator, http: http,
                    rest: KalshiREST(
                        baseURL: origin + "/trade-api/v2", http: http, signer: nil, time: shown.time, clock: .real,
                        random: .seeded(1)),
                    scores: ScoreboardClient(
                        baseURL: origin + "/apis/site/v2/sports", http: http, time: shown.time),
                    webSocketURL: "ws://127.0.0.1:\(simulator.webSocketPort ?? 0)/trade-api/ws/v2", shown: shown))
            await http.shutdown()
        }
    }

    func start() async throws {
        _ = try await http.send("POST", "http://127.0.0.1:\(simulator.httpPort ?? 0)/control/start")
    }

    func untilFinished() async throws {
        try await eventually(within: .seconds(60), "the end") {
            simulator.state.withLockedValue { $0.isFinished }
        }
    }
}
