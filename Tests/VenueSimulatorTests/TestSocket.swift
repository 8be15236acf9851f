import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

/// A WebSocket client that keeps all it receives.
final class TestSocket: Sendable {
    private struct Received {
        var texts: [String] = []
        var pings: [String] = []
        var isClosed = false
    }

    private let received = NIOLockedValueBox(Received())
    private let channel: NIOLockedValueBox<(any Channel)?> = NIOLockedValueBox(nil)

    var texts: [String] { received.withLockedValue { $0.texts } }
    var objects: [JSONObject] { texts.map(JSONObject.init) }
    var pings: [String] { received.withLockedValue { $0.pings } }
    var isClosed: Bool { received.withLockedValue { $0.isClosed } }

    struct Refused: Error {}

    static func connect(port: Int, path: String = "/trade-api/ws/v2") async throws -> TestSocket {
        let socket = TestSocket()
        let upgrade = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let upgrader = NIOTypedWebSocketClientUpgrader<Bool>(upgradePipelineHandler: { channel, _ in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(Handler(socket: socket))
                            return true
                        }
                    })
                    let head = HTTPRequestHead(
                        version: .http1_1, method: .GET, uri: path,
                        headers: ["Host": "127.0.0.1", "Content-Length": "0"])
                    let configuration = NIOTypedHTTPClientUpgradeConfiguration<Bool>(
                        upgradeRequestHead: head, upgraders: [upgrader],
                        notUpgradingCompletionHandler: { $0.eventLoop.makeSucceededFuture(false) })
                    return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
                        configuration: .init(upgradeConfiguration: configuration))
                }
            }
        guard try await upgrade.get() else { throw Refused() }
        return socket
    }

    func send(_ text: String) {
        let channel = channel.withLockedValue { $0 }
        channel?.writeAndFlush(
            WebSocketFrame(fin: true, opcode: .text, maskKey: [1, 2, 3, 4], data: ByteBuffer(string: text)),
            promise: nil)
    }

    func subscribe(_ markets: String..., channel: String = "orderbook_delta", id: Int = 1) {
        let tickers = markets.map { "\"\($0)\"" }.joined(separator: ",")
        send(#"{"id":\#(id),"cmd":"subscribe","params":{"channels":["\#(channel)"],"market_tickers":[\#(tickers)]}}"#)
    }

    func close() { channel.withLockedValue { $0 }?.close(promise: nil) }

    func texts(_ kind: String) -> [JSONObject] { objects.filter { $0.text("type") == kind } }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = WebSocketFrame
        typealias OutboundOut = WebSocketFrame

        private let socket: TestSocket

        init(socket: TestSocket) { self.socket = socket }

        func handlerAdded(context: ChannelHandlerContext) {
            socket.channel.withLockedValue { $0 = context.channel }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let frame = unwrapInboundIn(data)
            switch frame.opcode {
            case .text: socket.received.withLockedValue { $0.texts.append(String(buffer: frame.data)) }
            case .ping: socket.received.withLockedValue { $0.pings.append(String(buffer: frame.data)) }
            default: break
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            socket.received.withLockedValue { $0.isClosed = true }
        }
    }
}
