import Domain
import Runtime

/// The settings of `venue-simulator`.
struct SimulatorSettings: Sendable {
    /// What becomes of a client order id that was used before.
    enum Duplicates: String, Sendable, CaseIterable {
        case refuse
        case accept
    }

    /// The path of the recording.
    var recording: String
    /// The recorded one, and made-up ones that play the same.
    var games: Int
    /// How far each game is behind the one before it, venue time.
    var gamesApart: Duration
    /// Venue time a unit of machine time.
    var speed: Double
    /// How long a step waits for a reader of scores that is not heard of.
    var hold: Duration
    var host: String
    /// 0 takes a free port.
    var httpPort: Int
    var webSocketPort: Int
    /// What the account begins with.
    var balance: Money
    var duplicates: Duplicates
    /// Whether it begins to play when the first shard reads scores, instead of when it is told to.
    var startsByItself: Bool
    /// Where the ports are written once both listen.
    var readyFile: String?

    init(_ reader: SettingsReader) {
        recording = reader.text(
            "SIMULATOR_RECORDING", default: "Recordings/tor-at-cle-2026-04-20.recording", "the recording to play")
        games = reader.integer(
            "SIMULATOR_GAMES", default: 1, in: 1...GameCopies.limit,
            "games to play: the recorded one, and made-up ones with the same course")
        gamesApart = reader.milliseconds(
            "SIMULATOR_GAMES_APART_MS", default: .zero, in: .zero...(.seconds(60)),
            "how far the prices of each game are behind those of the one before it, venue time")
        speed = reader.number(
            "SIMULATOR_SPEED", default: 1, in: 0.1...10_000, "venue seconds a machine second")
        hold = reader.milliseconds(
            "SIMULATOR_HOLD_MS", default: .seconds(3), in: .milliseconds(100)...(.seconds(30)),
            "how long venue time waits for a reader of scores that has died, machine time")
        host = reader.text("SIMULATOR_HOST", default: "127.0.0.1", "the address that both servers bind")
        httpPort = reader.integer("SIMULATOR_HTTP_PORT", default: 0, in: 0...65_535, "0 takes a free port")
        webSocketPort = reader.integer("SIMULATOR_WS_PORT", default: 0, in: 0...65_535, "0 takes a free port")
        let dollars = reader.integer(
            "SIMULATOR_BALANCE", default: 1_000, in: 0...1_000_000_000, "what the account begins with, dollars")
        balance = .dollars(Int64(dollars))
        duplicates = reader.choice(
            "SIMULATOR_DUPLICATES", default: Duplicates.refuse, "what becomes of a client order id used before")
        startsByItself = reader.flag(
            "SIMULATOR_STARTS_BY_ITSELF", default: false,
            "begins to play when the first shard reads scores, instead of at POST /control/start")
        readyFile = reader.optionalText("SIMULATOR_READY_FILE", "where the ports are written once both listen")
    }
}
