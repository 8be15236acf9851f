import NIOCore
import NIOPosix

/// A port on loopback that stays, before a server that moves: a container may have another address after each start.
///
/// Whoever looks at the server through it keeps one address, connects again as after any other loss, and goes on where
/// it was. While the server is nowhere a connection is closed at once, and when it moves those to its old place are.
final class Doorway: Sendable {
    /// Where a server listens.
    struct Server: Hashable, Sendable {
        let host: String
        let port: Int
    }

    let port: Int
    private let loop: any EventLoop
    private let core: NIOLoopBound<DoorwayCore>

    /// Listens on a free port; leads nowhere yet.
    static func open() async throws -> Doorway {
        let loop: any EventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let core = try await loop.submit { NIOLoopBound(DoorwayCore(loop: loop), eventLoop: loop) }.get()
        let port = try await loop.flatSubmit { core.value.listen() }.get()
        return Doorway(port: port, loop: loop, core: core)
    }

    private init(port: Int, loop: any EventLoop, core: NIOLoopBound<DoorwayCore>) {
        self.port = port
        self.loop = loop
        self.core = core
    }

    deinit {
        loop.execute { [core] in core.value.stop() }
    }

    /// Where it leads from now on, in the order of the calls; nil for nowhere.
    func lead(to server: Server?) {
        loop.execute { [core] in core.value.lead(to: server) }
    }
}

/// The doorway on its event loop, which alone touches it.
private final class DoorwayCore {
    private let loop: any EventLoop
    private var server: Doorway.Server?
    private var listener: (any Channel)?
    /// The clients' ends of all links; the servers' ends close with them.
    private var clients: [ObjectIdentifier: any Channel] = [:]

    init(loop: any EventLoop) { self.loop = loop }

    /// - Returns: the port.
    func listen() -> EventLoopFuture<Int> {
        let core = NIOLoopBound(self, eventLoop: loop)
        return ServerBootstrap(group: loop)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in channel.eventLoop.makeCompletedFuture { core.value.accept(channel) } }
            .bind(host: "127.0.0.1", port: 0)
            .map { listener in
                core.value.listener = listener
                return listener.localAddress?.port ?? 0
            }
    }

    func lead(to server: Doorway.Server?) {
        guard server != self.server else { return }
        self.server = server
        closeAll()
    }

    func stop() {
        listener?.close(promise: nil)
        closeAll()
    }

    private func closeAll() { for client in clients.values { client.close(promise: nil) } }

    private func accept(_ client: any Channel) {
        guard let server else { return client.close(promise: nil) }
        let id = ObjectIdentifier(client)
        clients[id] = client
        let core = NIOLoopBound(self, eventLoop: loop)
        client.closeFuture.whenComplete { _ in core.value.clients[id] = nil }
        ClientBootstrap(group: loop)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connectTimeout(.seconds(1))
            .connect(host: server.host, port: server.port)
            .whenComplete { result in core.value.join(client, result) }
    }

    private func join(_ client: any Channel, _ result: Result<any Channel, any Error>) {
        guard case .success(let server) = result else { return client.close(promise: nil) }
        do {
            try server.pipeline.syncOperations.addHandler(DoorwayEnd(other: client))
            // One that has closed already, or was led elsewhere meanwhile, is no more in a state to be joined.
            guard client.isActive else { return server.close(promise: nil) }
            try client.pipeline.syncOperations.addHandler(DoorwayEnd(other: server))
            for channel in [client, server] { try channel.syncOptions?.setOption(.autoRead, value: true) }
        } catch {
            client.close(promise: nil)
            server.close(promise: nil)
        }
    }
}

/// One end of a link: what it reads goes to the other end, which closes with it.
private final class DoorwayEnd: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let other: any Channel

    init(other: any Channel) { self.other = other }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        other.writeAndFlush(unwrapInboundIn(data), promise: nil)
    }

    /// Whoever writes faster than this end takes it waits.
    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // Fails only for a channel that is closed.
        try? other.syncOptions?.setOption(.autoRead, value: context.channel.isWritable)
    }

    func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
