extension Scenario {
    /// Every scenario, in the order of the runbook; CHAOS_TESTING.md has a section for each.
    public static let all = shards + redis + database + orchestrators + services + venue + surroundings + together

    public static func named(_ name: String) -> Scenario? { all.first { $0.name == name } }

    /// For rehearsals in a hurry: each kind of loss once.
    public static let core = [
        "shard-crash", "shard-freeze", "redis-kill", "database-crash", "orchestrator-failover",
        "execution-service-kill", "lost-acknowledgements",
    ]

    private static let shards: [Scenario] = [
        Scenario(
            "shard-crash", "A shard that dies gives its games to another, and no order is sent twice.",
            [Step(.kill, .busiestShard, holds: .seconds(6))],
            detection: .gamesMoved, within: .seconds(3), recovery: .fault, recoversIn: .seconds(3),
            control: Fault(.kill, .allShards)),
        Scenario(
            "shard-restart", "A shard that is restarted has let its games go before it ends, and gets its share again.",
            [Step(.restart, .busiestShard, holds: .seconds(1))],
            detection: .gamesMoved, within: .seconds(2), recovery: .fault, recoversIn: .seconds(3),
            control: Fault(.kill, .allShards)),
        Scenario(
            "shard-bounce", "A shard dies and is back before anybody misses it: it gets its games again.",
            [Step(.kill, .busiestShard, holds: .milliseconds(300))], recoversIn: .seconds(3),
            control: Fault(.kill, .allShards)),
        Scenario(
            "shard-stop", "A shard that is asked to end gives its games away at once.",
            [Step(.stop, .busiestShard, holds: .seconds(6))],
            detection: .gamesMoved, within: .seconds(2), recovery: .fault, recoversIn: .seconds(3),
            control: Fault(.kill, .allShards)),
        Scenario(
            "shard-freeze", "A zombie: a shard that stands still loses its games, and trades on none when it wakes.",
            [Step(.freeze, .busiestShard, holds: .seconds(6))],
            detection: .gamesMoved, within: .seconds(3), recovery: .fault, recoversIn: .seconds(3),
            control: Fault(.freeze, .allShards)),
        Scenario(
            "shard-partition", "A shard that is cut off lets its games go by itself before another has them.",
            [Step(.partition, .busiestShard, holds: .seconds(6))],
            detection: .gamesMoved, within: .seconds(3), recovery: .fault, recoversIn: .seconds(3),
            control: Fault(.kill, .allShards)),
        Scenario(
            "shard-twice", "Of two processes under one shard's name the one that came last has the games.",
            [Step(.impersonate, .busiestShard, holds: .seconds(6))],
            recovery: .undo, recoversIn: .seconds(10), mayAlert: ["ShardReplaced"], control: Fault(.kill, .allShards)),
        Scenario(
            "all-shards-dead", "With no shard left an alert says so, and the games are watched again when one is back.",
            [Step(.kill, .allShards, holds: .seconds(10))],
            detection: .alert("AllShardsUnhealthy"), within: .seconds(8), atSink: .seconds(8),
            recoversIn: .seconds(10), alerts: ["AllShardsUnhealthy"], mayAlert: ["CapacityExhausted"]),
    ]

    /// Journaled messages wait for their reader for longer than who said them keeps them, and Redis loses its data.
    private static let lossOfJournal: [Finding: [Step]] = [
        .lostMessages: [
            Step(.kill, .signalProcessor, holds: .seconds(14)),
            Step(.flush, .redis, after: .seconds(10), holds: .zero),
        ]
    ]

