import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// Where one consumer's position is kept across its own restarts.
///
/// Two processes that take turns at one work share a store; two that each do all of it do not.
public protocol PositionStore: Sendable {
    /// What was saved last; nil before the first save, or when it can no longer be read.
    func load() async throws -> JournalPosition?
    func save(_ position: JournalPosition) async throws
}

/// How far one consumer has come with what it was handed, and how much of that is saved.
///
/// A delivery counts as handled when the consumer asks for the next one.
final class DurableProgress: Sendable {
    /// A delivery that was handed out: where the subscription is behind it, and whose message it is.
    struct Step {
        let position: JournalPosition
        let mark: SequenceTracker.Mark?
    }

    private struct State {
        /// Handed out, not yet handled.
        var outstanding: Step?
        var cursor: JournalPosition
        /// What was handled of each publisher, for a journal that begins anew.
        var seen: SequenceTracker
        var version = 0
        var savedVersion = 0
        var isSaving = false
        var isOver = false

        var isSaved: Bool { version == savedVersion }
    }

    /// Publishers that a saved position remembers, with two lives each.
    static let sourcesKept = 256

    private let store: any PositionStore
    private let state: NIOLockedValueBox<State>

    init(store: any PositionStore, saved: JournalPosition) {
        self.store = store
        let seen = SequenceTracker(saved.seen, sourcesKept: Self.sourcesKept, incarnationsKept: 2)
        state = NIOLockedValueBox(State(cursor: saved, seen: seen))
    }

    /// The next delivery is handed out, so the one before is handled; nil while the consumer waits.
    func handOut(_ step: Step?) {
        state.withLockedValue { state in
            if let done = state.outstanding {
                state.cursor = done.position
                if let mark = done.mark {
                    _ = state.seen.observe(
                        source: mark.source, incarnation: mark.incarnation, sequence: mark.sequence)
                }
                state.version += 1
            }
            state.outstanding = step
        }
    }

    /// Nothing more will be handled; what is not saved yet still is.
    func end() { state.withLockedValue { $0.isOver = true } }

    var isDone: Bool { state.withLockedValue { $0.isOver && $0.isSaved } }
    var isSaved: Bool { state.withLockedValue { $0.isSaved } }

    /// Saves what is new; never two at once, so that an older position cannot overwrite a newer one.
    func save() async throws {
        let claim = state.withLockedValue { state -> (position: JournalPosition, version: Int)? in
            guard !state.isSaving, !state.isSaved else { return nil }
            state.isSaving = true
            return (state.cursor.remembering(state.seen.marks), state.version)
        }
        guard let claim else { return }
        let outcome: Result<Void, any Error>
        do {
            outcome = .success(try await store.save(claim.position))
        } catch {
            outcome = .failure(error)
        }
        state.withLockedValue { state in
            state.isSaving = false
            if case .success = outcome { state.savedVersion = claim.version }
        }
        try outcome.get()
    }
}

/// Saves the positions of all durable subscriptions of a process, at intervals and at its end.
final class PositionKeeper: Sendable {
    private let clock: MachineClock
    private let log: Logger
    private let metrics: BusMetrics
    /// One for each durable subscription that lives or has something to save.
    private let entries = NIOLockedValueBox<[DurableProgress]>([])

    init(clock: MachineClock, log: Logger, metrics: BusMetrics) {
        self.clock = clock
        self.log = log
        self.metrics = metrics
    }

    func add(_ progress: DurableProgress) { entries.withLockedValue { $0.append(progress) } }

    /// Tries once for each; a failure is tried again the next time.
    func saveAll() async {
        for progress in entries.withLockedValue({ $0 }) {
            do {
                try await progress.save()
            } catch {
                // Only the start of the next life is older then: what it sees again it drops or knows.
                metrics.positionFailures.increment()
                log.debug("journal position not saved", metadata: [Key.reason: "\(error)"])
            }
        }
        entries.withLockedValue { $0.removeAll(where: \.isDone) }
    }

    /// Saves until all is saved, at most for `limit`.
    func drain(within limit: Duration) async {
        let end = clock.now.advanced(by: limit)
        while true {
            await saveAll()
            let isSaved = entries.withLockedValue { $0.allSatisfy(\.isSaved) }
            guard !isSaved, clock.now < end, !Task.isCancelled else { return }
            // Thrown only by cancellation, which the loop sees.
            try? await clock.sleep(for: .milliseconds(20))
        }
    }
}
