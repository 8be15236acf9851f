import Domain
import Runtime

/// How patient the orchestrator is and what it looks at.
public struct OrchestratorSettings: Sendable {
    public let host: HostSettings
    public let sports: [Sport]
    public let discoveryInterval: Duration
    public let gameWindow: Duration
    public let scheduleInterval: Duration
    public let shardTimeout: Duration
    public let lease: Duration
    public let serviceTimeout: Duration
    public let degradedAfter: Duration
    public let commandResend: Duration
    public let missingGrace: Duration
    public let zombieGrace: Int
    public let reconciliation: ReconciliationSettings
    public let control: ControlSettings
    public let audit: AuditSettings
    public let leadershipLife: Duration
    public let monitorInterval: Duration
    public let alertConfirmation: Duration
    public let statusHost: String
    public let statusPort: Int

    public init(_ reader: SettingsReader) {
        host = HostSettings(reader)
        let names = reader.text("SPORTS", default: "nba,nfl,nhl,mlb", "Whose scoreboards are read, comma-separated.")
            .split(separator: ",").map { $0.drop(while: \.isWhitespace).prefix { !$0.isWhitespace } }
        sports = names.compactMap { Sport(rawValue: String($0)) }
        reader.require(
            sports.count == names.count && !sports.isEmpty, ["SPORTS"],
            "known sports are \(Sport.allCases.map(\.rawValue).joined(separator: ", "))")
        discoveryInterval = reader.seconds(
            "DISCOVERY_INTERVAL_SECS", default: .seconds(30), in: .milliseconds(100)...(.seconds(3_600)),
            "How often scoreboards are read for new games, in venue time.")
        gameWindow = reader.seconds(
            "GAME_WINDOW_SECS", default: .seconds(3_600), in: .zero...(.seconds(172_800)),
            "How long before its start a game is watched, in venue time.")
        scheduleInterval = reader.seconds(
            "SCHEDULED_SYNC_INTERVAL_SECS", default: .seconds(3_600), in: .seconds(1)...(.seconds(86_400)),
            "How often the games of the next seven days are stored, in venue time.")
        shardTimeout = reader.seconds(
            "SHARD_TIMEOUT_SECS", default: .seconds(2), in: .milliseconds(100)...(.seconds(3_600)),
            "A shard silent for this long is dead.")
        lease = reader.milliseconds(
            "SHARD_LEASE_MS", default: .seconds(2), in: .milliseconds(100)...(.seconds(600)),
            "How long a shard may go on after the heartbeat that was granted last.")
        serviceTimeout = reader.seconds(
            "SERVICE_TIMEOUT_SECS", default: .seconds(10), in: .milliseconds(500)...(.seconds(3_600)),
            "A service without games silent for this long is dead.")
        degradedAfter = reader.seconds(
            "SHARD_DEGRADED_AFTER_SECS", default: .seconds(5), in: .zero...(.seconds(3_600)),
            "A component check that fails for this long costs a shard its games.")
        commandResend = reader.milliseconds(
            "COMMAND_RESEND_MS", default: .seconds(1), in: .milliseconds(100)...(.seconds(600)),
            "A command without an effect is sent again after this.")
        missingGrace = reader.seconds(
            "MISSING_GAME_GRACE_SECS", default: .seconds(5), in: .milliseconds(500)...(.seconds(3_600)),
            "A game missing from its shard for this long is assigned again.")
        zombieGrace = reader.integer(
            "ZOMBIE_GRACE_HEARTBEATS", default: 3, in: 1...1_000,
            "Heartbeats that show a zombie game before it is revoked.")
        reconciliation = ReconciliationSettings(reader)
        control = ControlSettings(reader)
        audit = AuditSettings(reader)
        leadershipLife = reader.seconds(
            "LEADERSHIP_TTL_SECS", default: .seconds(3), in: .milliseconds(1_500)...(.seconds(600)),
            "How long leadership lasts without being renewed; it is renewed each second.")
        monitorInterval = reader.seconds(
            "SYSTEM_MONITOR_INTERVAL_SECS", default: .seconds(30), in: .milliseconds(100)...(.seconds(3_600)),
            "How often shards, Redis, PostgreSQL and discovery are looked at again; a change is told at once.")
        alertConfirmation = reader.seconds(
            "ALERT_CONFIRMATION_SECS", default: .seconds(60), in: .milliseconds(100)...(.seconds(3_600)),
            "How long one term must have judged before alerts end that an earlier life told and this one does not see.")
        statusHost = reader.text("STATUS_HOST", default: "127.0.0.1", "The address that serves the status page.")
        statusPort = reader.integer("STATUS_PORT", default: 8_080, in: 0...65_535, "0 takes a free port.")
        reader.require(
            host.heartbeatInterval * 2 <= shardTimeout, ["HEARTBEAT_INTERVAL_SECS", "SHARD_TIMEOUT_SECS"],
            "a shard must be able to lose one heartbeat without being dead")
        reader.require(
            host.heartbeatInterval * 2 <= lease, ["HEARTBEAT_INTERVAL_SECS", "SHARD_LEASE_MS"],
            "a lease must outlast two heartbeats")
    }
}
