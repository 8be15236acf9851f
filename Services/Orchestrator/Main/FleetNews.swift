import Bus
import Domain
import Hosting
import Logging
import OrchestratorEngine
import Resilience
import Runtime
import Wire

/// Brings what is heard on the bus, and the passing of time, to the engine.
struct FleetNews: Sendable {
    let host: ServiceHost
    let fleet: FleetReconciler
    let others: OtherOrchestrators

    /// How often the engine looks at what time alone has changed.
    static let tickInterval = Duration.milliseconds(100)

    func listen() async throws {
        let shards = try await host.bus.subscribe(matching: Channels.shardHeartbeats)
        host.supervisor.add("shard-heartbeats", .critical) {
            await follow(shards, hear(_:)) { gap in
                if let isUp = Ear.word(on: gap.reason, hears: hears) { await fleet.take(.bus(isUp: isUp)) }
            }
        }
        let services = try await host.bus.subscribe(to: Channels.heartbeats)
        host.supervisor.add("service-heartbeats", .critical) {
            await follow(services) { heartbeat in
                await fleet.note(BusReport(heartbeat))
                others.heard(heartbeat)
                await fleet.take(.serviceHeartbeat(ServiceHeartbeat(heartbeat)))
            }
        }
        // Both begin now: what was answered before is asked again, and shown by the next heartbeat.
        let answers = try await host.bus.subscribe(to: Channels.acknowledgements)
        host.supervisor.add("acknowledgements", .critical) {
            await follow(answers) { await fleet.take(.acknowledged(Acknowledgement($0))) }
        }
        let results = try await host.bus.subscribe(to: Channels.discoveryResults)
        host.supervisor.add("discovery-results", .critical) {
            await follow(results) { await fleet.take(.discovered($0.game, $0.markets, reason: $0.reason)) }
        }
    }

    private func follow<Message: WireMessage>(
        _ subscription: Subscription<Message>, _ take: @Sendable (Message) async -> Void,
        missed: @Sendable (Gap) async -> Void = { _ in }
    ) async {
        for await delivery in subscription {
            switch delivery {
            case .message(let envelope, _): await take(envelope.body)
            case .gap(let gap):
                host.log.warning(
                    "news were missed", metadata: [Key.kind: "\(Message.type)", Key.reason: "\(gap.reason.rawValue)"])
                await missed(gap)
            }
        }
    }

    private func hear(_ heartbeat: Heartbeat) async {
        guard let shard = ShardHeartbeat(heartbeat) else {
            await fleet.take(.odd(.namelessShard))
            return
        }
        let sent = heartbeat.metrics.filter { $0.key.hasPrefix("shard_signals_total") }.values.reduce(0, +)
        await fleet.note(signalsSent: sent, by: shard.shard)
        await fleet.note(BusReport(heartbeat))
        await fleet.take(.heartbeat(shard))
    }

    /// Whether what is said can be heard: connected, subscribed, and not silent.
    ///
    /// A server that hangs keeps its connections open. It must be doubted before the shards are: its last PONG may be
    /// one interval old, and a shard is dead only after several heartbeats.
    private var hears: Bool {
        let redis = host.redis.status
        guard redis.isReady, let pong = redis.subscriptions.lastPong else { return false }
        return host.clock.now.since(pong) <= host.settings.redis.pingInterval + .milliseconds(300)
    }

    /// Ticks at a fixed rate and tells whether anything can be heard.
    func tick() async throws {
        var ear = Ear(at: host.clock.now)
        var due = host.clock.now
        while true {
            if let isUp = ear.note(hears: hears, at: host.clock.now) { await fleet.take(.bus(isUp: isUp)) }
            await fleet.take(.tick)
            others.tick(isLeading: await fleet.isLeading, hearingSince: ear.hearingSince)
            due = max(host.clock.now, due.advanced(by: Self.tickInterval))
            try await host.clock.sleep(until: due)
        }
    }
}

/// What the engine is told of our own hearing.
struct Ear: Sendable {
    /// Nil while we are deaf.
    private(set) var hearingSince: MachineInstant?

    init(at now: MachineInstant) { hearingSince = now }

    /// - Returns: what to tell the engine; nil when it knows. That we are deaf is told again and again: nothing that
    ///   was taken meanwhile may make it believe otherwise.
    mutating func note(hears: Bool, at now: MachineInstant) -> Bool? {
        guard hears else {
            hearingSince = nil
            return false
        }
        guard hearingSince == nil else { return nil }
        hearingSince = now
        return true
    }

    /// What to tell the engine when heartbeats were missed: anybody's may have been, so that all shards get the chance
    /// to be heard again.
    ///
    /// A jump in one publisher's sequence says nothing of the others: excused for it, all would be excused as often as
    /// one of them loses a message. While we are deaf the gap is an old one, and the end of our deafness is told by the
    /// tick.
    static func word(on reason: Gap.Reason, hears: Bool) -> Bool? { reason != .sequence && hears ? true : nil }
}
