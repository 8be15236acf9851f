import Alerting
import Bus
import Postgres
import Redis
import Runtime

/// What every service needs to take part: its name, its connections, its heartbeat.
public struct HostSettings: Sendable {
    /// Names this process among those of its service.
    public let instance: String
    public let redis: RedisSettings
    public let bus: BusSettings
    public let database: PostgresSettings
    public let alerts: AlertSettings
    public let trading: TradingSettings
    public let health: HealthSettings
    public let killSwitch: KillSwitchSettings
    public let heartbeatInterval: Duration
    /// How long the key that stands for this process outlives its last heartbeat (CHECKLIST R37).
    public let heartbeatLife: Duration
    public let healthInterval: Duration
    /// How far the database's clock may be from ours.
    public let databaseClockBound: Duration
    /// How long Redis and PostgreSQL may be missing at the start (CHECKLIST R10).
    public let bootTimeout: Duration
    /// 0 is live; anything else follows a simulator's venue time at that speed.
    public let replaySpeed: Double
    public let build: String
    /// Where a service other than the orchestrator serves its status, and its metrics; port 0 is nowhere.
    public let statusHost: String
    public let statusPort: Int

    /// - Parameters:
    ///   - reader: of the process.
    ///   - instanceKey: the key that names the instance; shards use `SHARD_ID`.
    ///   - instanceDefault: its default.
    public init(_ reader: SettingsReader, instanceKey: String = "SERVICE_INSTANCE", instanceDefault: String = "1") {
        instance = reader.text(instanceKey, default: instanceDefault, "Names this process among those of its service.")
        reader.require(
            !instance.isEmpty && instance.utf8.count <= 64
                && instance.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C && $0 != 0x3A },
            [instanceKey], "an instance is 1 to 64 visible characters without space, quote, backslash or colon")
        redis = RedisSettings(reader)
        bus = BusSettings(reader)
        database = PostgresSettings(reader)
        alerts = AlertSettings(reader)
        trading = TradingSettings(reader)
        health = HealthSettings(reader)
        killSwitch = KillSwitchSettings(reader)
        heartbeatInterval = reader.seconds(
            "HEARTBEAT_INTERVAL_SECS", default: .milliseconds(500), in: .milliseconds(50)...(.seconds(60)),
            "How often a process says that it is there.")
        heartbeatLife = reader.seconds(
            "HEARTBEAT_TTL_SECS", default: .seconds(35), in: .seconds(1)...(.seconds(3_600)),
            "How long the key health:hb:SERVICE:INSTANCE outlives the last heartbeat.")
        reader.require(
            heartbeatInterval < heartbeatLife, ["HEARTBEAT_INTERVAL_SECS", "HEARTBEAT_TTL_SECS"],
            "the key must outlive the heartbeat that renews it")
        healthInterval = reader.milliseconds(
            "HEALTH_PROBE_INTERVAL_MS", default: .seconds(1), in: .milliseconds(50)...(.seconds(60)),
            "How often each health check is measured.")
        bootTimeout = reader.seconds(
            "BOOT_TIMEOUT_SECS", default: .seconds(60), in: .seconds(1)...(.seconds(3600)),
            "How long a process waits for Redis and PostgreSQL at its start before it gives up.")
        replaySpeed = reader.number(
            "REPLAY_SPEED", default: 0, in: 0...10_000, "0 trades live; otherwise the speed of the simulator's replay.")
        databaseClockBound = reader.milliseconds(
            "DB_MAX_CLOCK_OFFSET_MS", default: .seconds(2), in: .milliseconds(100)...(.seconds(60)),
            "no entry is approved or sent while this machine's clock is certainly further from the database's")
        build = reader.text("BUILD_VERSION", default: "dev", "Shown in heartbeats.")
        statusHost = reader.text(
            "SERVICE_STATUS_HOST", default: "127.0.0.1",
            "The address of SERVICE_STATUS_PORT.")
        statusPort = reader.integer(
            "SERVICE_STATUS_PORT", default: 0, in: 0...65_535,
            "Serves /healthz, /readyz, /metrics and /status of a service; the orchestrator has STATUS_PORT. "
                + "0 serves none.")
    }

    public var isReplay: Bool { replaySpeed > 0 }
}
