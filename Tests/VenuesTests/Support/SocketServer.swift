import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

/// A WebSocket server that does what the test says.
final class SocketServer: Sendable {
    /// One connection as the test sees it.
    struct Peer: Sendable {
        let number: Int
        let channel: any Channel

        func send(_ text: String) { send(.text, ByteBuffer(string: text)) }

        func send(_ opcode: WebSocketOpcode, _ data: ByteBuffer, fin: Bool = true) {
            channel.writeAndFlush(WebSocketFrame(fin: fin, opcode: opcode, data: data), promise: nil)
        }

        func close() { channel.close(promise: nil) }
    }

    struct Behaviour: Sendable {
        /// Answers the upgrade with this status instead of taking it.
        var refusal: (status: Int, body: String)?
        /// Takes the connection and says nothing.
        var hangs = false
        var answersPings = true
        var onText: @Sendable (Peer, String) -> Void = { _, _ in }
    }

    private struct State {
        var connections = 0
        var texts: [String] = []
        var headers: [[String: String]] = []
        var pongs = 0
        var pings = 0
        var peers: [Peer] = []
    }

    let port: Int
    private let listener: any Channel
    private let state: NIOLockedValueBox<State>

    var connections: Int { state.withLockedValue { $0.connections } }
    var texts: [String] { state.withLockedValue { $0.texts } }
    var headers: [[String: String]] { state.withLockedValue { $0.headers } }
    var pongs: Int { state.withLockedValue { $0.pongs } }
    var pings: Int { state.withLockedValue { $0.pings } }
    var peers: [Peer] { state.withLockedValue { $0.peers } }
    var url: String { "ws://127.0.0.1:\(port)/trade-api/ws/v2" }

    init(_ behaviour: Behaviour) async throws {
        let state = NIOLockedValueBox(State())
        self.state = state
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                state.withLockedValue { $0.connections += 1 }
                if behaviour.hangs { return channel.eventLoop.makeSucceededVoidFuture() }
                if let (status, body) = behaviour.refusal {
                    return channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Refuser(status: status, body: body))
                    }
                }
                let upgrader = NIOWebSocketServerUpgrader(
                    shouldUpgrade: { channel, head in
                        let headers = Dictionary(
                            head.headers.map { ($0.name.lowercased(), $0.value) }, uniquingKeysWith: { $1 })
                        state.withLockedValue { $0.headers.append(headers) }
                        return channel.eventLoop.makeSucceededFuture(HTTPHeaders())
                    },
                    upgradePipelineHandler: { channel, _ in
                        channel.eventLoop.makeCompletedFuture {
                            let peer = state.withLockedValue { state in
                                let peer = Peer(number: state.peers.count, channel: channel)
                                state.peers.append(peer)
                                return peer
                            }
                            try channel.pipeline.syncOperations.addHandler(
                                PeerHandler(peer: peer, behaviour: behaviour, state: state))
                        }
                    })
                return channel.pipeline.configureHTTPServerPipeline(
                    withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = listener.localAddress?.port ?? 0
    }

    func stop() async {
        for peer in peers { peer.close() }
        try? await listener.close()
    }

    private final class PeerHandler: ChannelInboundHandler {
        typealias InboundIn = WebSocketFrame

        private let peer: Peer
        private let behaviour: Behaviour
        private let state: NIOLockedValueBox<State>

        init(peer: Peer, behaviour: Behaviour, state: NIOLockedValueBox<State>) {
            self.peer = peer
            self.behaviour = behaviour
            self.state = state
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let frame = unwrapInboundIn(data)
            switch frame.opcode {
            case .text:
                let text = String(buffer: frame.unmaskedData)
                state.withLockedValue { $0.texts.append(text) }
                behaviour.onText(peer, text)
            case .ping:
                state.withLockedValue { $0.pings += 1 }
                if behaviour.answersPings { peer.send(.pong, frame.unmaskedData) }
            case .pong: state.withLockedValue { $0.pongs += 1 }
            case .connectionClose: context.close(promise: nil)
            default: break
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    private final class Refuser: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let status: Int
        private let body: String

        init(status: Int, body: String) {
            self.status = status
            self.body = body
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let text = "HTTP/1.1 \(status) No\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
        }
    }
}
