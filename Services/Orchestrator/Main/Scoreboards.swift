import Domain
import Hosting
import Logging
import OrchestratorEngine
import Resilience
import Runtime

/// Reads the scoreboard of each sport once per discovery cycle.
struct Scoreboards: Sendable {
    /// One sport's scoreboard at one moment of venue time.
    struct Board: Sendable {
        let games: [ScoreboardGame]
        let at: VenueInstant
    }

    let host: ServiceHost
    let settings: OrchestratorSettings
    let fleet: FleetReconciler
    let read: @Sendable (Sport) async throws -> Board
    /// Crypto slots, which no scoreboard shows.
    let slots: @Sendable () async throws -> [ScoreboardGame]

    /// However fast a replay runs, the scoreboard is not read more often than this: the shards set the pace there.
    static let shortestInterval = Duration.milliseconds(250)

    func run() async throws {
        let interval =
            settings.host.isReplay
            ? max(Self.shortestInterval, settings.discoveryInterval / settings.host.replaySpeed)
            : settings.discoveryInterval
        var due = host.clock.now
        while true {
            await look()
            due = max(host.clock.now, due.advanced(by: interval))
            try await host.clock.sleep(until: due)
        }
    }

    /// One cycle; a sport whose scoreboard cannot be read keeps what is known of it.
    private func look() async {
        var shown: [ScoreboardGame] = []
        var newest: VenueInstant?
        for sport in settings.sports {
            do {
                let board = try await read(sport)
                shown += board.games
                newest = max(board.at, newest ?? board.at)
            } catch {
                host.context.metrics
                    .counter("scoreboard_failures_total", "Unreadable scoreboards.", labels: ["sport": sport.rawValue])
                    .increment()
                host.log.warning(
                    "scoreboard not read", metadata: ["sport": "\(sport.rawValue)", Key.reason: "\(error)"])
            }
        }
        do {
            let slots = try await slots()
            shown += slots
            if !slots.isEmpty { newest = newest ?? host.venueClock.now }
        } catch {
            host.log.warning("slots not read", metadata: [Key.reason: "\(error)"])
        }
        guard let newest else { return }
        host.venueClock.observe(newest)
        await fleet.take(.scoreboard(shown, at: newest))
    }
}
