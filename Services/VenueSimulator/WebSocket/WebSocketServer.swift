import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

/// The WebSocket side of the venue: accepts `/trade-api/ws/v2` and hands each connection to the simulator.
struct WebSocketServer: Sendable {
    static let path = "/trade-api/ws/v2"
    /// The largest frame that a client may send, in bytes.
    static let frameLimit = 1 << 16
    /// A client that leaves more than this unread is disconnected, in bytes.
    static let backlogLimit = 8 << 20

    let simulator: Simulator

    /// Serves until cancelled.
    func run(_ onListening: @Sendable (Int) -> Void) async throws {
        let simulator = simulator
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(
                .writeBufferWaterMark, value: .init(low: Self.backlogLimit / 2, high: Self.backlogLimit)
            )
            .childChannelInitializer { channel in Self.configure(channel, simulator) }
        let listener = try await bootstrap.bind(host: simulator.settings.host, port: simulator.settings.webSocketPort)
            .get()
        onListening(listener.localAddress?.port ?? 0)
        try await withTaskCancellationHandler {
            try await listener.closeFuture.get()
        } onCancel: {
            listener.close(promise: nil)
            _ = simulator.state.withLockedValue { $0.closeSockets() }
        }
    }

    private static func configure(_ channel: any Channel, _ simulator: Simulator) -> EventLoopFuture<Void> {
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: frameLimit,
            shouldUpgrade: { channel, head in
                let isOurs = head.uri.split(separator: "?").first.map(String.init) == path
                return channel.eventLoop.makeSucceededFuture(isOurs ? HTTPHeaders() : nil)
            },
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(VenueSocketHandler(simulator: simulator))
                }
            })
        return channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            let otherwise = NotFoundHandler()
            let removable = NIOLoopBound(otherwise, eventLoop: channel.eventLoop)
            try pipeline.configureHTTPServerPipeline(
                withServerUpgrade: (
                    upgraders: [upgrader],
                    completionHandler: { context in
                        context.pipeline.syncOperations.removeHandler(removable.value, promise: nil)
                    }
                ))
            try pipeline.addHandler(otherwise)
        }
    }
}

/// Answers whatever is not an upgrade that we serve, and closes.
private final class NotFoundHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = unwrapInboundIn(data) else { return }
        let head = HTTPResponseHead(
            version: .http1_1, status: .notFound, headers: ["Content-Length": "0", "Connection": "close"])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
            context.close(promise: nil)
        }
    }
}
