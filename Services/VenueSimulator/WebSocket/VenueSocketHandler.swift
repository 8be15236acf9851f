import NIOCore
import NIOWebSocket

/// One WebSocket connection: text frames to the simulator, control frames answered here.
final class VenueSocketHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private let simulator: Simulator
    private var id: Int?
    private var partial: ByteBuffer?

    init(simulator: Simulator) {
        self.simulator = simulator
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let outlet = ChannelOutlet(channel: context.channel)
        id = simulator.state.withLockedValue { $0.connect(outlet) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        forget()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let id else { return }
        let frame = unwrapInboundIn(data)
        switch frame.opcode {
        case .text, .continuation: receive(frame, from: id, context)
        case .ping:
            let body = Array(frame.unmaskedData.readableBytesView)
            simulator.state.withLockedValue { $0.receivePing(body, from: id) }
        case .connectionClose:
            let answer = WebSocketFrame(fin: true, opcode: .connectionClose, data: frame.unmaskedData)
            forget()
            context.writeAndFlush(wrapOutboundOut(answer)).assumeIsolated().whenComplete { _ in
                context.close(promise: nil)
            }
        case .binary:
            // The venue speaks text only.
            context.close(promise: nil)
        default: break
        }
    }

    private func receive(_ frame: WebSocketFrame, from id: Int, _ context: ChannelHandlerContext) {
        var data = frame.unmaskedData
        var whole = partial ?? context.channel.allocator.buffer(capacity: data.readableBytes)
        whole.writeBuffer(&data)
        guard whole.readableBytes <= WebSocketServer.frameLimit else {
            context.close(promise: nil)
            return
        }
        guard frame.fin else {
            partial = whole
            return
        }
        partial = nil
        let text = String(buffer: whole)
        simulator.state.withLockedValue { $0.receive(text, from: id) }
    }

    private func forget() {
        guard let id else { return }
        self.id = nil
        simulator.state.withLockedValue { $0.disconnect(id) }
    }
}

/// A socket as an outlet.
///
/// Everything is queued on the connection's loop: calls from any thread keep their order, and a
/// call made under the simulator's lock never comes back into it.
struct ChannelOutlet: FrameOutlet {
    let channel: any Channel

    func send(_ text: String, after delay: Duration) {
        let data = ByteBuffer(string: text)
        if delay > .zero {
            let (seconds, attoseconds) = delay.components
            let amount = TimeAmount.nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
            channel.eventLoop.scheduleTask(in: amount) { [self] in write(.text, data) }
        } else {
            channel.eventLoop.execute { [self] in write(.text, data) }
        }
    }

    func ping() {
        channel.eventLoop.execute { [self] in write(.ping, ByteBuffer(string: "heartbeat")) }
    }

    func pong(_ body: [UInt8]) {
        channel.eventLoop.execute { [self] in write(.pong, ByteBuffer(bytes: body)) }
    }

    func close() {
        channel.eventLoop.execute { [self] in channel.close(promise: nil) }
    }

    private func write(_ opcode: WebSocketOpcode, _ data: ByteBuffer) {
        guard channel.isWritable else {
            channel.close(promise: nil)
            return
        }
        channel.writeAndFlush(WebSocketFrame(fin: true, opcode: opcode, data: data), promise: nil)
    }
}
