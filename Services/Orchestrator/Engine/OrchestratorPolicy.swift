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
    /// How long a command waits for its effect before it is sent again.
    public var resendAfter: Duration
    /// How long a game may be missing from its shard's heartbeats before another epoch is made.
    public var missingGrace: Duration
    /// Heartbeats that must show a zombie game before it is revoked (CHECKLIST R50).
    public var zombieGrace: Int
    /// How long to wait after a failed commit.
    public var commitRetryAfter: Duration
    /// Discovery cycles after which an unanswered question is asked again (CHECKLIST N6).
    public var cyclesToAnswer: Int
    /// Venue time before the start from which a scheduled game is wanted.
    public var scheduledWindow: Duration
    /// Venue time after the start at which a game that the scoreboard no longer shows is given up.
    public var abandonAfter: Duration
    /// A dead shard or service that holds nothing is forgotten after this.
    public var forgetAfter: Duration
    /// Failed probes in a row that make a database issue (CHECKLIST R30).
    public var databaseFailuresToAlert: Int

    public init(
        heartbeatInterval: Duration = .milliseconds(500), shardTimeout: Duration = .seconds(2),
        lease: Duration = .seconds(2), serviceTimeout: Duration = .seconds(10), degradedAfter: Duration = .seconds(5),
        resendAfter: Duration = .seconds(1), missingGrace: Duration = .seconds(5), zombieGrace: Int = 3,
        commitRetryAfter: Duration = .seconds(1), cyclesToAnswer: Int = 2, scheduledWindow: Duration = .seconds(3600),
        abandonAfter: Duration = .seconds(43_200), forgetAfter: Duration = .seconds(3600),
        databaseFailuresToAlert: Int = 3
    ) {
        precondition(zombieGrace >= 1 && cyclesToAnswer >= 1, "a grace of nothing would act on the first sign")
        self.heartbeatInterval = heartbeatInterval
        self.shardTimeout = shardTimeout
        self.lease = lease
        self.serviceTimeout = serviceTimeout
        self.degradedAfter = degradedAfter
        self.resendAfter = resendAfter
        self.missingGrace = missingGrace
        self.zombieGrace = zombieGrace
        self.commitRetryAfter = commitRetryAfter
        self.cyclesToAnswer = cyclesToAnswer
        self.scheduledWindow = scheduledWindow
        self.abandonAfter = abandonAfter
        self.forgetAfter = forgetAfter
        self.databaseFailuresToAlert = databaseFailuresToAlert
    }
}
