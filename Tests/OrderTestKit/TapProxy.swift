import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Resilience
import Runtime

/// A TCP proxy on loopback that knows what passes through it, and can end its client at a chosen moment of a write.
///
/// Nothing of it is in the client: what is killed is the program as it is delivered. Links end with either side.
public final class TapProxy: Sendable {
    /// Asked for each write on its way to the server; what it answers is carried out.
    typealias Judge = @Sendable (Write) -> KillMoment?

    private static let threads = MultiThreadedEventLoopGroup(numberOfThreads: 2)

    public let port: Int
    private let listener: any Channel
    let record: TapRecord

    /// Listens on a free port and leads to `server`, a port on loopback; `kill` must end the client at once.
    static func start(
        to server: Int, tap: @escaping @Sendable () -> any Tap, judge: @escaping Judge,
        kill: @escaping @Sendable () -> Void
    ) async throws -> TapProxy {
        let record = TapRecord()
        let listener = try await ServerBootstrap(group: threads)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { client in
                client.eventLoop.makeCompletedFuture {
                    let link = TapLink(client: client, tap: tap(), judge: judge, kill: kill, record: record)
                    try client.pipeline.syncOperations.addHandler(TapEnd(link: link, isClient: true))
                    link.connect(to: server)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return TapProxy(listener, record)
    }

    private init(_ listener: any Channel, _ record: TapRecord) {
        self.listener = listener
        self.record = record
        port = listener.localAddress?.port ?? 0
    }

    deinit { listener.close(promise: nil) }

    /// Writes of this kind that have come by, passed on or not.
    public func count(_ write: Write) -> Int { record.arrivals(write) }
    /// When writes of this kind came by.
    public func times(_ write: Write) -> [MachineInstant] { record.times(write) }
}

/// When which writes came by.
final class TapRecord: Sendable {
    private let seen = NIOLockedValueBox<[Write: [MachineInstant]]>([:])

    func note(_ write: Write) {
        let now = MachineClock.real.now
        seen.withLockedValue { $0[write, default: []].append(now) }
    }

    func arrivals(_ write: Write) -> Int { seen.withLockedValue { $0[write]?.count ?? 0 } }
    func times(_ write: Write) -> [MachineInstant] { seen.withLockedValue { $0[write] ?? [] } }
}

/// One connection of the client and the one to the server behind it; on the client's event loop alone.
private final class TapLink {
    private let client: any Channel
    private var server: (any Channel)?
    private var tap: any Tap
    private let judge: TapProxy.Judge
    private let kill: @Sendable () -> Void
    private let record: TapRecord
    /// The client dies when the server speaks next.
    private var isCondemned = false
    private var isOver = false

    init(
        client: any Channel, tap: any Tap, judge: @escaping TapProxy.Judge, kill: @escaping @Sendable () -> Void,
        record: TapRecord
    ) {
        self.client = client
        self.tap = tap
        self.judge = judge
        self.kill = kill
        self.record = record
    }

    func connect(to port: Int) {
        let bound = NIOLoopBound(self, eventLoop: client.eventLoop)
        ClientBootstrap(group: client.eventLoop)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: "127.0.0.1", port: port)
            .whenComplete { result in bound.value.connected(result) }
    }

    private func connected(_ result: Result<any Channel, any Error>) {
        guard case .success(let channel) = result, !isOver else { return close() }
        server = channel
        do {
            try channel.pipeline.syncOperations.addHandler(TapEnd(link: self, isClient: false))
        } catch {
            return close()
        }
        for channel in [client, channel] { try? channel.syncOptions?.setOption(.autoRead, value: true) }  // or closed
    }

    func fromClient(_ bytes: ByteBuffer) {
        for passage in tap.passages(in: bytes) {
            guard !isOver else { return }
            guard let write = passage.write else {
                pass(passage.bytes)
                continue
            }
            record.note(write)
            switch judge(write) {
            case nil: pass(passage.bytes)
            case .before?: return die()
            case .torn?:
                var half = passage.bytes
                return passLast(half.readSlice(length: half.readableBytes / 2) ?? half)
            case .after?: return passLast(passage.bytes)
            case .answered?:
                isCondemned = true
                pass(passage.bytes)
            }
        }
    }

    func fromServer(_ bytes: ByteBuffer) {
        if isCondemned { return die() }
        client.writeAndFlush(bytes, promise: nil)
    }

    private func pass(_ bytes: ByteBuffer) { server?.writeAndFlush(bytes, promise: nil) }

    /// The client dies as soon as the kernel has it.
    private func passLast(_ bytes: ByteBuffer) {
        isOver = true
        let bound = NIOLoopBound(self, eventLoop: client.eventLoop)
        server?.writeAndFlush(bytes).whenComplete { _ in bound.value.die() }
    }

    private func die() {
        kill()
        close()
    }

    func close() {
        // Its server never answers: this is as late as it can be.
        if isCondemned, !isOver { kill() }
        isOver = true
        client.close(promise: nil)
        server?.close(promise: nil)
    }
}

/// One end of a link.
private final class TapEnd: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let link: TapLink
    private let isClient: Bool

    init(link: TapLink, isClient: Bool) {
        self.link = link
        self.isClient = isClient
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isClient ? link.fromClient(unwrapInboundIn(data)) : link.fromServer(unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) { link.close() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
