import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A TCP proxy between a client of Redis or PostgreSQL and its server on loopback, whose links can be broken at run
/// time.
///
/// A fault holds when the call that sets it returns, for present and future links, until `pass` lifts it. A stalled
/// link is half-open: nothing is closed, and what is written goes into the kernel's buffers. Everything ends with the
/// proxy.
public final class FaultProxy: Sendable {
    public enum Direction: Hashable, Sendable, CaseIterable {
        case toServer
        case toClient
    }

    /// What becomes of new connections; all are accepted and counted.
    public enum Admission: Hashable, Sendable {
        case pass
        /// Closed at once.
        case drop
        /// Never read from, never answered, never closed.
        case ignore
    }

    /// A command as it came by.
    public struct Command: Hashable, Sendable {
        /// Counted from 1 in the order of acceptance.
        public let link: Int
        public let words: [String]
        /// The first word in capitals.
        public var name: String { words.first?.uppercased() ?? "" }
    }

    /// What to do with a command.
    public enum Verdict: Hashable, Sendable {
        case pass
        /// The link is closed and the server never sees the command.
        case cutBefore
        /// The server sees it, and the link is closed when the reply comes, which the client never sees.
        case cutAtReply
        /// The server sees it; from then on nothing passes and nothing is closed.
        case stallAfter
    }

    public static let both: Set<Direction> = [.toServer, .toClient]

    /// Apart from the loops of the client under test, which must not slow the proxy down.
    private static let threads = MultiThreadedEventLoopGroup(numberOfThreads: 2)

    public let port: Int
    private let loop: any EventLoop
    private let core: NIOLoopBound<ProxyCore>
    private let record: NIOLockedValueBox<ProxyRecord>

    /// Listens on a free port and leads to `server`, a port on loopback.
    public static func start(to server: Int) async throws -> FaultProxy {
        let loop = Self.threads.next()
        let record = NIOLockedValueBox(ProxyRecord())
        let core = try await loop.submit {
            NIOLoopBound(ProxyCore(loop: loop, server: server, record: record), eventLoop: loop)
        }.get()
        let port = try await loop.flatSubmit { core.value.listen(on: 0) }.get()
        return FaultProxy(port: port, loop: loop, core: core, record: record)
    }

    private init(
        port: Int, loop: any EventLoop, core: NIOLoopBound<ProxyCore>, record: NIOLockedValueBox<ProxyRecord>
    ) {
        self.port = port
        self.loop = loop
        self.core = core
        self.record = record
    }

    deinit {
        loop.execute { [core] in core.value.stop() }
    }

    /// For a client of Redis.
    public var url: String { "redis://127.0.0.1:\(port)" }

    // MARK: Faults

    /// Lets nothing through in these directions; what was on its way arrives when `pass` lifts it.
    public func stall(_ directions: Set<Direction> = both) async throws {
        try await change { $0.faults.stalled = directions }
    }

    /// Holds back every byte for so long, in both directions.
    public func delay(_ delay: Duration) async throws {
        try await change { $0.faults.delay = TimeAmount(delay) }
    }

    /// Takes what clients send one read at a time, with a pause after each, and keeps little for them in the kernel.
    public func slow(_ pause: Duration) async throws {
        try await change { core in
            core.faults.pause = TimeAmount(pause)
            for link in core.links.values { link.narrow() }
        }
    }

    public func admit(_ admission: Admission) async throws {
        try await change { $0.faults.admission = admission }
    }

    /// Forgets a link that carried nothing for so long, as a NAT does: it stays half-open for ever.
    public func forgetIdle(after limit: Duration) async throws {
        try await change { core in
            core.faults.idleLimit = TimeAmount(limit)
            for link in core.links.values { link.watchIdleness() }
        }
    }

    /// Makes the present links half-open for ever; new ones pass.
    public func forget() async throws {
        try await change { core in for link in core.links.values { link.forget() } }
    }

    /// Closes each link once it has carried so many bytes more in that direction.
    public func cut(after bytes: Int, _ direction: Direction) async throws {
        try await change { core in
            core.faults.budget[direction] = bytes
            for link in core.links.values { link.budget[direction] = bytes }
        }
    }

    /// Closes each present link once it has carried so many bytes more in that direction; new ones pass.
    public func cutPresent(after bytes: Int, _ direction: Direction) async throws {
        try await change { core in for link in core.links.values { link.budget[direction] = bytes } }
    }