    private static let redis: [Scenario] = [
        Scenario(
            "redis-restart", "Redis is restarted: no game moves, every subscription is live again.",
            [Step(.restart, .redis, holds: .seconds(1))], recoversIn: .seconds(2),
            mayAlert: ["RedisConnectivityIssue"], control: Fault(.kill, .redis), counterproofs: lossOfJournal),
        Scenario(
            "redis-kill", "Redis dies and reads its append-only file: what was journaled is there.",
            [Step(.kill, .redis, holds: .seconds(8))],
            detection: .checkFails("redis"), within: .seconds(5), recoversIn: .seconds(2),
            alerts: ["RedisConnectivityIssue"], counterproofs: lossOfJournal),
        Scenario(
            "redis-kill-unread", "Redis dies with messages that nobody has read: they are read from its file.",
            [
                Step(.kill, .signalProcessor, holds: .seconds(12)),
                // What was said by then is too old to be said again by whoever said it.
                Step(.kill, .redis, after: .seconds(8), holds: .seconds(2)),
            ],
            detection: .checkFails("redis"), within: .seconds(13), recoversIn: .seconds(5),
            mayAlert: ["RedisConnectivityIssue"], counterproofs: lossOfJournal),
        Scenario(
            "redis-half-open", "Redis stands still and its connections stay open: that is found as well.",
            [Step(.freeze, .redis, holds: .seconds(8))],
            detection: .checkFails("redis"), within: .seconds(5), recoversIn: .seconds(3),
            alerts: ["RedisConnectivityIssue"]),
        Scenario(
            "redis-flush", "Redis loses all data: readers are told of the gap and ask again; PostgreSQL is the truth.",
            [Step(.flush, .redis, holds: .zero)], recoversIn: .seconds(2),
            mayAlert: ["RedisConnectivityIssue"], control: Fault(.kill, .redis),
            counterproofs: [
                .moreGaps: [
                    Step(.flush, .redis, holds: .zero),
                    Step(.flush, .redis, after: .seconds(4), holds: .zero),
                ]
            ], givesOneGap: true),
        Scenario(
            "redis-slow", "Redis answers in fits and starts: late is not dead, and no game moves.",
            [Step(.stutter, .redis, holds: .seconds(10))], recoversIn: .seconds(5),
            mayAlert: ["RedisConnectivityIssue"], control: Fault(.kill, .redis)),
        Scenario(
            "redis-long-outage", "Twelve games, and no Redis for half a minute: none moves, no order is lost or twice.",
            [Step(.kill, .redis, holds: .seconds(30))],
            detection: .checkFails("redis"), within: .seconds(5), recoversIn: .seconds(5),
            alerts: ["RedisConnectivityIssue"], counterproofs: lossOfJournal, games: 12),
        Scenario(
            "redis-memory", "Redis has no memory left and refuses every write: it is told, and nothing is lost.",
            [Step(.starve, .redis, holds: .seconds(10))],
            // The orchestrator asks each second whether Redis takes writes.
            detection: .checkFails("redis-writes"), within: .seconds(3), atSink: .seconds(5),
            recoversIn: .seconds(5), alerts: ["RedisConnectivityIssue"], control: Fault(.kill, .redis)),
    ]

    /// Told besides, while PostgreSQL is away: what its services cannot do meanwhile.
    private static let withoutDatabase: Set<String> = [
        "DatabaseConnectivityIssue", "OrchestratorUnhealthy", "reconciliationOverdue",
        // The venue's answer to one that was sent cannot be stored.
        "orderUnknown",
    ]

    private static let database: [Scenario] = [
        Scenario(
            "database-drop", "PostgreSQL is away: nothing is approved, nothing ends, and the alert comes in time.",
            [Step(.stop, .postgres, holds: .seconds(40))],
            detection: .alert("DatabaseConnectivityIssue"), within: .seconds(45), atSink: .seconds(45),
            recoversIn: .seconds(10), alerts: ["DatabaseConnectivityIssue"], mayAlert: withoutDatabase,
            stillAfter: .seconds(4)),
        Scenario(
            "database-restart", "PostgreSQL is restarted: what was under way is done again, once.",
            [Step(.restart, .postgres, holds: .seconds(1))], recoversIn: .seconds(10), mayAlert: withoutDatabase,
            control: Fault(.kill, .postgres)),
        Scenario(
            "database-crash", "PostgreSQL crashes and replays its log: what was committed is there.",
            [Step(.kill, .postgres, holds: .seconds(5))],
            detection: .checkFails("database"), within: .seconds(5), recoversIn: .seconds(10), mayAlert: withoutDatabase
        ),
        Scenario(
            "database-half-open", "PostgreSQL stands still, its connections open: calls end by their deadline.",
            [Step(.freeze, .postgres, holds: .seconds(8))],
            detection: .checkFails("database"), within: .seconds(8), recoversIn: .seconds(10),
            mayAlert: withoutDatabase, stillAfter: .seconds(4)),
        Scenario(
            "query-retry", "Back ends are ended again and again: each transaction is tried again, none is done twice.",
            // An order whose storing was in doubt is proven absent at the venue first: NON_ACCEPTANCE_WAIT_SECS.
            [Step(.terminate, .postgres, holds: .seconds(8))], recoversIn: .seconds(15), mayAlert: withoutDatabase,
            control: Fault(.kill, .postgres)),
        Scenario(
            "database-disk-full",
            "The database's disk is full: what cannot be stored is not sent, and nothing is lost.",
            [Step(.fillDisk, .postgres, holds: .seconds(10))],
            // A server that is not asked for room has none to miss: whoever is refused says so.
            detection: .unrest, within: .seconds(10), recoversIn: .seconds(15),
            mayAlert: withoutDatabase, control: Fault(.kill, .postgres)),
    ]

