import Alerting
import Bus
import Domain
import Logging
import Postgres
import Redis
import Runtime
import Wire

/// A service that takes part: connected to Redis and PostgreSQL, on the bus, measured, with a heartbeat.
///
/// Made once in each main by `start`. Every part it adds to the supervisor is named, and ends with the process.
public struct ServiceHost: Sendable {
    public let context: ProcessContext
    public let settings: HostSettings
    public let incarnation: Incarnation
    public let redis: RedisClient
    public let bus: Bus
    public let database: PostgresPool
    public let venueClock: VenueClock
    /// Tells operators; works also when Redis, PostgreSQL or the orchestrator does not.
    public let alerts: ServiceAlerts
    public let killSwitch: KillSwitchWatch
    /// Compares the database's clock with ours, in services that called `followDatabaseClock`.
    public let databaseClock: DatabaseClockWatch
    /// Writes down what is refused where no transaction tells of it.
    public let refusals: RefusalAudit
    /// Wakes the outbox relay after a commit that wrote to the outbox.
    public let outbox = OutboxNudge()

    public var log: Logger { context.log }
    public var clock: MachineClock { context.clock }
    public var supervisor: Supervisor { context.supervisor }
    /// `service/instance`, as in envelopes and alerts.
    public var source: String { "\(context.service)/\(settings.instance)" }

    /// Connects, waits for both servers in parallel, and brings the schema up to date.
    ///
    /// - Throws: `BootCheckFailure` when a server does not answer within `BOOT_TIMEOUT_SECS`; a migration's error.
    public static func start(
        _ settings: HostSettings, in context: ProcessContext, alerting role: AlertDispatcher.Role = .fallback
    ) async throws -> ServiceHost {
        let host = try ServiceHost(settings, context, role)
        host.alerts.start(in: context)
        context.supervisor.add("redis", .critical) { try await host.redis.run() }
        context.supervisor.add("bus", .critical) { try await host.bus.run() }
        // The first hook to be added runs last: what the others publish is stored too, and what they refuse told.
        let limit = context.process.drainTimeout / 2
        context.supervisor.onDrain("refusals") { await host.refusals.drain(host.database) }
        context.supervisor.onDrain("bus") { await host.bus.drain(within: limit) }
        context.supervisor.add("database", .critical) { await host.database.run() }
        try await BootCheck.run(
            [
                ("redis", { try await host.untilAnswered { _ = try await host.redis.send(["PING"]) } }),
                ("postgres", { try await host.untilAnswered { try await host.database.ping() } }),
            ], failAfter: settings.bootTimeout, clock: context.clock, log: context.log)
        try await Migrations.run(host.database)
        context.supervisor.add("refusals", .bestEffort) { try await host.refusals.run(host.database) }
        context.supervisor.add("kill-switch", .important) { try await host.killSwitch.run() }
        return host
    }

    /// Compares the database's clock with ours from now on; for services that decide by either.
    public func followDatabaseClock() async throws {
        try await untilAnswered { try await databaseClock.measure() }
        supervisor.add("database-clock", .important) { [databaseClock] in try await databaseClock.run() }
    }

    /// Asks again within one attempt, so that a server that is there a moment later is found a moment later.
    private func untilAnswered(_ ask: () async throws -> Void) async throws {
        for _ in 0..<20 {
            do { return try await ask() } catch { try await clock.sleep(for: .milliseconds(50)) }
        }
        try await ask()
    }

    private init(_ settings: HostSettings, _ context: ProcessContext, _ role: AlertDispatcher.Role) throws {
        self.context = context
        self.settings = settings
        incarnation = try Incarnation(context.incarnation)
        let source = "\(context.service)/\(settings.instance)"
        redis = RedisClient(
            settings: settings.redis, name: "linesman:\(source)", incarnation: context.incarnation,
            clock: context.clock, random: context.random, log: context.log, metrics: context.metrics)
        let refusals = RefusalAudit(source: source, in: context)
        self.refusals = refusals
        bus = Bus(
            client: redis, identity: BusIdentity(source: source, incarnation: incarnation), settings: settings.bus,
            clock: context.clock, wallClock: context.wallClock, log: context.log, metrics: context.metrics
        ) { letter in
            refusals.note(
                Refusal(.deadLetter, from: letter.channel), ["reason": letter.reason, "size": "\(letter.size)"])
        }
        database = PostgresPool(
            settings: settings.database, application: "linesman:\(source)", clock: context.clock,
            random: context.random, log: context.log, metrics: context.metrics)
        killSwitch = KillSwitchWatch(
            settings.killSwitch, instance: settings.instance, redis: redis, database: database, in: context)
        alerts = ServiceAlerts(settings.alerts, source: source, role: role, bus: bus, in: context)
        databaseClock = DatabaseClockWatch(
            bound: settings.databaseClockBound, database: database, alerts: alerts, source: source, in: context)
        venueClock = settings.isReplay ? .replay() : .live(context.wallClock)
        context.metrics.gauge(Self.liveMetric, "1 where both flags of live trading are set, 0 elsewhere.")
            .set(settings.trading.mode == .live ? 1 : 0)
    }

