import Hosting
import Logging
import OrchestratorEngine
import Resilience
import Runtime

/// Takes the leadership when it is free, renews it each second, and tells the engine when it begins and ends.
struct LeaderWatch: Sendable {
    /// Heartbeats carry it, so that a standby knows whether somebody leads.
    static let leadingMetric = "orchestrator_leading"
    private static let renewal = Duration.seconds(1)
    private static let standing = Duration.milliseconds(500)

    private let leadership: Leadership
    private let store: AssignmentStore
    private let fleet: FleetReconciler
    private let monitor: SystemMonitor
    private let others: OtherOrchestrators
    private let host: ServiceHost

    init(
        _ leadership: Leadership, _ store: AssignmentStore, _ fleet: FleetReconciler, _ monitor: SystemMonitor,
        _ others: OtherOrchestrators, _ host: ServiceHost
    ) {
        self.leadership = leadership
        self.store = store
        self.fleet = fleet
        self.monitor = monitor
        self.others = others
        self.host = host
    }

    func run() async throws {
        let leads = host.context.metrics.gauge(Self.leadingMetric, "1 while this process leads.")
        var told: Int64?
        while true {
            do {
                let term = try await hold(told)
                if told != nil, term != told { await stop(&told) }
                if let term, told == nil { try await begin(term, &told) }
            } catch {
                try Task.checkCancellation()
                host.log.warning("leadership not renewed", metadata: [Key.reason: "\(error)"])
                if told != nil, leadership.term(at: host.clock.now) == nil { await stop(&told) }
            }
            leads.set(told != nil)
            try await host.clock.sleep(until: nextLook(told))
        }
    }

    /// A leader whose renewals fail looks again when its term runs out, not later.
    private func nextLook(_ told: Int64?) -> MachineInstant {
        let now = host.clock.now
        guard told != nil else { return now.advanced(by: Self.standing) }
        let renewal = now.advanced(by: Self.renewal)
        return leadership.heldUntil.map { max(now, min(renewal, $0)) } ?? renewal
    }

    /// The term that is ours now.
    private func hold(_ told: Int64?) async throws -> Int64? {
        if let term = told ?? leadership.term(at: host.clock.now) {
            if try await leadership.renew(term, clock: host.clock) { return term }
            if told != nil { return nil }
        }
        guard let (term, before) = try await leadership.acquire(clock: host.clock) else { return nil }
        others.succeeded(before)
        return term
    }

    private func begin(_ term: Int64, _ told: inout Int64?) async throws {
        let (desired, drained) = try await store.wanted()
        told = term
        host.log.info("leading", metadata: [Key.term: "\(term)", Key.count: "\(desired.count)"])
        await fleet.take(.rehydrated(desired, drained: drained, term: term))
        monitor.look()
    }

    private func stop(_ told: inout Int64?) async {
        host.log.warning("leadership lost", metadata: [Key.term: "\(told ?? 0)"])
        told = nil
        await fleet.take(.leadershipLost)
        monitor.look()
    }
}