    private static let orchestrators: [Scenario] = [
        Scenario(
            "orchestrator-kill", "No orchestrator is left: games stay where they are, and one leads again.",
            [Step(.kill, .orchestrators, holds: .seconds(5))],
            detection: .unrest, within: .seconds(3), recoversIn: .seconds(8), mayAlert: ["OrchestratorUnhealthy"]),
        Scenario(
            "orchestrator-failover", "The leader dies and the one that stands by leads: no game moves, it is told.",
            [Step(.kill, .leader, holds: .seconds(15))],
            detection: .otherLeads, within: .seconds(5), recoversIn: .seconds(8), alerts: ["OrchestratorUnhealthy"],
            control: Fault(.kill, .postgres), standby: .needed),
        Scenario(
            "orchestrator-stop", "The leader is asked to end: the one that stands by leads before it is missed.",
            [Step(.stop, .leader, holds: .seconds(10))],
            detection: .otherLeads, within: .seconds(3), recoversIn: .seconds(8), mayAlert: ["OrchestratorUnhealthy"],
            control: Fault(.kill, .postgres), standby: .needed),
        Scenario(
            "orchestrator-freeze",
            "The leader stands still: another leads, and what the first says when it wakes up is void.",
            [Step(.freeze, .leader, holds: .seconds(15))],
            detection: .otherLeads, within: .seconds(5), recoversIn: .seconds(8), alerts: ["OrchestratorUnhealthy"],
            control: Fault(.kill, .postgres), standby: .needed),
        Scenario(
            "orchestrator-partition",
            "The leader is cut off from Redis and PostgreSQL: another leads, no shard is taken for dead.",
            [Step(.partition, .leader, holds: .seconds(15))],
            detection: .otherLeads, within: .seconds(6), recoversIn: .seconds(8), alerts: ["OrchestratorUnhealthy"],
            // What the one that is cut off says of itself.
            mayAlert: ["RedisConnectivityIssue", "DatabaseConnectivityIssue"], control: Fault(.kill, .postgres),
            standby: .needed),
        Scenario(
            "orchestrator-deaf", "The leader hears nothing, and Redis is well: who hears leads, no game moves.",
            [Step(.deafen, .leader, holds: .seconds(15))],
            // Deaf after 1.5 s without a PONG, the place offered after two more, taken at a look each half second.
            detection: .otherLeads, within: .seconds(8), recoversIn: .seconds(8),
            mayAlert: ["RedisConnectivityIssue", "OrchestratorUnhealthy"], control: Fault(.kill, .postgres),
            standby: .needed),
        Scenario(
            "orchestrator-alone-deaf",
            "The only orchestrator is cut off from Redis: no shard is taken for dead, shards watch and trade on.",
            [Step(.deafen, .orchestrators, holds: .seconds(12))],
            detection: .checkFails("redis"), within: .seconds(5), recoversIn: .seconds(8),
            alerts: ["RedisConnectivityIssue"], mayAlert: ["OrchestratorUnhealthy"],
            counterproofs: [.standstill: [Step(.kill, .executionService, holds: .seconds(12))]],
            goesOnAfter: .seconds(4), standby: .absent),
        alone(
            "orchestrator-alone-kill",
            "The only orchestrator dies: shards watch and trade on what is committed, and an outside watcher tells.",
            .kill),
        alone(
            "orchestrator-alone-freeze",
            "The only orchestrator stands still: nothing else does, and it leads again under what is committed.",
            .freeze),
        alone(
            "orchestrator-alone-stop",
            "The only orchestrator is asked to end: shards keep their games and trade on until it is back.", .stop),
    ]

