import Runtime

/// How the orchestrator brings what is wanted and what is together: its pace, and how patient it is with what fails.
public struct ReconciliationSettings: Sendable {
    public let recoverAfter: Duration
    public let resyncDebounce: Duration
    public let gamesPerSecond: Int
    public let rebalanceAfter: Duration
    public let breakerFailures: Int
    public let breakerCooldown: Duration
    public let breakerSuccesses: Int
    public let commitRetry: Duration
    public let cyclesToAnswer: Int
    /// Venue time, as the next.
    public let abandonAfter: Duration
    public let holdSuspended: Duration
    public let forgetAfter: Duration

    public init(_ reader: SettingsReader) {
        recoverAfter = reader.seconds(
            "SHARD_RECOVER_AFTER_SECS", default: .seconds(5), in: .zero...(.seconds(3_600)),
            "How long a degraded shard must be well before it is given games again.")
        resyncDebounce = reader.seconds(
            "RESYNC_DEBOUNCE_SECS", default: .seconds(5), in: .zero...(.seconds(600)),
            "How long a restarted shard may read its games by itself before they are sent to it.")
        gamesPerSecond = reader.integer(
            "RESYNC_RATE_LIMIT_GAMES_PER_SEC", default: 10, in: 1...10_000,
            "Most games a second that one shard is given by a resync, a drain or a rebalancing.")
        rebalanceAfter = reader.seconds(
            "REBALANCE_AFTER_SECS", default: .seconds(10), in: .zero...(.seconds(86_400)),
            "How long a shard that joined must be well before games are moved to it.")
        breakerFailures = reader.integer(
            "ASSIGNMENT_CIRCUIT_FAILURE_THRESHOLD", default: 3, in: 1...1_000,
            "Games in a row that a shard does not take up before it is given no more.")
        breakerCooldown = reader.seconds(
            "ASSIGNMENT_CIRCUIT_HALF_OPEN_TIMEOUT_SECS", default: .seconds(30),
            in: .milliseconds(10)...(.seconds(3_600)),
            "How long such a shard is given none, until one game is tried.")
        breakerSuccesses = reader.integer(
            "ASSIGNMENT_CIRCUIT_SUCCESS_THRESHOLD", default: 2, in: 1...1_000,
            "Tried games that it must take up before it is given as many as it can hold.")
        commitRetry = reader.milliseconds(
            "ASSIGNMENT_RETRY_MS", default: .seconds(1), in: .milliseconds(10)...(.seconds(600)),
            "How long to wait after assignments could not be stored.")
        cyclesToAnswer = reader.integer(
            "DISCOVERY_CYCLES_TO_ANSWER", default: 2, in: 1...1_000,
            "Discovery cycles after which a question about a game's markets is asked again.")
        abandonAfter = reader.seconds(
            "GAME_ABANDON_AFTER_SECS", default: .seconds(43_200), in: .seconds(60)...(.seconds(604_800)),
            "A game that no scoreboard shows is given up so long after its start, in venue time.")
        holdSuspended = reader.seconds(
            "SUSPENDED_GAME_HOLD_SECS", default: .seconds(7_200), in: .zero...(.seconds(604_800)),
            "How long a suspended game keeps its shard, in venue time.")
        forgetAfter = reader.seconds(
            "FORGET_DEAD_AFTER_SECS", default: .seconds(3_600), in: .seconds(1)...(.seconds(604_800)),
            "A dead shard or service that holds nothing is no longer shown after this.")
    }
}
