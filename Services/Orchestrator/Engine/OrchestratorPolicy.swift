/// How patient the orchestrator is; every length is machine time unless it says otherwise.
public struct OrchestratorPolicy: Hashable, Sendable {
    /// How often shards and services say that they are there.
    public var heartbeatInterval: Duration
    /// A shard silent for this long is dead (CHECKLIST R39).
    public var shardTimeout: Duration
    /// How long a grant lasts, counted by the shard from when it sent the granted heartbeat.
    public var lease: Duration
    /// A service silent for this long is dead.
    public var serviceTimeout: Duration
    /// A component check must fail for this long before it costs a shard its games.
    public var degradedAfter: Duration
    /// A degraded shard must be well again for this long before it is given games.
    public var recoverAfter: Duration
    /// How long a command waits for its effect before it is sent again.
    public var resendAfter: Duration
    /// How long a game may be missing from its shard's heartbeats before another epoch is made.
    public var missingGrace: Duration
    /// Heartbeats that must show a zombie game before it is revoked (CHECKLIST R50).
    public var zombieGrace: Int
    /// How long a restarted shard may read its games by itself before they are sent (CHECKLIST R46).
    ///
    /// Another restart meanwhile starts it anew, but never beyond twice this after the first.
    public var resyncDebounce: Duration
    /// How many games a second a shard is given in a resync, a drain or a rebalancing, at most.
    public var gamesPerSecond: Int
    /// How long a shard that joined must be well before games are moved to it.
    public var rebalanceAfter: Duration
    /// Assignments in a row that a shard does not take up before it gets no more (CHECKLIST R48).
    public var breakerFailures: Int
    /// How long it gets none then, until one game is tried.
    public var breakerCooldown: Duration
    /// Tried games that must be taken up before it gets as many as it can hold.
    public var breakerSuccesses: Int
    /// How long to wait after a failed commit.
    public var commitRetryAfter: Duration
    /// Discovery cycles after which an unanswered question is asked again (CHECKLIST N6).
    public var cyclesToAnswer: Int
    /// Venue time before the start from which a scheduled game is wanted.
    public var scheduledWindow: Duration
    /// Venue time after the start at which a game that the scoreboard no longer shows is given up.
    public var abandonAfter: Duration
    /// Venue time for which a suspended game keeps its seat, since most go on soon.
    public var holdSuspended: Duration
    /// A dead shard or service that holds nothing is forgotten after this.
    public var forgetAfter: Duration
    /// Failed probes in a row that make a database issue (CHECKLIST R30).
    public var databaseFailuresToAlert: Int

    public init(
        heartbeatInterval: Duration = .milliseconds(500), shardTimeout: Duration = .seconds(2),
        lease: Duration = .seconds(2), serviceTimeout: Duration = .seconds(10), degradedAfter: Duration = .seconds(5),
        recoverAfter: Duration = .seconds(5), resendAfter: Duration = .seconds(1),
        missingGrace: Duration = .seconds(5), zombieGrace: Int = 3, resyncDebounce: Duration = .seconds(5),
        gamesPerSecond: Int = 10, rebalanceAfter: Duration = .seconds(10), breakerFailures: Int = 3,
        breakerCooldown: Duration = .seconds(30), breakerSuccesses: Int = 2,
        commitRetryAfter: Duration = .seconds(1), cyclesToAnswer: Int = 2, scheduledWindow: Duration = .seconds(3600),
        abandonAfter: Duration = .seconds(43_200), holdSuspended: Duration = .seconds(7200),
        forgetAfter: Duration = .seconds(3600), databaseFailuresToAlert: Int = 3
    ) {
        precondition(zombieGrace >= 1 && cyclesToAnswer >= 1, "a grace of nothing would act on the first sign")
        precondition(gamesPerSecond >= 1, "at least one game a second, got \(gamesPerSecond)")
        self.heartbeatInterval = heartbeatInterval
        self.shardTimeout = shardTimeout
        self.lease = lease
        self.serviceTimeout = serviceTimeout
        self.degradedAfter = degradedAfter
        self.recoverAfter = recoverAfter
        self.resendAfter = resendAfter
        self.missingGrace = missingGrace
        self.zombieGrace = zombieGrace
        self.resyncDebounce = resyncDebounce
        self.gamesPerSecond = gamesPerSecond
        self.rebalanceAfter = rebalanceAfter
        self.breakerFailures = breakerFailures
        self.breakerCooldown = breakerCooldown
        self.breakerSuccesses = breakerSuccesses
        self.commitRetryAfter = commitRetryAfter
        self.cyclesToAnswer = cyclesToAnswer
        self.scheduledWindow = scheduledWindow
        self.abandonAfter = abandonAfter
        self.holdSuspended = holdSuspended
        self.forgetAfter = forgetAfter
        self.databaseFailuresToAlert = databaseFailuresToAlert
    }
}