    /// It stays away for longer than anybody's patience with a silent service (`SERVICE_TIMEOUT_SECS`).
    ///
    /// What it did before runs out meanwhile; back, it takes the lead within `LEADERSHIP_TTL_SECS` (3), grants nothing
    /// anew before a lease and a heartbeat (2.5 s) have passed, and begins within 2 s.
    private static func alone(_ name: String, _ shows: String, _ kind: Fault.Kind) -> Scenario {
        Scenario(
            name, shows, [Step(kind, .orchestrators, holds: .seconds(12))],
            detection: .silence, within: .seconds(4), recoversIn: .seconds(8),
            counterproofs: [.standstill: [Step(.kill, .executionService, holds: .seconds(12))]],
            // Leases have ended, and every shard has asked PostgreSQL.
            goesOnAfter: .seconds(4), standby: .absent)
    }

    private static let services: [Scenario] = [
        Scenario(
            "signal-processor-kill", "Signals wait in their journal until it is back; none is lost or taken twice.",
            [Step(.kill, .signalProcessor, holds: .seconds(5))],
            detection: .unrest, within: .seconds(12), recoversIn: .seconds(5)),
        Scenario(
            "execution-service-kill", "Orders on their way are looked for at the venue; none is sent again.",
            [Step(.kill, .executionService, holds: .seconds(5))],
            // One that was killed between its last write and the venue is proven absent: NON_ACCEPTANCE_WAIT_SECS.
            detection: .unrest, within: .seconds(12), recoversIn: .seconds(15), mayAlert: ["orderUnknown"]),
        Scenario(
            "market-discovery-death", "Nobody finds markets for new games: an alert says so, games go on.",
            [Step(.kill, .marketDiscovery, holds: .seconds(15))],
            detection: .alert("NoMarketDiscoveryServices"), within: .seconds(15), atSink: .seconds(15),
            recoversIn: .seconds(5), alerts: ["NoMarketDiscoveryServices"]),
    ]

    /// A venue that nobody hears is a shard that sees no market, and a position without a price.
    private static let deaf: Set<String> = ["AllShardsUnhealthy", "CapacityExhausted", "unmarkedPosition"]

    private static let venue: [Scenario] = [
        Scenario(
            "venue-mute", "The venue's connections stay open and say nothing: nobody trades on what was.",
            // A silence is found after 7 s; until then a price may be as old.
            [Step(.mute, .venue, holds: .seconds(14))], detection: .unrest, within: .seconds(10),
            recoversIn: .seconds(15), mayAlert: deaf, stillAfter: .seconds(10)),
        Scenario(
            "venue-resets", "The venue closes every connection: each is opened again, with fresh books.",
            [Step(.disconnect, .venue, holds: .seconds(1))], recoversIn: .seconds(10), mayAlert: deaf,
            control: Fault(.mute, .venue)),
        Scenario(
            "lost-acknowledgements", "Orders are taken and their answers lost: each is found, none is sent twice.",
            [Step(.loseAcknowledgements, .venue, holds: .seconds(10))], recoversIn: .seconds(15),
            mayAlert: ["orderUnknown"], control: Fault(.kill, .executionService)),
        Scenario(
            "sequence-gaps", "Frames are missing: the book is fetched afresh, and nothing trades on it meanwhile.",
            [Step(.skipFrames, .venue, holds: .seconds(8))], recoversIn: .seconds(10), mayAlert: deaf,
            control: Fault(.mute, .venue)),
        Scenario(
            "score-feed-down", "Nobody says how games stand: no new signal, and games stay where they are.",
            // What was said last is believed for 30 s; as long the breaker of the feed stays open.
            [Step(.refuse, .scores, holds: .seconds(42))], recoversIn: .seconds(35), mayAlert: deaf,
            control: Fault(.mute, .venue),
            counterproofs: [.orders: [Step(.kill, .marketDiscovery, holds: .seconds(42))]], stillAfter: .seconds(34)),
    ]

