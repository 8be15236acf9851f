import Domain

/// Decodes ESPN's scoreboard: undocumented, fields vanish between two answers, so every event stands for itself.
public enum ScoreboardDecoder {
    /// Reads the whole answer; `observedAt` is its venue time, since the body carries none.
    ///
    /// Throws only when there is no list of events at all.
    public static func decode(
        _ body: [UInt8], sport: Sport, observedAt: VenueInstant
    ) throws(VenueError) -> Scoreboard {
        let root: JSONValue
        do {
            root = try JSONValue(body)
        } catch {
            throw VenueError(.unreadableBody, detail: "scoreboard", message: "\(error)")
        }
        guard let events = root["events"]?.elements else { throw VenueError(.missingField, detail: "events") }
        var games: [ScoredGame] = []
        var errors: [ScoreboardError] = []
        for (index, event) in events.enumerated() {
            let name = text(event["id"]) ?? "#\(index)"
            do {
                games.append(try decode(event, name, sport, observedAt))
            } catch let error as ScoreboardError {
                errors.append(error)
            } catch {
                errors.append(ScoreboardError(.invalidField, event: name, field: "\(error)"))
            }
        }
        return Scoreboard(games: games, errors: errors, observedAt: observedAt)
    }

    private static func decode(
        _ event: JSONValue, _ name: String, _ sport: Sport, _ observedAt: VenueInstant
    ) throws -> ScoredGame {
        func missing(_ field: String) -> ScoreboardError { ScoreboardError(.missingField, event: name, field: field) }
        guard let id = text(event["id"]) else { throw missing("id") }
        guard let competition = event["competitions"]?.elements?.first else { throw missing("competitions") }
        guard let date = text(event["date"]) ?? text(competition["date"]) else { throw missing("date") }
        guard let status = event["status"] ?? competition["status"] else { throw missing("status") }
        let home = try competitor("home", competition, name)
        let away = try competitor("away", competition, name)

        let game = try Game(
            id: GameID(id), sport: sport, home: home.team, away: away.team,
            scheduledAt: VenueInstant(rfc3339: date, field: "date"))
        let standing = try gameStatus(status, name)
        let isScored = standing == .live || standing == .final
        guard let homeScore = home.score ?? (isScored ? nil : 0) else { throw missing("home.score") }
        guard let awayScore = away.score ?? (isScored ? nil : 0) else { throw missing("away.score") }
        let situation = competition["situation"]
        let lastPlay = situation?["lastPlay"]
        let state = try GameState(
            game: game.id, status: standing, homeScore: homeScore, awayScore: awayScore,
            period: Int(text(status["period"]) ?? "0") ?? 0,
            clockSeconds: hasClock(sport) ? clock(status) : nil,
            possession: possession(situation, home.id, away.id),
            // A play or a chance that makes no sense is one that is not told.
            play: text(lastPlay?["id"]).flatMap { try? PlayID($0) },
            sourceHomeProbability: text(lastPlay?["probability"]?["homeWinPercentage"])
                .flatMap { Double($0) }.flatMap { try? Probability($0) },
            observedAt: observedAt)
        return ScoredGame(game: game, state: state)
    }

    private static func competitor(
        _ side: String, _ competition: JSONValue, _ event: String
    ) throws -> (id: String?, team: Team, score: Int?) {
        let all = competition["competitors"]?.elements ?? []
        guard let found = all.first(where: { $0["homeAway"]?.text == side }) else {
            throw ScoreboardError(.missingField, event: event, field: "competitors.\(side)")
        }
        guard let team = found["team"], let abbreviation = text(team["abbreviation"]) else {
            throw ScoreboardError(.missingField, event: event, field: "\(side).team.abbreviation")
        }
        let name = text(team["displayName"]) ?? text(team["name"]) ?? abbreviation
        var score: Int?
        if let told = text(found["score"]) ?? text(found["score"]?["displayValue"]) {
            guard let points = Int(told) else {
                throw ScoreboardError(.invalidField, event: event, field: "\(side).score \"\(told)\"")
            }
            score = points
        }
        return (text(team["id"]) ?? text(found["id"]), try Team(name: name, abbreviation: abbreviation), score)
    }

    private static func possession(_ situation: JSONValue?, _ home: String?, _ away: String?) -> HomeAway? {
        guard let team = text(situation?["possession"]) else { return nil }
        if team == home { return .home }
        return team == away ? .away : nil
    }

    private static func gameStatus(_ status: JSONValue, _ event: String) throws -> GameStatus {
        guard let name = text(status["type"]?["name"]) else {
            throw ScoreboardError(.missingField, event: event, field: "status.type.name")
        }
        let isLive = text(status["type"]?["state"]) == "in"
        switch name {
        case "STATUS_SCHEDULED", "STATUS_TBD", "STATUS_PREGAME": return .scheduled
        case "STATUS_IN_PROGRESS", "STATUS_HALFTIME", "STATUS_END_PERIOD", "STATUS_END_OF_REGULATION",
            "STATUS_FIRST_HALF", "STATUS_SECOND_HALF", "STATUS_OVERTIME", "STATUS_END_OF_OVERTIME",
            "STATUS_SHOOTOUT", "STATUS_INTERMISSION", "STATUS_EXTRA_INNINGS":
            return .live
        case "STATUS_FINAL", "STATUS_FINAL_OVERTIME", "STATUS_FULL_TIME", "STATUS_FINAL_PEN", "STATUS_FORFEIT":
            return .final
        case "STATUS_POSTPONED": return .postponed
        case "STATUS_SUSPENDED": return .suspended
        case "STATUS_DELAYED", "STATUS_RAIN_DELAY": return isLive ? .suspended : .postponed
        case "STATUS_CANCELED", "STATUS_CANCELLED", "STATUS_ABANDONED": return .cancelled
        default: throw ScoreboardError(.unknownStatus, event: event, field: name)
        }
    }

    private static func hasClock(_ sport: Sport) -> Bool { sport != .mlb && sport != .tennis }

    /// Seconds left in the period: `11:43`, `27.6` or `0.0`; the number beside it when the text makes no sense.
    private static func clock(_ status: JSONValue) -> Double? {
        if let shown = text(status["displayClock"]), let seconds = seconds(shown) { return seconds }
        guard let number = text(status["clock"]).flatMap({ Double($0) }), number >= 0, number <= 10_800 else {
            return nil
        }
        return number
    }

    static func seconds(_ clock: String) -> Double? {
        let parts = clock.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let last = parts.last else { return nil }
        guard let tenths = try? FixedPoint.parse(last, scale: 1, field: "clock"), tenths >= 0 else { return nil }
        var seconds = Double(tenths) / 10
        if parts.count == 2 {
            guard seconds < 60, let minutes = Int(parts[0]), (0...180).contains(minutes) else { return nil }
            seconds += Double(minutes * 60)
        }
        return seconds <= 10_800 ? seconds : nil
    }

    /// Text or the digits of a number; nil for anything else, empty text included.
    private static func text(_ value: JSONValue?) -> String? {
        switch value {
        case .string(let text): text.isEmpty ? nil : text
        case .number(let digits): digits
        default: nil
        }
    }
}
