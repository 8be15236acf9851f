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
        /// The queues of the subscribers, in the same order.
        var queues: [SubscriptionTarget: [SubscriptionQueue]] = [:]
        /// Acknowledged on the present connection; empty without one.
        var observed: Set<SubscriptionTarget> = []
        /// Refused by the server on the present connection.
        var refused: [SubscriptionTarget: RedisError] = [:]
        /// Subscriptions that miss messages, and since when the first of them does.
        var interrupted: Set<UInt64> = []
        var gapSince: MachineInstant?
        var wake: AsyncStream<Void>.Continuation?

        /// - Returns: when the gap began, if that was the last subscription in it.
        mutating func isOver(for id: UInt64) -> MachineInstant? {
            guard interrupted.remove(id) != nil, interrupted.isEmpty else { return nil }
            return gapSince.take()
        }
    }

    private static let chunk = 512

    /// How long to wait before a server that is loading or busy is asked again.
    private static let retryInterval = Duration.milliseconds(100)

    private let settings: RedisSettings
    private let clock: MachineClock
    private let events: RedisEvents
    private let dropped: Counter
    private let state = NIOLockedValueBox(State())

    /// `dropped` counts messages that no queue could keep.
    init(settings: RedisSettings, clock: MachineClock, events: RedisEvents, dropped: Counter) {
        self.settings = settings
        self.clock = clock
        self.events = events
        self.dropped = dropped
    }

    /// Names asked for, names acknowledged, and those asked for that are not.
    var counts: (desired: Int, observed: Int, missing: Int) {
        state.withLockedValue { state in
            let missing = state.subscribers.keys.count { !state.observed.contains($0) }
            return (state.subscribers.count, state.observed.count, missing)
        }
    }

    /// Since when subscriptions miss messages.
    var gapSince: MachineInstant? { state.withLockedValue { $0.gapSince } }

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
            for target in targets {
                state.subscribers[target, default: []].append(id)
                state.queues[target, default: []].append(queue)
            }
            // A new subscription is in no gap, so none can end here.
            _ = settle([id], &state)
            state.wake?.yield()
            return (id, queue)
        }
    }

    func remove(_ id: UInt64) {
        let (entry, gap) = state.withLockedValue { state -> (Entry?, MachineInstant?) in
            guard let entry = state.entries.removeValue(forKey: id) else { return (nil, nil) }
            for target in entry.targets {
                state.subscribers[target]?.removeAll { $0 == id }
                state.queues[target]?.removeAll { $0 === entry.queue }
                if state.subscribers[target]?.isEmpty == true {
                    state.subscribers[target] = nil
                    state.queues[target] = nil
                    state.refused[target] = nil
                }
            }
            state.wake?.yield()
            return (entry, state.isOver(for: id))
        }
        reportEnd(of: gap)
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
        if messages.origins.count == 1 {
            let target = messages.origins[0].target
            for queue in state.withLockedValue({ $0.queues[target] }) ?? [] { queue.push(messages) }
            return
        }
        let routes = state.withLockedValue { state in messages.origins.map { state.queues[$0.target] ?? [] } }
        // As a rule all of a read has one way to go, and is shared by those who get it.
        if let first = routes.first, routes.allSatisfy({ $0.elementsEqual(first, by: ===) }) {
            for queue in first { queue.push(messages) }
            return
        }
        for share in SubscriptionShare.shares(of: messages, routes) { share.queue.push(share.messages) }
    }

    /// Serves one connection until it fails; `lastHeard` says when it last showed life.
    func serve(_ connection: RedisConnection, lastHeard: () -> MachineInstant?) async -> RedisError {
        let (signals, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        state.withLockedValue { $0.wake = wake }
        defer { connectionLost(lastHeard: lastHeard() ?? clock.now) }
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

    private func connectionLost(lastHeard: MachineInstant) {
        let opened = state.withLockedValue { state -> RedisEvent? in
            for (id, entry) in state.entries where entry.isLive || !entry.targets.isDisjoint(with: state.observed) {
                state.entries[id]?.isLive = false
                state.interrupted.insert(id)
                entry.queue.interrupt()
            }
            state.observed = []
            state.refused = [:]
            state.wake = nil
            guard state.gapSince == nil, !state.interrupted.isEmpty else { return nil }
            state.gapSince = lastHeard
            return .gapOpened(since: lastHeard, subscriptions: state.interrupted.count)
        }
        if let opened { events.emit(opened) }
    }

    private func reportEnd(of gap: MachineInstant?) {
        if let gap { events.emit(.gapClosed(after: clock.now.since(gap))) }
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
        } catch let error as RedisError where error.reaction == .wait {
            // Nothing has changed at the server: the next look at the difference finds it again.
            if !step.subscribes { acknowledged(step.targets) }
            try await clock.sleep(for: Self.retryInterval)
        }
    }

    private func acknowledged(_ targets: [SubscriptionTarget]) {
        let gap = state.withLockedValue { state in
            state.observed.formUnion(targets)
            return settle(Set(targets.flatMap { state.subscribers[$0] ?? [] }).sorted(), &state)
        }
        reportEnd(of: gap)
    }

    /// Asks again for what the server refused: it may be permitted by now.
    func retryRefused() {
        state.withLockedValue { state in
            guard !state.refused.isEmpty else { return }
            state.refused = [:]
            state.wake?.yield()
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
        events.emit(.subscriptionRefused(error.code), error)
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
    ///
    /// - Returns: when the gap of all began, if it is over.
    private func settle(_ ids: [UInt64], _ state: inout State) -> MachineInstant? {
        var over: MachineInstant?
        for id in ids {
            guard let entry = state.entries[id], !entry.isLive, entry.targets.isSubset(of: state.observed) else {
                continue
            }
            state.entries[id]?.isLive = true
            state.entries[id]?.waiter = nil
            entry.queue.resume()
            entry.waiter?.resume()
            over = over ?? state.isOver(for: id)
        }
        return over
    }
}
