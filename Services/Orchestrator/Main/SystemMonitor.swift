import Hosting
import NIOConcurrencyHelpers
import OrchestratorEngine
import Postgres
import Resilience
import Runtime

/// Watches what the whole suite stands on: shards, Redis, PostgreSQL and discovery (DESIGN section 5).
///
/// Nothing is measured or judged twice. Redis is asked by the health board, PostgreSQL by the pool's own health, shards
/// and discovery are judged by the engine. A change is told at once; the interval only looks at everything again.
final class SystemMonitor: Sendable {
    private struct State {
        var isOn: Bool
        var told: [Dependency: Bool] = [:]
        var lastCycle: Duration?
        var fleet: FleetHealth?
    }

    /// How long one check may take; each looks at something that is known already, but for one PING.
    static let timeout = Duration.seconds(2)
    /// How soon a change of Redis or PostgreSQL is seen.
    static let watchInterval = Duration.milliseconds(100)

    private let interval: Duration
    private let host: ServiceHost
    private let fleet: FleetReconciler
    private let health: HealthBoard
    private let lane: AlertLane
    private let checks: SystemChecks
    private let state: NIOLockedValueBox<State>
    private let wakes: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation

    init(
        every interval: Duration, _ host: ServiceHost, _ fleet: FleetReconciler, _ health: HealthBoard,
        _ lane: AlertLane
    ) {
        self.interval = interval
        self.host = host
        self.fleet = fleet
        self.health = health
        self.lane = lane
        checks = SystemChecks(
            "system_monitor", Self.checks(host, fleet, health), clock: host.clock, wall: host.context.wallClock,
            metrics: host.context.metrics)
        state = NIOLockedValueBox(State(isOn: health.isOn))
        (wakes, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        // After the board's own hook: it measures anew before anything is told.
        host.context.onReload("system-monitor") {
            HealthSettings($0)
        } apply: {
            await self.setOn($0.isEnabled)
        }
    }

    /// Looks at everything now, besides the interval: something has changed.
    func look() { waker.yield() }

    /// Watches until cancelled.
    func run() async throws {
        look()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { for await _ in self.wakes { await self.cycle() } }
            tasks.addTask { for await _ in self.lane.changes { self.look() } }
            tasks.addTask {
                try await self.every(self.interval) { self.look() }
            }
            tasks.addTask {
                try await self.every(Self.watchInterval) {
                    let isNews = await self.tellChanges()
                    if await self.seesAnotherFleet() || isNews { self.look() }
                }
            }
            // None of them ends before it is cancelled.
            try await tasks.next()
            tasks.cancelAll()
        }
    }

    private func every(_ interval: Duration, _ body: () async -> Void) async throws {
        var due = host.clock.now
        while true {
            await body()
            due = max(host.clock.now, due.advanced(by: interval))
            try await host.clock.sleep(until: due)
        }
    }

    /// Takes over what SIGHUP has read; switched on, everything is looked at before this returns.
    private func setOn(_ on: Bool) async {
        let hasChanged = state.withLockedValue { state in
            guard state.isOn != on else { return false }
            state = State(isOn: on)
            return true
        }
        guard hasChanged else { return }
        if on {
            await tellChanges()
        } else {
            checks.clear()
        }
        lane.setMonitoring(on, firing: await fleet.health().firing)
        if on { await cycle() }
    }

    // MARK: - Telling

    /// Tells the engine what is new of Redis and PostgreSQL; returns whether anything was.
    @discardableResult
    private func tellChanges() async -> Bool { await fleet.take { changes() } }

    /// What the engine has not been told yet.
    ///
    /// Called within the engine's turn: what one task has looked at earlier must not be told after what another has
    /// seen since.
    private func changes() -> [Event] {
        state.withLockedValue { state in
            guard state.isOn else { return [] }
            return known.compactMap { dependency, isHealthy in
                guard state.told.updateValue(isHealthy, forKey: dependency) != isHealthy else { return nil }
                return .dependency(dependency, isHealthy: isHealthy)
            }
        }
    }

    /// Whether shards or discoveries came, went, or changed how they are since this was asked last.
    private func seesAnotherFleet() async -> Bool {
        let now = await fleet.health()
        return state.withLockedValue { state in
            defer { state.fleet = now }
            return state.fleet != now
        }
    }

    private func cycle() async {
        guard state.withLockedValue({ $0.isOn }) else { return }
        let took = await checks.cycle()
        // Told again: who began to lead meanwhile has not yet judged it.
        state.withLockedValue { $0.told = [:] }
        await tellChanges()
        let isOn = state.withLockedValue { state in
            state.lastCycle = took
            return state.isOn
        }
        guard isOn else { return checks.clear() }
        for report in checks.reports where report.state == .healthy {
            if let kind = Self.kinds[report.name] { lane.isWell(kind) }
        }
    }

    /// Redis by the health board; the database by its pool, which counts failures at a fixed rate.
    private var known: [(Dependency, Bool)] {
        var known: [(Dependency, Bool)] = []
        let latest = health.latest
        if let redis = latest["redis"] {
            known.append((.redis, redis.isHealthy && latest[Self.writesName]?.isHealthy != false))
        }
        let database = host.database.health
        if database.isHealthy != nil { known.append((.postgres, !database.isAlertDue)) }
        return known
    }

    // MARK: - Showing

    /// What `/status` shows.
    struct Report: Encodable, Sendable {
        let isOn: Bool
        let intervalMs: Int64
        let lastCycleMs: Double?
        let checks: [CheckReport]
    }

    var report: Report {
        let state = state.withLockedValue { $0 }
        return Report(
            isOn: state.isOn, intervalMs: interval.wholeMilliseconds,
            lastCycleMs: state.lastCycle.map { $0.inSeconds * 1_000 }, checks: checks.reports)
    }
}
