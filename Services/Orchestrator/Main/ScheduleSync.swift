import Domain
import Hosting
import Logging
import OrchestratorEngine
import Resilience
import Runtime

/// Keeps the table of games a week ahead of what is watched (CHECKLIST R55).
///
/// Only the leader stores, and only games that nobody owns: those that are watched belong to the discovery cycle.
struct ScheduleSync: Sendable {
    /// From today; scoreboards have one page for each day.
    static let days = 7
    /// However fast a replay runs, it is not asked more often than this.
    static let shortestInterval = Duration.seconds(1)

    let host: ServiceHost
    let settings: OrchestratorSettings
    let store: ScheduleStore
    let read: @Sendable (Sport, CivilDate) async throws -> Scoreboards.Board

    func run() async throws {
        let interval =
            settings.host.isReplay
            ? max(Self.shortestInterval, settings.scheduleInterval / settings.host.replaySpeed)
            : settings.scheduleInterval
        // A replay's time is not known before something of it was seen; a standby stores nothing.
        while true {
            let isDone = await sync()
            try await host.clock.sleep(for: isDone ? interval : min(interval, Self.shortestInterval))
        }
    }

    /// Reads every day of every sport, and stores what could be read of it.
    ///
    /// - Returns: whether it was its time.
    private func sync() async -> Bool {
        guard host.venueClock.now > .epoch, let term = store.leadership.term(at: host.clock.now) else { return false }
        var failures = 0
        for sport in settings.sports {
            var games: [ScoreboardGame] = []
            for day in Self.days(from: host.venueClock.now) {
                do {
                    games += try await read(sport, day).games
                } catch {
                    failures += 1
                    host.log.debug("schedule not read", metadata: ["sport": "\(sport)", Key.reason: "\(error)"])
                }
            }
            do {
                let stored = try await store.sync(games, term: term)
                host.context.metrics.counter("schedule_games_total", "Games stored ahead of time.").increment(
                    by: stored)
            } catch {
                failures += 1
                host.log.warning("schedule not stored", metadata: ["sport": "\(sport)", Key.reason: "\(error)"])
            }
        }
        host.context.metrics.counter("schedule_failures_total", "Days of a schedule that were not read or stored.")
            .increment(by: failures)
        host.log.info("schedule read", metadata: ["failures": "\(failures)"])
        return true
    }

    /// The days as the score feed counts them, which is by US Eastern time; standard time all year.
    static func days(from now: VenueInstant) -> [CivilDate] {
        let today = now.advanced(by: .seconds(-5 * 3_600)).utcDay.daysSince1970
        return (0...Int64(days)).map { CivilDate(daysSince1970: today + $0) }
    }
}
