import NIOCore
import NIOWebSocket

/// Carries the frames of one connection: batches what one read brings, answers PING, sends PING and waits for the
/// PONG, bounds every write in time, and says once why it ended.
final class WebSocketHandler<Stamp: Sendable>: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    private let limits: WebSocketLimits
    private let stamp: @Sendable () -> Stamp
    private let receive: @Sendable ([WebSocketInput<Stamp>]) -> Void

    private var batch: [WebSocketInput<Stamp>] = []
    private var ticker: RepeatedTask?
    private var pingSent: (number: UInt64, stamp: Stamp, at: NIODeadline)?
    private var pings: UInt64 = 0
    private var lastPing: NIODeadline?
    /// Whether one more is to follow the PING under way.
    private var wantsPing = false
    /// When the writes under way began; they end in their order.
    private var writes: [NIODeadline] = []
    private var hasEnded = false

    init(
        limits: WebSocketLimits, stamp: @escaping @Sendable () -> Stamp,
        receive: @escaping @Sendable ([WebSocketInput<Stamp>]) -> Void
    ) {
        self.limits = limits
        self.stamp = stamp
        self.receive = receive
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let every = TimeAmount(min(limits.pingInterval, .milliseconds(250)))
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        ticker = context.eventLoop.scheduleRepeatedTask(initialDelay: every, delay: every) { _ in
            let (handler, context) = bound.value
            handler.tick(context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        ticker?.cancel()
        ticker = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        guard !hasEnded else { return }
        switch frame.opcode {
        case .text, .binary:
            batch.append(.message(frame.unmaskedData))
        case .ping:
            batch.append(.pinged)
            write(.pong, frame.unmaskedData, context)
        case .pong:
            var data = frame.unmaskedData
            if let sent = pingSent, data.readInteger(as: UInt64.self) == sent.number {
                pingSent = nil
                batch.append(.ponged(sent.stamp))
                if wantsPing { ping(context) }
            }
        case .connectionClose:
            var data = frame.unmaskedData
            let code = data.readInteger(as: UInt16.self).map { "code \($0)" } ?? "without a code"
            write(.connectionClose, frame.unmaskedData, context)
            end(FeedFailure(.closedByVenue, code), context)
        default:
            end(FeedFailure(.protocolViolation, "unexpected opcode"), context)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        deliver()
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(FeedFailure(.connectionReset, "connection lost"), context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let code: FeedFailure.Code =
            switch error {
            case NIOWebSocketError.invalidFrameLength, NIOWebSocketFrameAggregator.Error.tooManyFragments,
                NIOWebSocketFrameAggregator.Error.accumulatedFrameSizeIsTooLarge:
                .frameTooLarge
            case is NIOWebSocketError, is NIOWebSocketFrameAggregator.Error: .protocolViolation
            default: .connectionReset
            }
        end(FeedFailure(code, "\(error)"), context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case WebSocketSend.text(let bytes):
            guard !hasEnded else { return }
            write(.text, ByteBuffer(bytes: bytes), context)
        case WebSocketSend.ping:
            guard !hasEnded else { return }
            if pingSent == nil { ping(context) } else { wantsPing = true }
        case WebSocketSend.close:
            var code = ByteBuffer()
            code.write(webSocketErrorCode: .normalClosure)
            write(.connectionClose, code, context)
            end(FeedFailure(.stopped), context)
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    private func tick(_ context: ChannelHandlerContext) {
        guard !hasEnded else { return }
        let now = context.eventLoop.now
        if let oldest = writes.first, now - oldest > TimeAmount(limits.writeTimeout) {
            return end(FeedFailure(.writeTimeout, "a write did not end in time"), context)
        }
        if let sent = pingSent, now - sent.at > TimeAmount(limits.pongTimeout) {
            return end(FeedFailure(.pongTimeout, "no pong in time"), context)
        }
        if pingSent == nil, lastPing.map({ now - $0 >= TimeAmount(limits.pingInterval) }) ?? true {
            ping(context)
        }
        batch.append(.tick)
        deliver()
    }

    private func ping(_ context: ChannelHandlerContext) {
        let now = context.eventLoop.now
        wantsPing = false
        pings += 1
        pingSent = (pings, stamp(), now)
        lastPing = now
        write(.ping, ByteBuffer(integer: pings), context)
    }

    private func write(_ opcode: WebSocketOpcode, _ data: ByteBuffer, _ context: ChannelHandlerContext) {
        writes.append(context.eventLoop.now)
        var generator = SystemRandomNumberGenerator()
        let frame = WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(using: &generator), data: data)
        let promise = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        promise.futureResult.whenComplete { _ in
            if !bound.value.writes.isEmpty { bound.value.writes.removeFirst() }
        }
        context.writeAndFlush(wrapOutboundOut(frame), promise: promise)
    }

    /// Says why, once, and closes.
    private func end(_ failure: FeedFailure, _ context: ChannelHandlerContext) {
        guard !hasEnded else { return }
        hasEnded = true
        ticker?.cancel()
        batch.append(.closed(failure))
        deliver()
        context.close(promise: nil)
    }

    private func deliver() {
        guard !batch.isEmpty else { return }
        let inputs = batch
        batch = []
        receive(inputs)
    }
}
