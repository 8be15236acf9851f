import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// Keeps what is subscribed to (observed) equal to what is asked for (desired), and hands messages to the queues.
///
/// One task per connection sends SUBSCRIBE and UNSUBSCRIBE and waits for each acknowledgement before the next, so the
/// two can never overtake each other. After a reconnect nothing is observed, and the same code subscribes to all again.
final class SubscriptionHub: Sendable {
    private struct Entry {
        let targets: Set<SubscriptionTarget>
        let queue: SubscriptionQueue
        /// Whether every target is acknowledged on the present connection.
        var isLive = false
        /// Callers of `waitUntilLive`.
        var waiter: CheckedContinuation<Void, any Error>?
    }

    private struct State {
        var nextID: UInt64 = 0
        var entries: [UInt64: Entry] = [:]
        var subscribers: [SubscriptionTarget: [UInt64]] = [:]
        /// Acknowledged on the present connection; empty without one.
        var observed: Set<SubscriptionTarget> = []
        /// Refused by the server on the present connection.
        var refused: [SubscriptionTarget: RedisError] = [:]
        var wake: AsyncStream<Void>.Continuation?
    }

    private static let chunk = 512

    private let settings: RedisSettings
    private let log: Logger
    private let dropped: Counter
    private let state = NIOLockedValueBox(State())

    /// `dropped` counts messages that no queue could keep.
    init(settings: RedisSettings, log: Logger, dropped: Counter) {
        self.settings = settings
        self.log = log
        self.dropped = dropped
    }

    /// Names asked for and names acknowledged.
    var counts: (desired: Int, observed: Int) {
        state.withLockedValue { ($0.subscribers.count, $0.observed.count) }
    }

    /// Messages that fell into a gap on this side.
    var droppedMessages: Int { dropped.value }

    // MARK: What is asked for

    func add(_ targets: Set<SubscriptionTarget>) -> (id: UInt64, queue: SubscriptionQueue) {
        let queue = SubscriptionQueue(
            limit: settings.queueLimit, byteLimit: settings.queueByteLimit, dropped: dropped)
        return state.withLockedValue { state in
            let id = state.nextID
            state.nextID += 1
            state.entries[id] = Entry(targets: targets, queue: queue)
            for target in targets { state.subscribers[target, default: []].append(id) }
            settle([id], &state)
            state.wake?.yield()
            return (id, queue)
        }
    }

    func remove(_ id: UInt64) {
        let entry = state.withLockedValue { state -> Entry? in
            guard let entry = state.entries.removeValue(forKey: id) else { return nil }
            for target in entry.targets {
                state.subscribers[target]?.removeAll { $0 == id }
                if state.subscribers[target]?.isEmpty == true {
                    state.subscribers[target] = nil
                    state.refused[target] = nil
                }
            }
            state.wake?.yield()
            return entry
        }
        entry?.queue.finish()
        entry?.waiter?.resume(throwing: RedisError(.notAcknowledged, "the subscription was cancelled"))
    }

