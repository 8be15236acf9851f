import Alerting
import Bus
import Domain
import Logging
import NIOConcurrencyHelpers
import Runtime
import Wire

/// How a service tells operators: through the orchestrator, and by itself when nobody takes the alert in time.
///
/// The shell of `AlertHandover`. `fire` and `resolve` never wait, so they may be called on the trading path.
public final class ServiceAlerts: Sendable {
    private struct Core: Sendable {
        var handover: AlertHandover
        var publishing: [(request: AlertRequest, state: Alert.State)] = []
        var waker: AsyncStream<Void>.Continuation?
        var serial = 0
        var isListening = false
    }

    /// The service's own file and sinks; the orchestrator's are those of the suite.
    public let dispatcher: AlertDispatcher
    private let role: AlertDispatcher.Role
    private let source: String
    private let bus: Bus
    private let clock: MachineClock
    private let wall: WallClock
    private let log: Logger
    private let unpublished: Counter
    private let core: NIOLockedValueBox<Core>

    /// The most alerts that wait for the bus; the orchestrator does not hear of further ones, and they are told here.
    static let publishLimit = 1_000

    init(
        _ settings: AlertSettings, source: String, role: AlertDispatcher.Role, bus: Bus, in context: ProcessContext
    ) {
        self.source = source
        self.role = role
        self.bus = bus
        clock = context.clock
        wall = context.wallClock
        log = context.log
        unpublished = context.metrics.counter("alerts_unpublished_total", "Alerts that could not be said on the bus.")
        core = NIOLockedValueBox(Core(handover: AlertHandover(timeout: settings.acknowledgementTimeout)))
        dispatcher = AlertDispatcher(
            settings: settings, source: source, role: role, clock: context.clock, wall: context.wallClock,
            random: context.random, log: context.log, metrics: context.metrics)
    }

    /// Adds the parts, the last words of the drain, and the settings that SIGHUP reads again.
    func start(in context: ProcessContext) {
        context.supervisor.add("alerts", .bestEffort) { [dispatcher] in try await dispatcher.run() }
        context.onReload("alerts") {
            AlertSettings($0)
        } apply: { [dispatcher] in
            dispatcher.apply($0)
        }
        context.supervisor.onDrain("alerts") { [dispatcher, core, clock] in
            let end = clock.now.advanced(by: .seconds(3))
            while clock.now < end, core.withLockedValue({ $0.handover.waiting > 0 }) {
                // Cancelled: what was told to nobody is on the bus's outbox.
                guard (try? await clock.sleep(for: .milliseconds(20))) != nil else { return }
            }
            await dispatcher.drain(within: clock.now.duration(to: end))
        }
        guard role == .fallback else { return }
        context.supervisor.add("alert-handover", .bestEffort) { try await self.handOver() }
        context.supervisor.add("alert-acknowledgements", .bestEffort) { try await self.listen() }
    }

    // MARK: - What the service says

    /// Something is wrong, or still is; `isLasting` is false for what merely happened and has no recovery.
    ///
    /// An `id` names the event wherever it is told from: what was told under it is not told again.
    public func fire(
        _ kind: String, fingerprint: String, _ summary: String, fields: [String: String] = [:],
        severity: AlertSeverity = .critical, isLasting: Bool = true, id: String? = nil
    ) {
        let request = AlertRequest(
            id: id ?? newID(), kind: kind, severity: severity, fingerprint: fingerprint, summary: summary,
            detail: fields, source: source, at: wall.microseconds, isLasting: isLasting)
        role == .main ? dispatcher.fire(request) : take(.fire(request))
    }

    /// It is gone; harmless when it was not there.
    public func resolve(_ fingerprint: String, kind: String, _ summary: String) {
        guard role == .fallback else { return dispatcher.resolve(fingerprint, summary) }
        take(
            .resolve(
                AlertRequest(
                    id: newID(), kind: kind, fingerprint: fingerprint, summary: summary, source: source,
                    at: wall.microseconds)))
    }

