import Logging
import NIOConcurrencyHelpers
import Redis
import Resilience
import Runtime

/// How the bus does from end to end, as its canary last found it.
public struct CanaryStatus: Hashable, Sendable {
    /// What this process publishes comes back to it.
    public let isHealthy: Bool
    /// Why it is not healthy.
    public let reason: String?
    /// When the last canary came back, nil before the first.
    public let lastEcho: MachineInstant?
    /// How long that one took.
    public let roundTrip: Duration?
    public let sent: Int
    public let missed: Int
    /// Subscription connections replaced because a canary did not come back.
    public let recycled: Int
    /// Canaries of another process of the same name: two instances must not share one.
    public let foreign: Int
}

/// Sends a small hint to itself and expects it back: the one proof that a subscription is not deaf (PITFALLS 5.5,
/// 5.20, 5.44), whatever its socket says.
///
/// A canary that the server handed to nobody, or two in a row that did not come back, replace the connection of the
/// subscriptions: their subscribers get a gap instead of silence.
final class Canary: Sendable {
    private struct State {
        var sent: Int64 = 0
        var awaited: (number: Int64, echo: Promise<Bool>)?
        var missed = 0
        var missedInARow = 0
        var recycled = 0
        var foreign = 0
        var foreignLife: String?
        var lastEcho: MachineInstant?
        var roundTrip: Duration?
        var failure: String? = "no canary has come back yet"
        /// The subscription connection on which the canary's channel was last acknowledged.
        var liveOn: Int?
    }

    private let client: RedisClient
    private let channel: String
    private let incarnation: String
    private let settings: BusSettings
    private let clock: MachineClock
    private let log: Logger
    private let metrics: BusMetrics
    private let state = NIOLockedValueBox(State())
    /// Asks for a canary now; one is enough however often it is asked for.
    private let (due, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    init(
        client: RedisClient, identity: BusIdentity, settings: BusSettings, clock: MachineClock, log: Logger,
        metrics: BusMetrics
    ) {
        self.client = client
        channel = "bus:canary:\(identity.source)"
        incarnation = identity.incarnation.rawValue
        self.settings = settings
        self.clock = clock
        self.log = log
        self.metrics = metrics
    }

    var status: CanaryStatus {
        state.withLockedValue { state in
            CanaryStatus(
                isHealthy: state.failure == nil, reason: state.failure, lastEcho: state.lastEcho,
                roundTrip: state.roundTrip, sent: Int(state.sent), missed: state.missed, recycled: state.recycled,
                foreign: state.foreign)
        }
    }

    /// Does not wait for the interval: a connection is new.
    func hurry() { wake.yield() }

    /// Sends until the task is cancelled.
    func run() async throws {
        let subscription = try await subscribed()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.listen(subscription) }
            tasks.addTask {
                while true {
                    self.hurry()
                    try await self.clock.sleep(for: self.settings.canaryInterval)
                }
            }
            tasks.addTask {
                for await _ in self.due { await self.send() }
            }
            try await tasks.waitForAll()
        }
    }

    private func subscribed() async throws -> RedisSubscription {
        while true {
            do {
                let subscription = try await client.subscribe(to: [channel], timeout: .seconds(10))
                noteLive()
                return subscription
            } catch let error as RedisError {
                found("not subscribed: \(error)")
                // A login that may not listen to itself is asked again too: rights can be given while we run.
                try await clock.sleep(for: .seconds(1))
            }
        }
    }

    private func listen(_ subscription: RedisSubscription) async {
        for await delivery in subscription {
            switch delivery {
            case .messages(let messages):
                for message in messages { hear(String(decoding: message.payload, as: UTF8.self)) }
            case .gap:
                noteLive()
                hurry()
            }
        }
    }

    private func noteLive() {
        let connection = client.status.subscriptions.reconnects
        state.withLockedValue { $0.liveOn = connection }
    }

    /// Whether the subscription is said to be live now, so that a canary must come back.
    private var isSaidToBeLive: Bool {
        let link = client.status.subscriptions
        return link.isConnected && state.withLockedValue { $0.liveOn } == link.reconnects
    }

    private func hear(_ text: String) {
        let words = text.split(separator: " ")
        guard words.count == 2, let number = Int64(words[1]) else { return }
        if words[0] == incarnation {
            state.withLockedValue { $0.awaited?.number == number ? $0.awaited?.echo : nil }?.fulfil(true)
            return
        }
        let isNew = state.withLockedValue { state in
            state.foreign += 1
            defer { state.foreignLife = String(words[0].prefix(128)) }
            return state.foreignLife != String(words[0].prefix(128))
        }
        metrics.canaryForeign.increment()
        if isNew { log.warning("another process has this name", metadata: [Key.channel: "\(channel)"]) }
    }

    private func send() async {
        // Not live yet is not deaf: a canary that nobody can hear says nothing.
        guard isSaidToBeLive else { return found("the subscriptions are not live") }
        let echo = Promise<Bool>()
        let number = state.withLockedValue { state in
            state.sent += 1
            state.awaited = (state.sent, echo)
            return state.sent
        }
        let began = clock.now
        metrics.canarySent.increment()
        do {
            let receivers = try await client.publish("\(incarnation) \(number)", on: channel)
            guard receivers > 0 else { return missed("the server handed it to nobody", replacesAtOnce: true) }
            _ = try await withDeadline(settings.canaryTimeout, clock: clock) { await echo.value() }
            returned(after: clock.now.since(began))
        } catch is DeadlineExceeded {
            missed("it did not come back within \(settings.canaryTimeout)", replacesAtOnce: false)
        } catch let error as RedisError {
            // Not the subscriptions' fault, and their own PING tells of a dead server.
            found("it could not be sent: \(error)")
        } catch {
            // Cancelled, which the caller's loop sees.
        }
        // Lets go of whoever still waits for it.
        echo.fulfil(false)
    }

    private func returned(after roundTrip: Duration) {
        state.withLockedValue { state in
            state.missedInARow = 0
            state.lastEcho = clock.now
            state.roundTrip = roundTrip
        }
        found(nil)
    }

    private func missed(_ reason: String, replacesAtOnce: Bool) {
        // The connection was lost meanwhile: nothing can be concluded, and a new one is on its way.
        guard isSaidToBeLive else { return found("the subscriptions are not live") }
        metrics.canaryMissed.increment()
        let replaces = state.withLockedValue { state in
            state.missed += 1
            state.missedInARow += 1
            guard replacesAtOnce || state.missedInARow >= 2 else { return false }
            state.missedInARow = 0
            state.recycled += 1
            // Not again before it is live on the next connection.
            state.liveOn = nil
            return true
        }
        found(reason)
        guard replaces else { return }
        metrics.recycled.increment()
        client.recycleSubscriptions("the canary of \(channel) is missing: \(reason)")
    }

    /// Notes the outcome; only a change is worth a line.
    private func found(_ failure: String?) {
        let before = state.withLockedValue { state in
            defer { state.failure = failure }
            return state.failure
        }
        metrics.canaryHealthy.set(failure == nil)
        switch (before, failure) {
        case (nil, let failure?):
            log.warning("canary missing", metadata: [Key.channel: "\(channel)", Key.reason: "\(failure)"])
        case (_?, nil): log.info("canary is back", metadata: [Key.channel: "\(channel)"])
        default: break
        }
    }
}