    private static let surroundings: [Scenario] = [
        Scenario(
            "slack-down", "Slack answers with errors: the alert is in the file at once, at Slack when it can be.",
            [
                Step(.refuse, .slack, holds: .seconds(20)),
                Step(.kill, .allShards, after: .seconds(1), holds: .seconds(10)),
            ],
            // At the sink when that takes messages again: after 20 s, and up to 16 s between two attempts.
            detection: .alert("AllShardsUnhealthy"), within: .seconds(10), atSink: .seconds(40),
            recoversIn: .seconds(10), alerts: ["AllShardsUnhealthy"],
            mayAlert: ["CapacityExhausted", "alertDeliveryFailing"], control: Fault(.kill, .allShards)),
        Scenario(
            "clock-step", "The execution-service's clock jumps a minute ahead: nothing is sent until it is right.",
            [Step(.stepClock, .executionService, holds: .seconds(12))], recoversIn: .seconds(15),
            mayAlert: ["databaseClockOffset"], control: Fault(.kill, .executionService),
            // Whose end stops no order.
            counterproofs: [.orders: [Step(.kill, .marketDiscovery, holds: .seconds(12))]], stillAfter: .seconds(6)),
        Scenario(
            "busy-machine", "A shard dies while the machine is busy: nobody else is taken for dead.",
            [
                Step(.occupy, .machine, holds: .seconds(15)),
                Step(.kill, .busiestShard, after: .seconds(5), holds: .seconds(6)),
            ],
            detection: .gamesMoved, of: 1, within: .seconds(5), recoversIn: .seconds(5),
            control: Fault(.kill, .allShards)),
    ]

    private static let together: [Scenario] = [
        Scenario(
            "out-of-memory", "The kernel ends a shard and the execution-service for want of memory: nothing is lost.",
            [
                Step(.exhaust, .busiestShard, holds: .seconds(6)),
                Step(.exhaust, .executionService, after: .seconds(10), holds: .seconds(5)),
            ],
            // As after its kill.
            detection: .gamesMoved, within: .seconds(4), recoversIn: .seconds(15), mayAlert: ["orderUnknown"],
            control: Fault(.kill, .allShards)),
        Scenario(
            "everything-stops", "Every process is asked to end and started again: it goes on where it was.",
            [Step(.stop, .suite, holds: .seconds(5))], recoversIn: .seconds(15),
            mayAlert: ["OrchestratorUnhealthy", "AllShardsUnhealthy", "NoMarketDiscoveryServices"]),
        Scenario(
            "rolling-restart", "One process after the other is restarted while orders flow: an upgrade.",
            [
                Step(.restart, .leader, holds: .seconds(1)),
                Step(.restart, .signalProcessor, after: .seconds(6), holds: .seconds(1)),
                Step(.restart, .executionService, after: .seconds(10), holds: .seconds(1)),
                Step(.restart, .marketDiscovery, after: .seconds(14), holds: .seconds(1)),
                Step(.restart, .busiestShard, after: .seconds(18), holds: .seconds(1)),
                Step(.restart, .busiestShard, after: .seconds(26), holds: .seconds(1)),
            ], recoversIn: .seconds(5), mayAlert: ["OrchestratorUnhealthy"], control: Fault(.kill, .allShards)),
        Scenario(
            "soak", "Eight faults that the round's number draws, up to three at once: all of it holds.",
            // As long as the slowest of them, the score feed's breaker.
            [], recoversIn: .seconds(35), mayAlert: mixed.reduce(into: []) { $0.formUnion(alerts(after: $1)) },
            control: Fault(.kill, .redis)),
    ]

    /// What a fault that is drawn gives a reason to tell, alone or together with others.
    static func alerts(after fault: Fault) -> Set<String> {
        switch (fault.part, fault.kind) {
        case (.venue, .loseAcknowledgements), (.executionService, _): ["orderUnknown"]
        // One shard is left, and it may be deaf too.
        case (.venue, _), (.scores, _), (.busiestShard, _): deaf
        case (.redis, _): ["RedisConnectivityIssue"]
        case (.postgres, _): withoutDatabase
        case (.leader, _): ["OrchestratorUnhealthy"]
        case (.marketDiscovery, _): ["NoMarketDiscoveryServices"]
        default: []
        }
    }
}
