import Resilience

/// Decides who tells an alert that a service other than the orchestrator has raised: pure, time is handed in.
///
/// Every alert is said on the bus. Without the orchestrator's word in time the service tells it itself, so that an
/// alert arrives also when Redis or the orchestrator is what has failed. Who told a firing tells its recovery; when the
/// orchestrator told it and is gone by the recovery, the service does. Nothing is told by nobody; told by both is
/// possible when a word is lost.
public struct AlertHandover: Sendable {
    public enum Event: Sendable {
        case fire(AlertRequest)
        /// The request of the recovery, under an id of its own.
        case resolve(AlertRequest)
        /// The orchestrator has it in its file.
        case acknowledged(id: String)
        case tick
    }

    public enum Effect: Hashable, Sendable {
        /// Say it on the bus.
        case publish(AlertRequest, Alert.State)
        /// Tell it here.
        case fireHere(AlertRequest)
        /// Tell its recovery here, when its firing was told here.
        case resolveHere(AlertRequest)
        /// Tell the recovery of what the orchestrator had told.
        case tellRecovery(AlertRequest, lasted: Duration)
    }

    private struct Pending: Sendable {
        let request: AlertRequest
        let state: Alert.State
        let since: MachineInstant
        /// For a recovery: how long the cause lasted, when the orchestrator had told it.
        let lasted: Duration?
        /// A recovery that the orchestrator has, while it is not known to have the firing.
        var isAcknowledged = false
    }

    private enum Teller: Sendable {
        /// Nobody yet: the firing is pending.
        case unknown
        case orchestrator
        case here
    }

    private struct Firing: Sendable {
        var teller = Teller.unknown
        let since: MachineInstant
        let id: String
    }

    public let timeout: Duration
    private var pending: [Pending] = []
    private var firings: [String: Firing] = [:]

    /// The most alerts that wait for the orchestrator's word; beyond it the oldest are told here at once.
    static let pendingLimit = 1_000
    static let firingLimit = 10_000

    /// - `timeout`: `ALERT_ACK_TIMEOUT_MS`.
    public init(timeout: Duration) {
        self.timeout = timeout
    }

    public var waiting: Int { pending.count }

    /// Whether one of these alerts waits for the orchestrator's word.
    public func isWaiting(for ids: Set<String>) -> Bool { pending.contains { ids.contains($0.request.id) } }

    /// When the oldest has waited long enough.
    public var nextDeadline: MachineInstant? { pending.first?.since.advanced(by: timeout) }

    public mutating func handle(_ event: Event, at now: MachineInstant) -> [Effect] {
        var effects: [Effect] = []
        switch event {
        case .fire(let request): fire(request, at: now, into: &effects)
        case .resolve(let request): resolve(request, at: now, into: &effects)
        case .acknowledged(let id): acknowledged(id)
        case .tick: break
        }
        while let first = pending.first, first.since.advanced(by: timeout) <= now || pending.count > Self.pendingLimit {
            pending.removeFirst()
            tellHere(first, into: &effects)
        }
        return effects
    }

    private mutating func fire(_ request: AlertRequest, at now: MachineInstant, into effects: inout [Effect]) {
        let known = firings[request.fingerprint]
        if case .here? = known?.teller { return effects.append(.fireHere(request)) }
        if request.isLasting, known == nil { firings[request.fingerprint] = Firing(since: now, id: request.id) }
        if firings.count > Self.firingLimit,
            let oldest = firings.min(by: { ($0.value.since, $0.key) < ($1.value.since, $1.key) })
        {
            firings[oldest.key] = nil
        }
        pending.append(Pending(request: request, state: .firing, since: now, lasted: nil))
        effects.append(.publish(request, .firing))
    }

    private mutating func resolve(_ request: AlertRequest, at now: MachineInstant, into effects: inout [Effect]) {
        // Said in any case: an earlier life, or the orchestrator's late reading of the bus, may have it firing.
        effects.append(.publish(request, .recovered))
        guard let firing = firings.removeValue(forKey: request.fingerprint) else {
            return effects.append(.resolveHere(request))
        }
        switch firing.teller {
        case .here: effects.append(.resolveHere(request))
        case .orchestrator:
            pending.append(
                Pending(request: request, state: .recovered, since: now, lasted: now.since(firing.since)))
        case .unknown:
            // Behind its firing, and told by whoever tells that.
            pending.append(Pending(request: request, state: .recovered, since: now, lasted: nil))
        }
    }

    private mutating func acknowledged(_ id: String) {
        guard let index = pending.firstIndex(where: { $0.request.id == id }) else { return }
        if pending[index].state == .recovered, pending[index].lasted == nil {
            // Its firing may yet be told here; then its end is too.
            pending[index].isAcknowledged = true
            return
        }
        let settled = pending.remove(at: index)
        guard settled.state == .firing else { return }
        let fingerprint = settled.request.fingerprint
        if firings[fingerprint]?.id == id { firings[fingerprint]?.teller = .orchestrator }
        guard
            let next = pending.firstIndex(where: { $0.request.fingerprint == fingerprint && $0.state == .recovered })
        else { return }
        let recovery = pending[next]
        if recovery.isAcknowledged {
            pending.remove(at: next)
        } else {
            pending[next] = Pending(
                request: recovery.request, state: .recovered, since: recovery.since,
                lasted: settled.since.duration(to: recovery.since))
        }
    }

    private mutating func tellHere(_ late: Pending, into effects: inout [Effect]) {
        switch late.state {
        case .firing:
            firings[late.request.fingerprint]?.teller = .here
            effects.append(.fireHere(late.request))
        case .recovered:
            if let lasted = late.lasted {
                effects.append(.tellRecovery(late.request, lasted: lasted))
            } else {
                effects.append(.resolveHere(late.request))
            }
        }
    }
}
