import Bus
import Domain
import Hosting
import Resilience
import Runtime
import Wire

/// Says when to look: at an interval, and at every piece of news.
///
/// News in between two looks are one wake-up.
struct WakeUps: Sendable {
    let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func callAsFunction() { continuation.yield() }

    /// Wakes at an interval, first at once.
    func tick(every interval: Duration, clock: MachineClock) async throws {
        while !Task.isCancelled {
            self()
            try await clock.sleep(for: interval)
        }
    }

    /// Wakes at every message and after every gap: both only say that there may be something.
    func follow<M: WireMessage>(_ channel: Channel<M>, on bus: Bus, seen: (M) -> Void = { _ in }) async throws {
        for await delivery in try await bus.subscribe(to: channel) {
            if case .message(let envelope, _) = delivery { seen(envelope.body) }
            self()
        }
    }

    /// Hands over every intent that was not heard of yet, and wakes after every gap.
    ///
    /// Announcements come at least once; a second copy is counted and dropped, since its intent has been looked at. If
    /// that look found it not to be due yet, the interval finds it again.
    func followIntents(
        _ news: IntentNews, on bus: Bus, heard: (ApprovedIntent) async -> Void
    ) async throws {
        for await delivery in try await bus.subscribe(to: Channels.intents) {
            guard case .message(let envelope, _) = delivery else {
                self()
                continue
            }
            if await news.announced(envelope.body.intent.id) { await heard(envelope.body.intent) }
        }
    }

    /// Hands over every hint; one that was missed is made good by the announcement, so a gap means nothing.
    func followHints(_ news: IntentNews, on bus: Bus, heard: (ApprovedIntent) async -> Void) async throws {
        for await delivery in try await bus.subscribe(to: Channels.intentHints) {
            guard case .message(let envelope, _) = delivery else { continue }
            let intent = envelope.body.intent
            if await news.hinted(intent.id) { await heard(intent) }
        }
    }
}

/// Which intents have been heard of: by a hint, which comes first, and by the announcement, which is sure to come.
actor IntentNews {
    private var heard = RecentIDs()
    private var announced = RecentIDs()
    /// Hints that were ahead of their commit, or of one that never came.
    private var unfounded: Set<IntentID> = []
    private let repeated: Counter

    init(metrics: MetricsRegistry) {
        repeated = metrics.counter("intents_repeated_total", "Announcements of intents that were known.")
    }

    /// - Returns: whether it is news.
    func hinted(_ intent: IntentID) -> Bool { isNew(intent) }

    /// Who looked found nothing that was due: what is said of it next is news again.
    func foundNothing(of intent: IntentID) {
        // Those that are forgotten are found by the sweep.
        if unfounded.count >= 1_000 { unfounded.removeAll() }
        unfounded.insert(intent)
    }

    private func isNew(_ intent: IntentID) -> Bool {
        let isUnfounded = unfounded.remove(intent) != nil
        return heard.insert(intent.rawValue) || isUnfounded
    }

    /// - Returns: whether it is news: neither a copy, nor hinted at before.
    func announced(_ intent: IntentID) -> Bool {
        if !announced.insert(intent.rawValue) { repeated.increment() }
        return isNew(intent)
    }
}
