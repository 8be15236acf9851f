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
        on bus: Bus, metrics: MetricsRegistry, heard: (ApprovedIntent) async -> Void
    ) async throws {
        let repeated = metrics.counter("intents_repeated_total", "Announcements of intents that were known.")
        var known = RecentIDs()
        for await delivery in try await bus.subscribe(to: Channels.intents) {
            guard case .message(let envelope, _) = delivery else {
                self()
                continue
            }
            if known.insert(envelope.body.intent.id.rawValue) {
                await heard(envelope.body.intent)
            } else {
                repeated.increment()
            }
        }
    }
}
