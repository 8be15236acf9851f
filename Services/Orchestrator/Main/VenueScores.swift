import Domain
import Hosting
import Logging
import OrchestratorEngine
import Runtime
import Venues

/// The score feed's scoreboards as the engine wants them.
struct VenueScores: Sendable {
    private let host: ServiceHost
    private let client: ScoreboardClient

    init(_ settings: ScoreboardSettings, host: ServiceHost) {
        self.host = host
        let time = VenueTime(now: { host.venueClock.now }, observe: { host.venueClock.observe($0) })
        let http = VenueHTTP(time: time)
        client = ScoreboardClient(
            baseURL: settings.baseURL, http: http, time: time, timeout: settings.requestTimeout)
        host.supervisor.onDrain("scoreboards") { await http.shutdown() }
    }

    /// What could not be read of a board is counted; the rest of it stands.
    func board(of sport: Sport, on day: CivilDate? = nil) async throws -> Scoreboards.Board {
        let board = try await client.scoreboard(sport, day: day)
        for error in board.errors {
            host.context.metrics
                .counter(
                    "scoreboard_events_refused_total", "Unreadable events of scoreboards.",
                    labels: ["code": error.code.rawValue]
                ).increment()
            host.log.debug("event of a scoreboard not read", metadata: [Key.reason: "\(error)"])
        }
        return Scoreboards.Board(
            games: board.games.map { scored in
                let state = scored.state
                let score =
                    state.status == .scheduled ? nil : Score(home: state.homeScore, away: state.awayScore)
                return ScoreboardGame(game: scored.game, status: state.status, score: score)
            }, at: board.observedAt)
    }
}
