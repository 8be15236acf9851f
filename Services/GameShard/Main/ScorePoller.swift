import Domain
import GameShardEngine
import Hosting
import Logging
import Resilience
import Runtime
import Venues

/// Reads the scoreboard of each sport that has a game here: one request a sport and poll (CHECKLIST R70, R71).
actor ScorePoller {
    /// How long a replayed moment's scores wait for its frames, so that every run sees the same order.
    private static let settle = Duration.milliseconds(30)
    private static let shortest = Duration.milliseconds(10)
    /// How long a replay waits after a signal before it reads on: its clock waits for this reader, so what follows from
    /// the signal happens near its venue time at any speed.
    private static let pause = Duration.milliseconds(200)

    private let host: ServiceHost
    private let client: ScoreboardClient
    private let watcher: GameWatcher
    /// Machine time: the interval is venue time.
    private let interval: Duration
    private let breaker: CircuitBreaker
    private var breakers: [Sport: CircuitBreaker] = [:]
    private var lastRead: [Sport: MachineInstant] = [:]
    private var lastBoard: [Sport: [GameState]] = [:]
    private var polled: Set<Sport> = []
    private var signalled = 0

    init(_ settings: GameShardSettings, _ client: ScoreboardClient, _ watcher: GameWatcher, _ host: ServiceHost) {
        self.host = host
        self.client = client
        self.watcher = watcher
        interval =
            host.settings.isReplay
            ? max(Self.shortest, settings.pollInterval / host.settings.replaySpeed) : settings.pollInterval
        breaker = CircuitBreaker(
            failureThreshold: settings.scoreFailures, cooldown: settings.scoreCooldown, successThreshold: 2)
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
                try await pauseAfterSignal()
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

    private func pauseAfterSignal() async throws {
        guard host.settings.isReplay else { return }
        let now = await watcher.signalled
        if now != signalled { try await host.clock.sleep(for: Self.pause) }
        signalled = now
    }

    private func permits(_ sport: Sport) -> Bool {
        breakers[sport, default: breaker].permits(at: host.clock.now)
    }

    private func poll(_ sport: Sport, _ games: Set<GameID>) async {
        do {
            let board = try await client.scoreboard(sport)
            breakers[sport, default: breaker].succeed(at: host.clock.now)
            lastRead[sport] = host.clock.now
            count("scores", "read")
            for error in board.errors { count("scores", error.code.rawValue) }
            try await hand(board.games.map(\.state).filter { games.contains($0.game) }, sport)
        } catch {
            if error is CancellationError { return }
            breakers[sport, default: breaker].fail(at: host.clock.now)
            let code = (error as? VenueError)?.code.rawValue ?? "other"
            count("scores", code)
            host.log.debug("scores not read", metadata: [Key.code: "\(code)", Key.reason: "\(error)"])
        }
    }

    private func hand(_ states: [GameState], _ sport: Sport) async throws {
        let known = lastBoard[sport] ?? []
        let isNew = states.count != known.count || !zip(states, known).allSatisfy { $0.isSameMoment(as: $1) }
        lastBoard[sport] = states
        if host.settings.isReplay, isNew { try await host.clock.sleep(for: Self.settle) }
        await watcher.handle(states.map { .state($0) })
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
