import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import NIOConcurrencyHelpers
import Postgres
import Runtime

/// What everybody who works on a plan needs.
struct LegDeskParts: Sendable {
    let host: ServiceHost
    let store: OrderStore
    let venue: any ExecutionVenue
    let orders: OrderDesk
    let settings: ExecutionServiceSettings
    let engine: ExecutionServiceEngine
    let prices: LatestPrices
    let balance: BalanceReader
    let policy: LegPlanPolicy
    /// This life of this process.
    let holder: String
    let alarm: PlanAlarm
    let isDraining: @Sendable () -> Bool
}

/// Works on plans of two legs, each with a driver of its own (decision 0049).
///
/// PostgreSQL says which plans there are and whose they are: start, gap and recovery are the same sweep, and what a
/// process leaves is taken over when its lease has ended.
actor LegDesk {
    private let parts: LegDeskParts
    private let draining: NIOLockedValueBox<Bool>
    private var driven: Set<IntentID> = []
    private var idle: [CheckedContinuation<Void, Never>] = []

    init(
        host: ServiceHost, store: OrderStore, venue: any ExecutionVenue, orders: OrderDesk,
        settings: ExecutionServiceSettings, prices: LatestPrices, balance: BalanceReader
    ) {
        let draining = NIOLockedValueBox(false)
        self.draining = draining
        parts = LegDeskParts(
            host: host, store: store, venue: venue, orders: orders, settings: settings,
            engine: ExecutionServiceEngine(settings), prices: prices, balance: balance,
            policy: LegPlanPolicy(settings), holder: "\(host.source)/\(host.incarnation)",
            alarm: PlanAlarm(host: host), isDraining: { draining.withLockedValue { $0 } })
    }

    /// Looks for plans at every wake-up.
    func run(_ wakeUps: AsyncStream<Void>) async throws {
        try await withThrowingDiscardingTaskGroup { drivers in
            for await _ in wakeUps {
                do {
                    for plan in try await next() { drivers.addTask { try await self.drive(plan) } }
                } catch let error as PostgresError where !Task.isCancelled {
                    // Everything is in the database: the next wake-up finds the same work.
                    parts.host.log.warning("plan sweep failed", metadata: [Key.reason: "\(error)"])
                }
            }
        }
    }

    /// Plans to be driven from now on; they count as driven.
    private func next() async throws -> [IntentID] {
        let room = parts.settings.openPlans - driven.count
        guard room > 0, !parts.isDraining() else { return [] }
        let waiting = try await parts.store.waitingPlans(limit: room + driven.count)
        let new = waiting.filter { !driven.contains($0) }.prefix(room)
        driven.formUnion(new)
        show()
        return Array(new)
    }

    private func drive(_ id: IntentID) async throws {
        defer { landed(id) }
        do {
            let lease = parts.settings.planLease
            guard let held = try await parts.store.takePlan(id, for: parts.holder, lease: lease) else { return }
            var driver = PlanDriver(held, parts)
            try await driver.run()
        } catch is PlanLost {
            parts.host.log.notice("plan is another process' now", metadata: ["plan": "\(id)"])
        } catch let error as PostgresError where !Task.isCancelled {
            // Taken up anew, from what is stored, at the next wake-up.
            parts.host.log.warning("plan is taken up anew", metadata: ["plan": "\(id)", Key.reason: "\(error)"])
        }
    }

    private func landed(_ id: IntentID) {
        driven.remove(id)
        show()
        guard driven.isEmpty else { return }
        for waiter in idle { waiter.resume() }
        idle = []
    }

    private func show() {
        parts.host.context.metrics.gauge("plans_at_work", "Arbitrages that this process works on.").set(driven.count)
    }

    /// Enters nothing more, and waits until no leg stands alone; bounded by the drain itself.
    ///
    /// What is not even by then is the next life's, when the lease has ended.
    func drain() async {
        draining.withLockedValue { $0 = true }
        if !driven.isEmpty { await withCheckedContinuation { idle.append($0) } }
    }
}

extension LegPlanPolicy {
    /// The policy that the settings ask for.
    init(_ settings: ExecutionServiceSettings) {
        self.init()
        nakedLimit = settings.nakedLimit
        patience = settings.nakedPatience
        patientLossPercent = Int64(settings.patientLossPercent)
        retryInterval = settings.planRetryInterval
    }
}
