import Domain
import Hosting
import OrchestratorEngine
import Venues

/// The venue's scoreboards as the engine wants them.
struct VenueScores: Sendable {
    let host: ServiceHost

    func board(of sport: Sport) async throws -> Scoreboards.Board {
        Scoreboards.Board(games: [], at: host.venueClock.now)
    }
}