    private func newID() -> String {
        let serial = core.withLockedValue { core in
            core.serial += 1
            return core.serial
        }
        return "\(source)/\(wall.microseconds)/\(serial)"
    }

    /// Alerts that wait for the orchestrator's word.
    public var waiting: Int { core.withLockedValue { $0.handover.waiting } }
    /// Whether the orchestrator's word can be heard.
    var isListening: Bool { core.withLockedValue { $0.isListening } }

    /// Waits until alerts that were fired are in the orchestrator's file or in ours.
    ///
    /// - Returns: false when that takes longer than `limit`.
    public func areKept(_ ids: Set<String>, within limit: Duration) async -> Bool {
        let end = clock.now.advanced(by: limit)
        while core.withLockedValue({ $0.handover.isWaiting(for: ids) }) {
            guard clock.now < end, (try? await clock.sleep(for: .milliseconds(20))) != nil else { return false }
        }
        return await dispatcher.stored(within: max(.zero, clock.now.duration(to: end)))
    }

    // MARK: - The handover

    private func take(_ event: AlertHandover.Event) {
        // Under one lock with the decision, so that a recovery cannot overtake its firing.
        let waker = core.withLockedValue { core in
            for effect in core.handover.handle(event, at: clock.now) {
                switch effect {
                case .publish(let request, let state):
                    if core.publishing.count < Self.publishLimit {
                        core.publishing.append((request, state))
                    } else {
                        unpublished.increment()
                    }
                case .fireHere(let request): dispatcher.fire(request)
                case .resolveHere(let request): dispatcher.resolve(request.fingerprint, request.summary)
                case .tellRecovery(let request, let lasted): dispatcher.tellRecovery(of: request, lasted: lasted)
                }
            }
            return core.waker
        }
        waker?.yield()
    }

    /// Says on the bus what waits, and watches the time; a bus that hangs holds up only what it is told.
    private func handOver() async throws {
        let (wakes, waker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        core.withLockedValue { $0.waker = waker }
        waker.yield()
        let (toBus, busWaker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                for await _ in toBus {
                    while let next = self.nextToPublish() { await self.publish(next.request, next.state) }
                }
            }
            tasks.addTask {
                for await _ in wakes {
                    busWaker.yield()
                    while let due = self.core.withLockedValue({ $0.handover.nextDeadline }) {
                        let pause = min(self.clock.now.duration(to: due), .milliseconds(100))
                        try await self.clock.sleep(for: max(pause, .milliseconds(5)))
                        busWaker.yield()
                        if due <= self.clock.now { self.take(.tick) }
                    }
                }
            }
            try await tasks.next()
            tasks.cancelAll()
        }
    }

    private func nextToPublish() -> (request: AlertRequest, state: Alert.State)? {
        core.withLockedValue { $0.publishing.isEmpty ? nil : $0.publishing.removeFirst() }
    }

    private func publish(_ request: AlertRequest, _ state: Alert.State) async {
        do {
            let alert = SystemAlert(
                id: try AlertID(request.id), kind: request.kind, fingerprint: request.fingerprint,
                state: state == .firing ? .firing : .recovered, summary: request.summary, detail: request.detail,
                at: request.at, severity: request.severity.rawValue, lasting: request.isLasting)
            _ = try await bus.publish(alert, on: Channels.alerts)
        } catch {
            unpublished.increment()
            log.warning("alert not published", metadata: [Key.kind: "\(request.kind)", Key.error: "\(error)"])
        }
    }

    private func listen() async throws {
        let acknowledgements = try await bus.subscribe(to: Channels.alertAcknowledgements)
        core.withLockedValue { $0.isListening = true }
        for await delivery in acknowledgements {
            // A gap may have held the word for one of ours: it is told here then, and perhaps twice.
            guard case .message(let envelope, _) = delivery else { continue }
            for id in envelope.body.ids { take(.acknowledged(id: id.rawValue)) }
        }
    }
}
