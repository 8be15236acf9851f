extension Scenario {
    /// Every scenario, in the order of the runbook; CHAOS_TESTING.md has a section for each.
    public static let all: [Scenario] = [
        Scenario(
            "shard-crash", "A shard that dies gives its games to another, and no order is sent twice.",
            fault: Fault(.kill, .busiestShard), holds: .seconds(8), detection: .gamesMoved, detectWithin: .seconds(3),
            recovery: .fault, recoverWithin: .seconds(3), control: Fault(.kill, .allShards)),
        Scenario(
            "shard-freeze", "A shard that stands still loses its games, and trades on none when it wakes up.",
            fault: Fault(.freeze, .busiestShard), holds: .seconds(8), detection: .gamesMoved,
            detectWithin: .seconds(3), recovery: .fault, recoverWithin: .seconds(3),
            control: Fault(.freeze, .allShards)),
        Scenario(
            "shard-stop", "A shard that is asked to end gives its games away at once.",
            fault: Fault(.stop, .busiestShard), holds: .seconds(8), detection: .gamesMoved, detectWithin: .seconds(2),
            recovery: .fault, recoverWithin: .seconds(3), control: Fault(.kill, .allShards)),
        Scenario(
            "all-shards-dead", "With no shard left an alert says so, and the games are watched again when one is back.",
            fault: Fault(.kill, .allShards), holds: .seconds(10), detection: .alert("AllShardsUnhealthy"),
            detectWithin: .seconds(8), recovery: .undo, recoverWithin: .seconds(10), alerts: ["AllShardsUnhealthy"],
            mayAlert: ["CapacityExhausted"]),
        Scenario(
            "redis-restart", "Redis dies and comes back: no game moves, every subscription is live again.",
            fault: Fault(.kill, .redis), holds: .seconds(10), detection: .checkFails("redis"),
            detectWithin: .seconds(5), recovery: .undo, recoverWithin: .seconds(5),
            alerts: ["RedisConnectivityIssue"]),
        Scenario(
            "redis-half-open", "Redis stands still and its connections stay open: that is found as well.",
            fault: Fault(.freeze, .redis), holds: .seconds(10), detection: .checkFails("redis"),
            detectWithin: .seconds(5), recovery: .undo, recoverWithin: .seconds(5),
            alerts: ["RedisConnectivityIssue"]),
        Scenario(
            "database-stop", "PostgreSQL is away: nothing is approved, nothing ends, and the alert comes in time.",
            fault: Fault(.stop, .postgres), holds: .seconds(40), detection: .alert("DatabaseConnectivityIssue"),
            detectWithin: .seconds(45), recovery: .undo, recoverWithin: .seconds(10),
            alerts: ["DatabaseConnectivityIssue"],
            mayAlert: ["OrchestratorUnhealthy", "reconciliationOverdue", "killSwitchEngaged"]),
        Scenario(
            "database-crash", "PostgreSQL crashes and replays its log: what was committed is there.",
            fault: Fault(.kill, .postgres), holds: .seconds(5), detection: .checkFails("database"),
            detectWithin: .seconds(5), recovery: .undo, recoverWithin: .seconds(10),
            mayAlert: ["DatabaseConnectivityIssue", "OrchestratorUnhealthy", "killSwitchEngaged"]),
        Scenario(
            "orchestrator-kill", "The only orchestrator dies: games stay where they are, and it leads again.",
            fault: Fault(.kill, .leader), holds: .seconds(5), detection: .otherLeads, detectWithin: .seconds(15),
            recovery: .undo, recoverWithin: .seconds(8), mayAlert: ["OrchestratorUnhealthy"],
            control: Fault(.kill, .postgres)),
        Scenario(
            "orchestrator-failover", "The leader dies and the one that stands by leads: no game moves, it is told.",
            fault: Fault(.kill, .leader), holds: .seconds(15), detection: .otherLeads, detectWithin: .seconds(5),
            recovery: .undo, recoverWithin: .seconds(8), alerts: ["OrchestratorUnhealthy"],
            control: Fault(.kill, .postgres), needsStandby: true),
        Scenario(
            "signal-processor-kill", "Signals wait in their journal until it is back; none is lost or taken twice.",
            fault: Fault(.kill, .signalProcessor), holds: .seconds(5), detection: .checkFails("signal-processor"),
            detectWithin: .seconds(12), recovery: .undo, recoverWithin: .seconds(5)),
        Scenario(
            "execution-service-kill", "Orders on their way are looked for at the venue; none is sent again.",
            fault: Fault(.kill, .executionService), holds: .seconds(5), detection: .checkFails("execution-service"),
            detectWithin: .seconds(12), recovery: .undo, recoverWithin: .seconds(5)),
        Scenario(
            "market-discovery-death", "Nobody finds markets for new games: an alert says so, games go on.",
            fault: Fault(.kill, .marketDiscovery), holds: .seconds(15), detection: .alert("NoMarketDiscoveryServices"),
            detectWithin: .seconds(15), recovery: .undo, recoverWithin: .seconds(5),
            alerts: ["NoMarketDiscoveryServices"]),
    ]

    public static func named(_ name: String) -> Scenario? { all.first { $0.name == name } }
}
