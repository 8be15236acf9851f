import Bus
import Domain
import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Wire

/// What a service adds to its heartbeat.
public struct HeartbeatContent: Sendable {
    public var status: ServiceStatus
    public var checks: [String: Bool]
    public var games: [Heartbeat.WatchedGame]
    public var capacity: Int?
    public var shardType: String?
    /// What tells an older life from a newer one, in microseconds since 1970; nil for the start of the process.
    public var startedAt: Int64?
    /// False when another process has our name: nobody is told that we are there but whoever started us.
    public var isSaid = true

    public init(
        status: ServiceStatus, checks: [String: Bool], games: [Heartbeat.WatchedGame] = [], capacity: Int? = nil,
        shardType: String? = nil
    ) {
        self.status = status
        self.checks = checks
        self.games = games
        self.capacity = capacity
        self.shardType = shardType
    }
}

/// Says that this process is there: on its channel and under a key that expires, until a last "stopping".
///
/// Takes part in shutdown: `stop` sends the last heartbeat; add it as a drain hook.
public actor HeartbeatSender {
    private let host: ServiceHost
    private let channel: Channel<Heartbeat>
    private let content: @Sendable () async -> HeartbeatContent
    private let onSent: @Sendable (_ beat: Int64, _ at: MachineInstant) async -> Void
    /// Whoever started this process, if it wants to know.
    private let supervisor: NotifySocket?
    private var beat: Int64 = 0
    private var isStopping = false
    private var lastSent: MachineInstant?
    /// One is on its way; whoever comes meanwhile waits for its turn, so that they leave in the order of their numbers.
    private var isSending = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// - Parameters:
    ///   - host: the service that lives.
    ///   - channel: where it goes; shards have one each.
    ///   - onSent: told of each heartbeat just before it leaves; a lease runs from that instant.
    ///   - content: asked anew for each.
    public init(
        host: ServiceHost, channel: Channel<Heartbeat> = Channels.heartbeats,
        onSent: @escaping @Sendable (_ beat: Int64, _ at: MachineInstant) async -> Void = { _, _ in },
        content: @escaping @Sendable () async -> HeartbeatContent
    ) {
        self.host = host
        self.channel = channel
        self.onSent = onSent
        self.content = content
        supervisor = NotifySocket(environment: host.context.environment)
    }

    /// Sends until cancelled, at a fixed rate.
    public func run() async throws {
        var due = host.clock.now
        while !Task.isCancelled {
            if isStopping { return }
            await send(status: nil)
            due = max(host.clock.now, due.advanced(by: host.settings.heartbeatInterval))
            try await host.clock.sleep(until: due)
        }
    }

    /// The least time between two heartbeats, however much news there is.
    static let shortestInterval = Duration.milliseconds(50)

    /// Sends one out of turn, since others wait for what has changed; the rate stays what it was.
    ///
    /// Changes within `shortestInterval` of the last heartbeat go out together at its end.
    public func hurry() async throws {
        if let lastSent { try await host.clock.sleep(until: lastSent.advanced(by: Self.shortestInterval)) }
        if isStopping { return }
        await send(status: nil)
    }

    /// Sends the last heartbeat, which says "stopping".
    public func stop() async {
        isStopping = true
        await send(status: .stopping)
    }

    private func send(status: ServiceStatus?) async {
        await takeTurn()
        defer { passTurn() }
        // Nothing follows the one that says "stopping".
        if isStopping, status == nil { return }
        beat += 1
        let beat = beat
        lastSent = host.clock.now
        let content = await content()
        let heartbeat = Heartbeat(
            service: host.context.service, instance: host.settings.instance, incarnation: host.incarnation,
            processID: Int32(host.context.processID), startedAt: content.startedAt ?? host.context.startedAt,
            beat: beat,
            status: status ?? content.status, checks: content.checks, metrics: host.context.metrics.snapshot(),
            games: content.games, capacity: content.capacity, shardType: content.shardType,
            build: host.settings.build)
        await onSent(beat, host.clock.now)
        tellSupervisor(heartbeat.status)
        guard content.isSaid else { return }
        do {
            _ = try await host.bus.publish(heartbeat, on: channel)
            try await writeKey(heartbeat)
        } catch {
            // The bus counts what it could not send; the next heartbeat replaces this one.
            host.log.debug("heartbeat not sent", metadata: [Key.reason: "\(error)"])
        }
    }

    private func takeTurn() async {
        if isSending { await withCheckedContinuation { waiting.append($0) } }
        isSending = true
    }

    /// The turn goes straight to whoever has waited longest; nobody comes between.
    private func passTurn() {
        if waiting.isEmpty { isSending = false } else { waiting.removeFirst().resume() }
    }

    /// With every heartbeat that could be made, whether or not Redis takes it.
    private func tellSupervisor(_ status: ServiceStatus) {
        let change = status == .stopping ? "STOPPING=1\n" : beat == 1 ? "READY=1\n" : ""
        supervisor?.say("\(change)WATCHDOG=1\nSTATUS=\(status.rawValue)")
    }

    private func writeKey(_ heartbeat: Heartbeat) async throws {
        let key = "health:hb:\(heartbeat.service):\(heartbeat.instance)"
        let value = "\(heartbeat.status.rawValue) \(heartbeat.incarnation) \(heartbeat.beat)"
        let life = host.settings.heartbeatLife.wholeMilliseconds
        _ = try await host.redis.send(["SET", "\(key)", "\(value)", "PX", "\(life)"])
    }
}

extension ServiceHost {
    /// Starts the heartbeat and arranges for the last one; call it once everything else has been added.
    ///
    /// Each element of `news` is a change that others should not learn half a heartbeat late.
    public func sendHeartbeats(
        on channel: Channel<Heartbeat> = Channels.heartbeats, hurriedBy news: [AsyncStream<Void>] = [],
        onSent: @escaping @Sendable (_ beat: Int64, _ at: MachineInstant) async -> Void = { _, _ in },
        content: @escaping @Sendable () async -> HeartbeatContent
    ) {
        let sender = HeartbeatSender(host: self, channel: channel, onSent: onSent, content: content)
        supervisor.add("heartbeat", .important) { try await sender.run() }
        for (number, news) in news.enumerated() {
            let name = number == 0 ? "heartbeat-news" : "heartbeat-news-\(number + 1)"
            supervisor.add(name, .important) { for await _ in news { try await sender.hurry() } }
        }
        supervisor.onDrain("heartbeat") { await sender.stop() }
    }

    /// As above for a service that is as its measured checks are; they are served too.
    public func sendHeartbeats(checking more: [HealthProbe] = []) {
        let board = measureHealth(more)
        serveStatus(board)
        sendHeartbeats(hurriedBy: [board.changes]) { HeartbeatContent(board) }
    }
}

extension HeartbeatContent {
    /// What measured checks say of a service.
    public init(_ board: HealthBoard) { self.init(status: ServiceStatus(board.standing), checks: board.checks) }
}

extension ServiceStatus {
    /// A service goes on without PostgreSQL, degraded (CHECKLIST R34).
    ///
    /// One that neither hears nor is heard by Redis for long is unhealthy.
    init(_ standing: HealthStanding) {
        self =
            switch standing {
            case .unmeasured: .starting
            case .well: .healthy
            case .failing: .degraded
            case .broken: .unhealthy
            }
    }
}
