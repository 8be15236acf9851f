import Domain
import Resilience
import Runtime

/// Where the score feed is; read once at start.
public struct ScoreboardSettings: Sendable {
    /// Without a slash at the end; the sport's path follows.
    public let baseURL: String
    public let requestTimeout: Duration

    public init(_ reader: SettingsReader) {
        var url = Substring(
            reader.text(
                "ESPN_BASE_URL", default: "https://site.api.espn.com/apis/site/v2/sports",
                "address of the score feed, without the sport"))
        while url.hasSuffix("/") { url = url.dropLast() }
        baseURL = String(url)
        requestTimeout = reader.milliseconds(
            "ESPN_REQUEST_TIMEOUT_MS", default: .milliseconds(5_000), in: .milliseconds(10)...(.seconds(60)),
            "for a whole scoreboard")
        reader.require(
            baseURL.hasPrefix("http://") || baseURL.hasPrefix("https://"), ["ESPN_BASE_URL"],
            "must be an http:// or https:// address")
    }
}

/// Reads scoreboards; once, since the next poll follows soon anyway.
public struct ScoreboardClient: Sendable {
    private let baseURL: String
    private let http: VenueHTTP
    private let time: VenueTime
    private let timeout: Duration
    private let reader: String?

    /// `reader` is the name by which a replay waits for this reader; the real feed is not told it.
    public init(
        baseURL: String, http: VenueHTTP, time: VenueTime, timeout: Duration = .seconds(5), reader: String? = nil
    ) {
        self.baseURL = baseURL
        self.http = http
        self.time = time
        self.timeout = timeout
        self.reader = reader
    }

    /// The scoreboard of one of `ScoreboardPath.sports`, for a day as ESPN counts it; without one, today's.
    ///
    /// `handled` tells a replay which of its steps this reader has worked off.
    public func scoreboard(
        _ sport: Sport, day: CivilDate? = nil, handled: VenueInstant? = nil
    ) async throws(VenueError) -> Scoreboard {
        guard let path = ScoreboardPath.of(sport) else {
            throw VenueError(.notConfigured, detail: sport.rawValue, message: "no scoreboard is known for this sport")
        }
        var url = "\(baseURL)/\(path)/scoreboard"
        if let day { url += "?dates=" + day.description.filter { $0 != "-" } }
        var headers: [(String, String)] = []
        if let reader {
            headers.append(("X-Replay-Reader", reader))
            if let handled { headers.append(("X-Replay-Handled", "\(handled.microseconds)")) }
        }
        let response = try await http.send("GET", url, headers: headers, timeout: timeout)
        guard response.status == 200 else {
            let code: VenueError.Code =
                switch response.status {
                case 404: .notFound
                case 429: .rateLimited
                case 500...: .serverError
                default: .unexpectedStatus
                }
            throw VenueError(code, status: response.status, detail: "scoreboard")
        }
        return try ScoreboardDecoder.decode(response.body, sport: sport, observedAt: response.venueTime ?? time.now)
    }
}
