import Hosting
import Logging
import OrchestratorEngine
import Resilience
import Runtime

/// Takes the leadership when it is free, renews it each second, and tells the engine when it begins and ends.
struct LeaderWatch: Sendable {
    private let leadership: Leadership
    private let store: AssignmentStore
    private let fleet: FleetReconciler
    private let host: ServiceHost

    init(_ leadership: Leadership, _ store: AssignmentStore, _ fleet: FleetReconciler, _ host: ServiceHost) {
        self.leadership = leadership
        self.store = store
        self.fleet = fleet
        self.host = host
    }

    func run() async throws {
        let leads = host.context.metrics.gauge("orchestrator_leading", "1 while this process leads.")
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
            try await host.clock.sleep(for: told == nil ? .milliseconds(500) : .seconds(1))
        }
    }

    /// The term that is ours now.
    private func hold(_ told: Int64?) async throws -> Int64? {
        if let term = told ?? leadership.term(at: host.clock.now) {
            if try await leadership.renew(term, clock: host.clock) { return term }
            if told != nil { return nil }
        }
        return try await leadership.acquire(clock: host.clock)
    }

    private func begin(_ term: Int64, _ told: inout Int64?) async throws {
        let desired = try await store.desired()
        let drained = try await store.drained()
        told = term
        host.log.info("leading", metadata: [Key.term: "\(term)", Key.count: "\(desired.count)"])
        await fleet.take(.rehydrated(desired, drained: drained, term: term))
    }

    private func stop(_ told: inout Int64?) async {
        host.log.warning("leadership lost", metadata: [Key.term: "\(told ?? 0)"])
        told = nil
        await fleet.take(.leadershipLost)
    }
}
