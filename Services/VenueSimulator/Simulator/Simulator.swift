import Domain
import Hummingbird
import Logging
import NIOConcurrencyHelpers
import NIOCore
import Recording
import Resilience
import Runtime

/// A venue and a score feed that play a recording: HTTP, WebSocket, and the playback that moves them.
final class Simulator: Sendable {
    let settings: SimulatorSettings
    let clock: MachineClock
    let wall: WallClock
    let log: Logger
    let state: NIOLockedValueBox<VenueState>
    private let ports = NIOLockedValueBox<(http: Int?, webSocket: Int?)>((nil, nil))

    /// Plays the recorded game alone when there are no `copies`.
    init(
        recording: Recording, copies: GameCopies? = nil, settings: SimulatorSettings, clock: MachineClock,
        wall: WallClock = .real, log: Logger
    ) {
        self.settings = settings
        self.clock = clock
        self.wall = wall
        self.log = log
        state = NIOLockedValueBox(
            VenueState(
                recording: recording, copies: copies ?? GameCopies(of: recording.header), settings: settings,
                wall: wall, at: clock.now))
    }

    /// The port of each server; nil until it listens.
    var httpPort: Int? { ports.withLockedValue { $0.http } }
    var webSocketPort: Int? { ports.withLockedValue { $0.webSocket } }

    /// Answers a request from the state of one instant, whose venue time goes with the answer.
    func answer(_ make: (inout VenueState) -> VenueReply) -> Response {
        let (reply, venueTime) = state.withLockedValue { state in (make(&state), state.venueTime) }
        return reply.response(at: venueTime)
    }

    /// Serves HTTP until cancelled.
    func serveHTTP() async throws {
        var quiet = log
        // The server calls its own cancellation an error; what matters is thrown.
        quiet.logLevel = .critical
        let application = Application(
            router: router(),
            configuration: ApplicationConfiguration(
                address: .hostname(settings.host, port: settings.httpPort), serverName: nil),
            onServerRunning: { [self] channel in
                ports.withLockedValue { $0.http = channel.localAddress?.port }
                announce()
            }, logger: quiet)
        try await application.run()
    }

    /// Serves WebSocket until cancelled.
    func serveWebSocket() async throws {
        let server = WebSocketServer(simulator: self)
        try await server.run { [self] port in
            ports.withLockedValue { $0.webSocket = port }
            announce()
        }
    }

    /// Plays the recording until cancelled; waits for the start command.
    func play() async throws {
        while true {
            let now = clock.now
            let wait = state.withLockedValue { $0.advance(at: now) }
            let pause: Duration
            switch wait {
            case .nothing: pause = .zero
            case .until(let instant): pause = min(now.duration(to: instant), .milliseconds(20))
            case .readers: pause = .milliseconds(2)
            case .command: pause = .milliseconds(20)
            }
            try await clock.sleep(for: pause)
        }
    }

    /// Pings every connection each 10 s of venue time, but not more often than every 20 ms, until cancelled.
    func ping() async throws {
        let interval = max(.milliseconds(20), Duration.seconds(10) / settings.speed)
        while true {
            try await clock.sleep(for: interval)
            state.withLockedValue { $0.pingAll() }
        }
    }

    private func router() -> Router<VenueRequestContext> {
        let router = Router(context: VenueRequestContext.self)
        router.add(middleware: FaultMiddleware(simulator: self))
        let venue = router.group("/trade-api/v2")
        MarketRoutes(simulator: self).add(to: venue)
        PortfolioRoutes(simulator: self).add(to: venue)
        ScoreRoutes(simulator: self).add(to: router)
        ControlRoutes(simulator: self).add(to: router.group("/control"))
        return router
    }

    /// Says where it listens, once both servers do.
    private func announce() {
        guard let http = httpPort, let webSocket = webSocketPort else { return }
        log.info("simulator listens", metadata: ["http": "\(http)", "ws": "\(webSocket)"])
        guard let path = settings.readyFile else { return }
        do { try ReadyFile.write(http: http, webSocket: webSocket, to: path) } catch {
            log.error("ready file not written", metadata: [Key.error: "\(error)", Key.path: "\(path)"])
        }
    }
}