    /// Waits for the acknowledgement of every target; ends early when `remove` is called.
    func waitUntilLive(_ id: UInt64) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome = state.withLockedValue { state -> Result<Void, any Error>? in
                    guard let entry = state.entries[id] else {
                        return .failure(RedisError(.notAcknowledged, "the subscription was cancelled"))
                    }
                    if entry.isLive { return .success(()) }
                    if let refusal = entry.targets.compactMap({ state.refused[$0] }).first {
                        return .failure(refusal)
                    }
                    state.entries[id]?.waiter = continuation
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
                if Task.isCancelled { remove(id) }
            }
        } onCancel: {
            remove(id)
        }
    }

    // MARK: What is there

    /// Called on the event loop, once per read.
    func deliver(_ messages: RedisMessages) {
        let routes = state.withLockedValue { state in
            messages.origins.map { origin in
                (state.subscribers[origin.target] ?? []).compactMap { state.entries[$0]?.queue }
            }
        }
        // The rule: all of a read has one way to go, and is shared by those who get it.
        if let first = routes.first, routes.allSatisfy({ $0.elementsEqual(first, by: ===) }) {
            for queue in first { queue.push(messages) }
            return
        }
        for share in SubscriptionShare.shares(of: messages, routes) { share.queue.push(share.messages) }
    }

    /// Serves one connection until it fails.
    func serve(_ connection: RedisConnection) async -> RedisError {
        let (signals, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        state.withLockedValue { $0.wake = wake }
        defer { connectionLost() }
        wake.yield()
        for await _ in signals {
            do {
                while let step = nextStep() { try await carryOut(step, on: connection) }
            } catch {
                return error as? RedisError ?? RedisError(.connectionLost, "\(error)")
            }
        }
        return RedisError(.cancelled, "the subscriptions were stopped")
    }

    private func connectionLost() {
        state.withLockedValue { state in
            state.observed = []
            state.refused = [:]
            state.wake = nil
            for id in state.entries.keys {
                state.entries[id]?.isLive = false
                state.entries[id]?.queue.interrupt()
            }
        }
    }

    private struct Step {
        let command: String
        let targets: [SubscriptionTarget]
        let subscribes: Bool
        /// The server's own count of this connection's names once the step is done.
        let countAfter: Int
    }

    /// The next difference between desired and observed; what is unsubscribed stops being observed at once.
    private func nextStep() -> Step? {
        state.withLockedValue { state in
            for isPattern in [false, true] {
                let kind = isPattern ? "PSUBSCRIBE" : "SUBSCRIBE"
                let missing = state.subscribers.keys.filter { target in
                    target.isPattern == isPattern && !state.observed.contains(target)
                        && state.refused[target] == nil
                }
                if !missing.isEmpty {
                    let targets = Array(missing.sorted().prefix(Self.chunk))
                    let count = state.observed.count + targets.count
                    return Step(command: kind, targets: targets, subscribes: true, countAfter: count)
                }
                let extra = state.observed.filter { $0.isPattern == isPattern && state.subscribers[$0] == nil }
                if !extra.isEmpty {
                    let targets = Array(extra.sorted().prefix(Self.chunk))
                    state.observed.subtract(targets)
                    return Step(
                        command: isPattern ? "PUNSUBSCRIBE" : "UNSUBSCRIBE", targets: targets, subscribes: false,
                        countAfter: state.observed.count)
                }
            }
            return nil
        }
    }

    private func carryOut(_ step: Step, on connection: RedisConnection) async throws {
        let names = step.targets.map { RedisArgument.bytes($0.name) }
        do {
            let last = try await connection.send(
                [.text(step.command)] + names, replies: names.count, timeout: settings.commandTimeout)
            guard let count = last.array?.last?.integer, count == Int64(step.countAfter) else {
                throw RedisError(.protocolViolation, "the server counts other subscriptions than this client")
            }
            if step.subscribes { acknowledged(step.targets) }
        } catch let error as RedisError where error.code == .permissionDenied {
            try await refused(step, error, on: connection)
        }
    }

    private func acknowledged(_ targets: [SubscriptionTarget]) {
        state.withLockedValue { state in
            state.observed.formUnion(targets)
            settle(Set(targets.flatMap { state.subscribers[$0] ?? [] }).sorted(), &state)
        }
    }

    /// The server refuses a command as a whole: find the name it refuses, keep the others.
    private func refused(_ step: Step, _ error: RedisError, on connection: RedisConnection) async throws {
        guard step.subscribes else { throw error }
        if step.targets.count > 1 {
            for target in step.targets {
                let count = state.withLockedValue { $0.observed.count } + 1
                let single = Step(command: step.command, targets: [target], subscribes: true, countAfter: count)
                try await carryOut(single, on: connection)
            }
            return
        }
        log.error("redis subscription refused", metadata: [Key.code: "\(error.code.rawValue)"])
        let waiters = state.withLockedValue { state in
            // Kept for callers that do not wait yet.
            for target in step.targets { state.refused[target] = error }
            let affected = state.entries.keys.filter { id in
                state.entries[id]?.targets.isDisjoint(with: step.targets) == false
            }
            return affected.compactMap { id -> CheckedContinuation<Void, any Error>? in
                state.entries[id]?.waiter.take()
            }
        }
        for waiter in waiters { waiter.resume(throwing: error) }
    }

    /// Marks what has become live; a subscription that was live before gets its gap.
    private func settle(_ ids: [UInt64], _ state: inout State) {
        for id in ids {
            guard let entry = state.entries[id], !entry.isLive, entry.targets.isSubset(of: state.observed) else {
                continue
            }
            state.entries[id]?.isLive = true
            state.entries[id]?.waiter = nil
            entry.queue.resume()
            entry.waiter?.resume()
        }
    }
}
