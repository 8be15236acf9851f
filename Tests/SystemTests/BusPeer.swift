import Bus
import Domain
import Logging
import NIOConcurrencyHelpers
import Redis
import Resilience
import Runtime
import TestKit
import Wire

/// What was heard on a channel since the subscription.
final class Inbox<Message: WireMessage>: Sendable {
    private let heard = NIOLockedValueBox<[Message]>([])

    var all: [Message] { heard.withLockedValue { $0 } }

    fileprivate func put(_ message: Message) { heard.withLockedValue { $0.append(message) } }
}

/// The test's own place on a real bus.
final class BusPeer: Sendable {
    let bus: Bus
    let client: RedisClient
    private let tasks = NIOLockedValueBox<[Task<Void, Never>]>([])

    init(_ url: String, as source: String = "test/peer") throws {
        let reader = SettingsReader(
            environment: [
                "REDIS_URL": url, "REDIS_RECONNECT_BASE_DELAY_MS": "50", "REDIS_RECONNECT_MAX_DELAY_MS": "200",
            ])
        let log = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let client = RedisClient(
            settings: RedisSettings(reader), name: source, clock: .real, random: .system, log: log,
            metrics: MetricsRegistry())
        try reader.finish()
        self.client = client
        bus = Bus(
            client: client, identity: BusIdentity(source: source, incarnation: "peer"), clock: .real, log: log,
            metrics: MetricsRegistry())
        // Both end by the cancellation in `stop`; their errors are that cancellation.
        spawn { [client] in try? await client.run() }
        spawn { [bus] in try? await bus.run() }
    }

    /// Runs until `stop`.
    func spawn(_ body: @escaping @Sendable () async -> Void) {
        let task = Task { await body() }
        tasks.withLockedValue { $0.append(task) }
    }

    func follow<M: WireMessage>(_ subscription: Subscription<M>, _ take: @escaping @Sendable (M) async -> Void) {
        spawn {
            for await delivery in subscription {
                if case .message(let envelope, _) = delivery { await take(envelope.body) }
            }
        }
    }

    func listen<M: WireMessage>(to channel: Channel<M>) async throws -> Inbox<M> {
        let inbox = Inbox<M>()
        follow(try await bus.subscribe(to: channel)) { inbox.put($0) }
        return inbox
    }

    func stop() async {
        let tasks = tasks.withLockedValue { $0 }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }
}

/// A shard that does what the test says, on a real bus.
final class ScriptedShard: Sendable {
    struct State: Sendable {
        var incarnation: Incarnation = "life-1"
        var startedAt: Int64 = 1_000_000
        var status = ServiceStatus.healthy
        var checks = ["redis": true]
        var games: [GameID: Epoch] = [:]
        var capacity = 20
        var isSilent = false
        /// Whether it takes up what it is given.
        var obeys = true
        fileprivate var beat: Int64 = 0
    }

    let id: ShardID
    private let peer: BusPeer
    private let state = NIOLockedValueBox(State())

    init(_ id: ShardID, on peer: BusPeer) async throws {
        self.id = id
        self.peer = peer
        peer.follow(try await peer.bus.subscribe(to: Channels.commands(id))) { [state] command in
            let obeys = state.withLockedValue { state in
                guard state.obeys, !state.isSilent else { return false }
                if case .assign = command.order {
                    state.games[command.game] = command.epoch
                } else {
                    state.games[command.game] = nil
                }
                return true
            }
            guard obeys else { return }
            // What is lost is sent again.
            _ = try? await peer.bus.publish(
                CommandAcknowledgement(
                    command: command.id, shard: id, game: command.game, epoch: command.epoch, verdict: .accepted),
                on: Channels.acknowledgements)
        }
        peer.spawn { [self] in
            while !Task.isCancelled {
                await beat()
                // Cancelled: the loop's condition sees it.
                try? await MachineClock.real.sleep(for: .milliseconds(100))
            }
        }
    }

    func set(_ change: (inout State) -> Void) { state.withLockedValue { change(&$0) } }

    var games: [GameID: Epoch] { state.withLockedValue { $0.games } }

    /// The number of its last heartbeat.
    var lastBeat: Int64 { state.withLockedValue { $0.beat } }

    private func beat() async {
        let now = state.withLockedValue { state in
            state.beat += 1
            return state
        }
        guard !now.isSilent else { return }
        let heartbeat = Heartbeat(
            service: "game-shard", instance: id.rawValue, incarnation: now.incarnation, processID: 1,
            startedAt: now.startedAt, beat: now.beat, status: now.status, checks: now.checks, metrics: [:],
            games: now.games.map { Heartbeat.WatchedGame(game: $0.key, epoch: $0.value) }, capacity: now.capacity,
            shardType: "sports", build: "test")
        // The next one replaces it.
        _ = try? await peer.bus.publish(heartbeat, on: Channels.heartbeat(id))
    }
}