    /// Asks for a verdict on each Redis command on its way to the server; runs on the proxy's event loop.
    public func judge(_ verdict: @escaping @Sendable (Command) -> Verdict) async throws {
        try await change { $0.faults.judge = verdict }
    }

    /// Lifts every fault but `refuse`; links that were closed or forgotten stay so.
    public func pass() async throws {
        try await change { $0.faults = ProxyFaults() }
    }

    /// Closes all links, in good order.
    public func close() async throws {
        try await change { core in for link in core.links.values { link.close() } }
    }

    /// Resets all links: the client and the server each see RST.
    public func reset() async throws {
        try await change { core in for link in core.links.values { link.reset() } }
    }

    /// Closes the listener: new connections are refused by the kernel, present links live on.
    public func refuse() async throws {
        try await loop.flatSubmit { [core] in core.value.refuse() }.get()
    }

    /// Listens again on the same port.
    public func listen() async throws {
        _ = try await loop.flatSubmit { [core, port] in core.value.listen(on: port) }.get()
    }

    private func change(_ body: @escaping @Sendable (ProxyCore) -> Void) async throws {
        try await loop.submit { [core] in
            body(core.value)
            for link in core.value.links.values { link.update() }
        }.get()
    }

    // MARK: What passed

    /// Connections accepted so far.
    public var accepted: Int { record.withLockedValue { $0.accepted } }
    /// Connections whose client has not closed them yet.
    public var open: Int { record.withLockedValue { $0.open } }
    /// Links that are half-open for ever.
    public var forgotten: Int { record.withLockedValue { $0.forgotten } }
    /// Commands on their way to the server, in order, whatever became of them.
    public var commands: [Command] { record.withLockedValue { $0.commands } }
    /// Bytes passed on in that direction.
    public func bytes(_ direction: Direction) -> Int { record.withLockedValue { $0.bytes[direction, default: 0] } }
}

/// What is wrong at present.
struct ProxyFaults {
    var stalled: Set<FaultProxy.Direction> = []
    var delay = TimeAmount.zero
    /// After each read of a client's bytes.
    var pause = TimeAmount.zero
    var admission = FaultProxy.Admission.pass
    var idleLimit: TimeAmount?
    var budget: [FaultProxy.Direction: Int] = [:]
    var judge: (@Sendable (FaultProxy.Command) -> FaultProxy.Verdict)?
}

/// What passed so far.
struct ProxyRecord {
    var accepted = 0
    var open = 0
    var forgotten = 0
    var commands: [FaultProxy.Command] = []
    var bytes: [FaultProxy.Direction: Int] = [:]
}

/// The proxy on its event loop, which alone touches it.
final class ProxyCore {
    let loop: any EventLoop
    let record: NIOLockedValueBox<ProxyRecord>
    var faults = ProxyFaults()
    var links: [Int: ProxyLink] = [:]
    private let server: Int
    private var listener: (any Channel)?

    init(loop: any EventLoop, server: Int, record: NIOLockedValueBox<ProxyRecord>) {
        self.loop = loop
        self.server = server
        self.record = record
    }

    /// - Returns: the port.
    func listen(on port: Int) -> EventLoopFuture<Int> {
        if let port = listener?.localAddress?.port { return loop.makeSucceededFuture(port) }
        let core = NIOLoopBound(self, eventLoop: loop)
        return ServerBootstrap(group: loop)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in channel.eventLoop.makeCompletedFuture { core.value.accept(channel) } }
            .bind(host: "127.0.0.1", port: port)
            .map { listener in
                core.value.listener = listener
                return listener.localAddress?.port ?? port
            }
    }

    func refuse() -> EventLoopFuture<Void> {
        guard let listener else { return loop.makeSucceededVoidFuture() }
        self.listener = nil
        return listener.close()
    }

    func stop() {
        listener?.close(promise: nil)
        for link in links.values { link.close() }
    }

    private func accept(_ client: any Channel) {
        let number = record.withLockedValue { record in
            record.accepted += 1
            record.open += 1
            return record.accepted
        }
        let link = ProxyLink(number: number, core: self, client: client)
        links[number] = link
        switch faults.admission {
        case .pass: link.connect(to: server)
        case .drop: link.close()
        case .ignore: break
        }
    }
}