    static let liveMetric = "trading_is_live"

    /// A trace for a story that begins here.
    public func newTrace() -> TraceID {
        // A UUID is a valid identifier.
        (try? TraceID(context.random.uuid())) ?? "trace"
    }
}

extension ServiceHost {
    /// Keeps venue time in step with what the shards announce; for services without a venue connection of their own.
    ///
    /// `onPrice` is told each price before venue time moves on to it, on Redis' loop: it must be short. It is not told
    /// one that is dated ahead of venue time: that would count as fresh for too long, and right ones as older than it.
    public func followVenueTime(
        onPrice: @escaping @Sendable (PriceUpdate) async -> Void = { _ in }
    ) async throws {
        let states = try await bus.subscribe(matching: Channels.gameStates)
        let prices = try await bus.subscribe(matching: Channels.prices)
        // On the loop that reads them: a thousand prices a second change no thread.
        supervisor.add("venue-time-states", .important) { [venueClock, redis] in
            await withTaskExecutorPreference(redis.taskExecutor) {
                for await delivery in states {
                    if case .message(let envelope, _) = delivery { venueClock.observe(envelope.body.state.observedAt) }
                }
            }
        }
        let ahead = context.metrics.counter("prices_ahead_total", "Prices dated ahead of venue time, and refused.")
        supervisor.add("venue-time-prices", .important) { [venueClock, redis, refusals] in
            await withTaskExecutorPreference(redis.taskExecutor) {
                for await delivery in prices {
                    guard case .message(let envelope, _) = delivery else { continue }
                    if venueClock.isAhead(envelope.body.at) {
                        ahead.increment()
                        refusals.note(
                            Refusal(.priceAhead, from: envelope.source),
                            ["market": envelope.body.market.rawValue, "reason": "its clock is ahead of venue time"])
                        continue
                    }
                    await onPrice(envelope.body)
                    venueClock.observe(envelope.body.at)
                }
            }
        }
    }

    /// Measures these and the base probes while `HEALTH_CHECKS_ENABLED`, which SIGHUP reads again; call it once.
    ///
    /// - Parameters:
    ///   - more: what only this service asks.
    ///   - mustStore: whether it is not well while PostgreSQL has no room; a service that keeps its rows in a journal
    ///     of its own meanwhile is.
    /// - Returns: what they found, as it is measured.
    public func measureHealth(_ more: [HealthProbe] = [], mustStore: Bool = true) -> HealthBoard {
        let board = HealthBoard(
            baseProbes(mustStore: mustStore) + more, isOn: settings.health.isEnabled, every: settings.healthInterval,
            clock: clock, log: log, metrics: context.metrics)
        supervisor.add("health", .critical) { try await board.run() }
        context.onReload("health") {
            HealthSettings($0)
        } apply: {
            await board.setOn($0.isEnabled)
        }
        return board
    }

    /// Our own servers are asked again so soon while they fail: others wait for us to be well.
    private static let retryInterval = Duration.milliseconds(100)

    /// The probes that every service has: does Redis answer, does the bus bring back what it is given, does PostgreSQL
    /// answer and, where it must, store.
    func baseProbes(mustStore: Bool) -> [HealthProbe] {
        [
            HealthProbe("redis", timeout: .seconds(1), isVital: true, retryInterval: Self.retryInterval) { [redis] in
                _ = try await redis.send(["PING"])
            },
            HealthProbe("bus", timeout: .seconds(1), isVital: true, retryInterval: Self.retryInterval) { [bus] in
                try bus.checkHealth()
            },
            HealthProbe("database", timeout: .seconds(2), retryInterval: Self.retryInterval) { [database] in
                try await database.ping(timeout: .seconds(2))
                if mustStore { try database.checkStorage() }
            },
        ]
    }
}
