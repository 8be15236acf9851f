import Domain
import GameShardEngine
import Hosting
import Logging
import Resilience
import Runtime
import Venues

/// The books of a replay's step, until the step is worked off as a whole.
///
/// Frames come in whatever portions the machine makes of them; decisions must not depend on that (DESIGN rule 12).
struct StepBooks: Sendable {
    private var books: [MarketID: ShardEvent] = [:]
    private var confirmed: [Venue: VenueInstant] = [:]

    /// Markets whose books have arrived and wait for the step.
    var arrived: Set<MarketID> {
        Set(books.filter { if case .bookUpdated = $0.value { true } else { false } }.keys)
    }

    /// Takes what a feed said; of a market only the newest word counts.
    mutating func add(_ event: ShardEvent) {
        switch event {
        case .bookUpdated(let market, _, _): books[market] = event
        case .booksInvalidated(let markets): for market in markets { books[market] = .booksInvalidated([market]) }
        case .booksConfirmed(let venue, let at): confirmed[venue] = max(confirmed[venue] ?? at, at)
        default: preconditionFailure("not of a feed: \(event)")
        }
    }

    /// Everything since the last call, in an order of its own.
    mutating func take() -> [ShardEvent] {
        defer {
            books = [:]
            confirmed = [:]
        }
        return books.sorted { $0.key < $1.key }.map(\.value)
            + confirmed.sorted { $0.key.rawValue < $1.key.rawValue }.map { .booksConfirmed($0.key, at: $0.value) }
    }
}

/// Works a replay off step by step: all its frames, then its scores, then what follows from the signals.
///
/// The replay does not leave a step before that, so the same recording gives the same trades at any speed and on any
/// machine (decision 0011). Every wait is bounded and counted: a bound that is hit may change what is traded.
struct ReplaySteps: Sendable {
    private static let look = Duration.milliseconds(5)
    /// For frames that a step sent before it showed its scores.
    private static let framesBound = Duration.seconds(2)
    /// For the order that a signal leads to; the venue answers a lost one only after seconds.
    private static let ordersBound = Duration.seconds(15)
    /// A reader that is silent for longer than a few seconds counts as gone.
    private static let aliveEvery = Duration.milliseconds(500)

    let host: ServiceHost
    let books: any MarketFeed
    let watcher: GameWatcher
    let store: ShardStore

    /// `stayAlive` is called now and then while it takes long.
    func workOff(_ states: [GameState], at step: VenueInstant, stayAlive: @Sendable () async -> Void) async throws {
        count("frames", try await untilFramesArrived(step))
        let signals = await watcher.workOff(states)
        if !signals.isEmpty { count("orders", try await untilAnswered(signals, stayAlive)) }
    }

    /// Asks for a PONG: what was sent before it has arrived when it comes.
    private func untilFramesArrived(_ step: VenueInstant) async throws -> Bool {
        let deadline = host.clock.now.advanced(by: Self.framesBound)
        while host.clock.now < deadline {
            if let arrived = await watcher.arrivedUpTo, arrived >= step { return true }
            // Without a connection there is nothing to wait for: its books are invalid.
            guard books.probe() else { return true }
            try await host.clock.sleep(for: Self.look)
        }
        return false
    }

    private func untilAnswered(_ signals: [SignalID], _ stayAlive: @Sendable () async -> Void) async throws -> Bool {
        let deadline = host.clock.now.advanced(by: Self.ordersBound)
        var alive = host.clock.now
        while host.clock.now < deadline {
            do {
                if try await store.areAnswered(signals) { return true }
            } catch {
                try Task.checkCancellation()
                host.log.debug("signals not looked up", metadata: [Key.reason: "\(error)"])
            }
            if host.clock.now.since(alive) > Self.aliveEvery {
                alive = host.clock.now
                await stayAlive()
            }
            try await host.clock.sleep(for: Self.look)
        }
        return false
    }

    private func count(_ wait: String, _ isMet: Bool) {
        host.context.metrics
            .counter(
                "shard_replay_waits_total", "Waits of a replay's steps, by what for and whether it came.",
                labels: ["wait": wait, "met": "\(isMet)"]
            ).increment()
    }
}
