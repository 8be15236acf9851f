import Domain
import GameShardEngine
import Hosting
import Logging
import Resilience
import Runtime
import Venues

/// Reads the scoreboard of each sport that has a game here: one request a sport and poll (CHECKLIST R70, R71).
actor ScorePoller {
    /// Bounds of the interval in a replay, whose clock waits for two reads of each step.
    private static let replayIntervals = Duration.milliseconds(10)...Duration.milliseconds(250)

    private let host: ServiceHost
    private let client: ScoreboardClient
    private let watcher: GameWatcher
    /// Nil but in a replay.
    private let steps: ReplaySteps?
    /// Machine time: the interval is venue time.
    private let interval: Duration
    private let breaker: CircuitBreaker
    private var breakers: [Sport: CircuitBreaker] = [:]
    private var lastRead: [Sport: MachineInstant] = [:]
    private var polled: Set<Sport> = []
    /// The newest step of a replay that was worked off.
    private var handled: [Sport: VenueInstant] = [:]

    init(
        _ settings: GameShardSettings, _ client: ScoreboardClient, _ watcher: GameWatcher, steps: ReplaySteps?,
        _ host: ServiceHost
    ) {
        self.host = host
        self.steps = steps
        self.client = client
        self.watcher = watcher
        interval =
            host.settings.isReplay
            ? Self.replayInterval(settings.pollInterval / host.settings.replaySpeed) : settings.pollInterval
        breaker = CircuitBreaker(
            failureThreshold: settings.scoreFailures, cooldown: settings.scoreCooldown, successThreshold: 2)
    }

    private static func replayInterval(_ wanted: Duration) -> Duration {
        min(max(wanted, replayIntervals.lowerBound), replayIntervals.upperBound)
    }

    /// Polls one sport until cancelled, at a fixed rate; does nothing while there is no game of it.
    func run(_ sport: Sport) async throws {
        var due = host.clock.now
        while !Task.isCancelled {
            let games = await watcher.polled(sport)
            if games.isEmpty {
                polled.remove(sport)
            } else {
                if polled.insert(sport).inserted { lastRead[sport] = host.clock.now }
                if permits(sport) { await poll(sport, games) }
            }
            due = max(host.clock.now, due.advanced(by: interval))
            try await host.clock.sleep(until: due)
        }
    }

    /// - Throws: when a sport that is polled was not read for too long.
    func check(within limit: Duration) throws {
        for sport in polled.sorted(by: { $0.rawValue < $1.rawValue }) {
            let age = lastRead[sport].map { host.clock.now.since($0) }
            if age.map({ $0 > limit }) ?? true { throw ScoresAway(sport: sport) }
        }
    }

    private func permits(_ sport: Sport) -> Bool {
        breakers[sport, default: breaker].permits(at: host.clock.now)
    }

    private func poll(_ sport: Sport, _ games: Set<GameID>) async {
        do {
            let board = try await client.scoreboard(sport, handled: handled[sport])
            breakers[sport, default: breaker].succeed(at: host.clock.now)
            lastRead[sport] = host.clock.now
            count("scores", "read")
            for error in board.errors { count("scores", error.code.rawValue) }
            try await hand(board.games.map(\.state).filter { games.contains($0.game) }, board.observedAt, sport)
        } catch {
            if error is CancellationError { return }
            breakers[sport, default: breaker].fail(at: host.clock.now)
            let code = (error as? VenueError)?.code.rawValue ?? "other"
            count("scores", code)
            host.log.debug("scores not read", metadata: [Key.code: "\(code)", Key.reason: "\(error)"])
        }
    }

    private func hand(_ states: [GameState], _ step: VenueInstant, _ sport: Sport) async throws {
        guard let steps else { return await watcher.handle(states.map { .state($0) }) }
        if let last = handled[sport], step <= last { return }
        try await steps.workOff(states, at: step) { await stayAlive(sport) }
        handled[sport] = step
    }

    /// Shows the replay that this reader is not gone.
    private func stayAlive(_ sport: Sport) async {
        guard (try? await client.scoreboard(sport, handled: handled[sport])) != nil else { return }  // said next time
        lastRead[sport] = host.clock.now
    }

    private func count(_ family: String, _ value: String) {
        host.context.metrics
            .counter("shard_\(family)_total", "Scoreboards by result.", labels: ["result": value]).increment()
    }
}

struct ScoresAway: Error, CustomStringConvertible {
    let sport: Sport

    var description: String { "the scores of \(sport.rawValue) were not read" }
}
