import Domain
import Hummingbird

/// The score feed: the scoreboard of the recording's sport, empty for others and for other days.
struct ScoreRoutes: Sendable {
    let simulator: Simulator

    func add(to router: Router<VenueRequestContext>) {
        let simulator = simulator
        router.get("/apis/site/v2/sports/:sport/:league/scoreboard") { request, context in
            let query = Query(request)
            let path = "\(context.parameters.get("sport") ?? "")/\(context.parameters.get("league") ?? "")"
            let name = request.headers[ReplayHeader.replayReader]
            let handled = request.headers[ReplayHeader.replayHandled].flatMap { Int64($0) }
                .flatMap { try? VenueInstant(microseconds: $0) }  // no instant: nothing is worked off
            return simulator.answer { state in
                let game = state.scoreboards[0].game
                let isListed = path == ScoreboardBody.path(game.sport) && Self.isListed(query["dates"], game)
                if isListed, let name {
                    state.readScoreboard(by: name, handled: handled, at: simulator.clock.now)
                    // Of no effect once it plays.
                    if simulator.settings.startsByItself { _ = state.start(at: simulator.clock.now) }
                }
                return .ok(ScoreboardBody.body(state.scoreboards, isListed: isListed))
            }
        }
    }

    /// Whether the dates, `YYYYMMDD` or `YYYYMMDD-YYYYMMDD` in US Eastern, hold the game's day; none means today.
    static func isListed(_ dates: String?, _ game: Game) -> Bool {
        guard let dates else { return true }
        let day = ScoreboardBody.easternDay(game.scheduledAt).description.filter { $0 != "-" }
        let bounds = dates.split(separator: "-")
        guard let first = bounds.first, let last = bounds.last else { return false }
        return (String(first)...max(String(first), String(last))).contains(day)
    }
}
