import Bus
import Domain
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Wire

/// What is said on the bus about the fleet, and when it was heard: by an observer with a link of its own.
public final class FleetWatch: Sendable {
    /// The newest heartbeat of a process.
    public struct Beat: Sendable {
        public let at: MachineInstant
        public let heartbeat: Heartbeat
    }

    /// A game under an epoch on a shard, with a fresh book of each of its markets.
    public struct Showing: Hashable, Sendable {
        public let game: GameID
        public let shard: ShardID
        public let epoch: Epoch
    }

    public struct Heard: Sendable {
        public let at: MachineInstant
        public let notification: ServiceNotification
    }

    private struct State {
        var beats: [ShardID: Beat] = [:]
        var services: [String: Beat] = [:]
        var orchestrators: [String: MachineInstant] = [:]
        var grants: [Int64: MachineInstant] = [:]
        var showings: [GameID: [Showing: MachineInstant]] = [:]
        var notifications: [Heard] = []
        var signals: [GameID: Signal] = [:]
        var signalCount = 0
    }

    private let state = NIOLockedValueBox(State())
    private let clock = MachineClock.real

    public init() {}

    /// Listens until cancelled.
    public func run(on bus: Bus) async throws {
        let heartbeats = try await bus.subscribe(matching: Channels.shardHeartbeats)
        let services = try await bus.subscribe(to: Channels.heartbeats)
        let notifications = try await bus.subscribe(to: Channels.notifications)
        let signals = try await bus.subscribe(to: Channels.signals)
        var grants: [Subscription<LeaseGrant>] = []
        for shard in FaultyFleet.shards { grants.append(try await bus.subscribe(to: Channels.grants(shard))) }
        await withTaskGroup(of: Void.self) { [grants] tasks in
            tasks.addTask { for await delivery in heartbeats { self.hear(delivery) } }
            tasks.addTask {
                for await delivery in services {
                    guard case .message(let envelope, _) = delivery else { continue }
                    let beat = Beat(at: self.clock.now, heartbeat: envelope.body)
                    self.state.withLockedValue { state in
                        state.services[envelope.body.service] = beat
                        if envelope.body.service == "orchestrator" {
                            state.orchestrators[envelope.body.instance] = beat.at
                        }
                    }
                }
            }
            tasks.addTask {
                for await delivery in notifications {
                    guard case .message(let envelope, _) = delivery else { continue }
                    let heard = Heard(at: self.clock.now, notification: envelope.body)
                    self.state.withLockedValue { $0.notifications.append(heard) }
                }
            }
            for subscription in grants {
                tasks.addTask { for await delivery in subscription { self.hear(delivery) } }
            }
            tasks.addTask {
                for await delivery in signals {
                    guard case .message(let envelope, _) = delivery else { continue }
                    self.note(envelope.body.signal)
                }
            }
        }
    }

    private func hear(_ delivery: Delivery<Heartbeat>) {
        guard case .message(let envelope, _) = delivery, let shard = try? ShardID(envelope.body.instance) else {
            return
        }
        let now = clock.now
        state.withLockedValue { state in
            state.beats[shard] = Beat(at: now, heartbeat: envelope.body)
            for game in envelope.body.games where game.missingBooks == 0 {
                let showing = Showing(game: game.game, shard: shard, epoch: game.epoch)
                if state.showings[game.game]?[showing] == nil { state.showings[game.game, default: [:]][showing] = now }
            }
        }
    }

    private func hear(_ delivery: Delivery<LeaseGrant>) {
        guard case .message(let envelope, _) = delivery else { return }
        let now = clock.now
        state.withLockedValue { state in
            if state.grants[envelope.body.term] == nil { state.grants[envelope.body.term] = now }
        }
    }

    private func note(_ signal: Signal) {
        state.withLockedValue { state in
            state.signals[signal.game] = signal
            state.signalCount += 1
        }
    }

    public var beats: [ShardID: Beat] { state.withLockedValue { $0.beats } }
    /// Of services that are not shards, by their name.
    public var services: [String: Beat] { state.withLockedValue { $0.services } }
    /// When each instance of the orchestrator was last heard.
    public var orchestrators: [String: MachineInstant] { state.withLockedValue { $0.orchestrators } }
    /// When a shard was first granted a lease under this term.
    public func grant(under term: Int64) -> MachineInstant? { state.withLockedValue { $0.grants[term] } }
    public var notifications: [Heard] { state.withLockedValue { $0.notifications } }
    public var signalCount: Int { state.withLockedValue { $0.signalCount } }

    /// The newest signal about a game, whoever sent it.
    public func signal(about game: GameID) -> Signal? { state.withLockedValue { $0.signals[game] } }

    /// The games of a shard's newest heartbeat.
    public func games(of shard: ShardID) -> [GameID: Epoch] {
        let games = state.withLockedValue { $0.beats[shard]?.heartbeat.games } ?? []
        return Dictionary(games.map { ($0.game, $0.epoch) }, uniquingKeysWith: max)
    }

    /// When a shard other than `victim` first showed the game with fresh books under a higher epoch than this.
    public func taken(_ game: GameID, after epoch: Epoch, from victim: ShardID) -> (Showing, MachineInstant)? {
        state.withLockedValue { state in
            (state.showings[game] ?? [:]).filter { $0.key.epoch > epoch && $0.key.shard != victim }
                .min { $0.value < $1.value }
                .map { ($0.key, $0.value) }
        }
    }

    /// When the orchestrator first said after an instant that this shard is dead.
    public func death(of shard: ShardID, since instant: MachineInstant) -> MachineInstant? {
        notifications.first {
            $0.at >= instant && $0.notification.kind == .serviceDead && $0.notification.instance == shard.rawValue
        }?.at
    }

    /// Deaths of shards that were announced since an instant.
    public func deaths(since instant: MachineInstant) -> Int {
        notifications.count {
            $0.at >= instant && $0.notification.kind == .serviceDead && $0.notification.service == "game-shard"
        }
    }
}
