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
    private let leads: Gauge

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
        leads = host.context.metrics.gauge(Self.leadingMetric, "1 while this process leads.")
    }

    func run() async throws {
        var told: Int64?
        var candidacy = Candidacy(life: leadership.life)
        // What an earlier life told as a leader ends too when another leads.
        var owesHandOver = true
        while true {
            candidacy.note(deafSince: await fleet.deafSince, at: host.clock.now)
            if let since = await fleet.hearingSince, others.hearsLeader(since: since) { candidacy.leaderIsHeard() }
            do {
                let term = try await hold(told, &candidacy)
                if told != nil, term != told { await stop(&told) }
                if let term, told == nil {
                    try await begin(term, &told)
                    owesHandOver = true
                } else if told == nil, owesHandOver, try await leadership.isAnothers() {
                    await fleet.take(.anotherLeads)
                    owesHandOver = false
                }
            } catch {
                try Task.checkCancellation()
                host.log.warning("leadership not renewed", metadata: [Key.reason: "\(error)"])
                if told != nil, leadership.term(at: host.clock.now) == nil { await stop(&told) }
            }
            leads.set(told != nil)
            try await host.clock.sleep(until: nextLook(told, candidacy.nextOffer))
        }
    }

    /// A leader whose renewals fail looks again when its term runs out, not later, and one that is deaf when it offers.
    private func nextLook(_ told: Int64?, _ offer: MachineInstant?) -> MachineInstant {
        let now = host.clock.now
        guard told != nil else { return now.advanced(by: Self.standing) }
        let soonest = [now.advanced(by: Self.renewal), leadership.heldUntil, offer].compactMap(\.self).min() ?? now
        return max(now, soonest)
    }

    /// The term that is ours now.
    private func hold(_ told: Int64?, _ candidacy: inout Candidacy) async throws -> Int64? {
        if let told, candidacy.offers(at: host.clock.now) { try await offer(told) }
        // Also one that has run out, or that could not be begun.
        if let term = told ?? leadership.taken {
            if try await leadership.renew(term, clock: host.clock) { return term }
            if told != nil { return nil }
        }
        let patience = candidacy.patience(at: host.clock.now)
        guard let (term, before) = try await leadership.acquire(patience: patience, clock: host.clock) else {
            return nil
        }
        others.succeeded(before)
        return term
    }

    /// We are deaf: one that hears may lead instead, until we renew.
    private func offer(_ term: Int64) async throws {
        host.log.warning("deaf: leadership offered", metadata: [Key.term: "\(term)"])
        // Whoever hears of one that leads waits for it no longer, and would find its place free.
        leads.set(false)
        await leadership.offer(term)
        let end = host.clock.now.advanced(by: Candidacy.offer)
        while host.clock.now < end, await !fleet.hears { try await host.clock.sleep(for: .milliseconds(100)) }
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
        leadership.giveUp()
        await fleet.take(.leadershipLost)
        monitor.look()
    }
}
