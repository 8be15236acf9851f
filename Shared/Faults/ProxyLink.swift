import NIOCore
import NIOPosix

/// One client's connection and the one to the server behind it.
final class ProxyLink {
    private typealias Direction = FaultProxy.Direction

    /// Bytes that may still pass before the link is closed.
    var budget: [FaultProxy.Direction: Int]
    private let number: Int
    /// Lets go of this link when it has ended.
    private let core: ProxyCore
    private let client: any Channel
    private var server: (any Channel)?
    private var commands = CommandScanner()
    /// What arrived while its direction was stalled.
    private var held: [FaultProxy.Direction: ByteBuffer] = [:]
    /// Directions whose sender is gone; told to the receiver unless stalled.
    private var ended: Set<FaultProxy.Direction> = []
    /// When the last delayed bytes are due, so that later ones never overtake them.
    private var due: [FaultProxy.Direction: NIODeadline] = [:]
    private var cutsAtReply = false
    /// Until when nothing is read from the client.
    private var pausedUntil: NIODeadline
    /// Half-open for ever.
    private var isForgotten = false
    /// Whether nothing was carried since the last look.
    private var isQuiet = true
    /// How many looks make an idle limit: a proxy that was held up itself has seen no more than one look's silence.
    private static let looks: Int64 = 10

    init(number: Int, core: ProxyCore, client: any Channel) {
        self.number = number
        self.core = core
        self.client = client
        budget = core.faults.budget
        pausedUntil = core.loop.now
        attach(client, reading: .toServer)
    }

    private func attach(_ channel: any Channel, reading direction: Direction) {
        do {
            try channel.pipeline.syncOperations.addHandler(ProxyEnd(link: self, direction: direction))
        } catch {
            channel.close(promise: nil)
        }
    }

    func connect(to port: Int) {
        let bound = NIOLoopBound(self, eventLoop: core.loop)
        ClientBootstrap(group: core.loop)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: "127.0.0.1", port: port)
            .whenComplete { result in bound.value.connected(result) }
    }

    private func connected(_ result: Result<any Channel, any Error>) {
        switch result {
        case .success(let channel):
            server = channel
            attach(channel, reading: .toClient)
            watchIdleness()
            update()
        case .failure:
            close()
        }
    }

    // MARK: Bytes

    private func isStalled(_ direction: Direction) -> Bool {
        isForgotten || core.faults.stalled.contains(direction)
    }

    fileprivate func received(_ bytes: ByteBuffer, _ direction: FaultProxy.Direction) {
        if isStalled(direction) {
            held[direction, default: ByteBuffer()].writeImmutableBuffer(bytes)
            return
        }
        isQuiet = false
        switch direction {
        case .toServer:
            judge(bytes)
            pause()
        case .toClient: cutsAtReply ? close() : forward(bytes, .toClient)
        }
    }

    private func pause() {
        guard core.faults.pause > .zero else { return }
        pausedUntil = core.loop.now + core.faults.pause
        let bound = NIOLoopBound(self, eventLoop: core.loop)
        core.loop.scheduleTask(deadline: pausedUntil) { bound.value.update() }
        update()
    }

    /// Leaves the client's bytes to the client's side.
    func narrow() {
        // Fails only for a channel that is closed.
        try? client.syncOptions?.setOption(.socketOption(.so_rcvbuf), value: 64 << 10)
    }

    /// Passes commands on one by one, as the verdicts have it.
    private func judge(_ bytes: ByteBuffer) {
        var rest = bytes
        for (words, length) in commands.scan(bytes) {
            let command = FaultProxy.Command(link: number, words: words)
            core.record.withLockedValue { $0.commands.append(command) }
            switch core.faults.judge?(command) ?? .pass {
            case .pass:
                continue
            case .cutBefore:
                return close()
            case .cutAtReply:
                cutsAtReply = true
            case .stallAfter:
                forward(rest.readSlice(length: length - (bytes.readableBytes - rest.readableBytes)), .toServer)
                return forget()
            }
        }
        forward(rest, .toServer)
    }

    private func forward(_ bytes: ByteBuffer?, _ direction: Direction) {
        guard var bytes, bytes.readableBytes > 0 else { return }
        if let left = budget[direction] {
            let allowed = bytes.readSlice(length: min(left, bytes.readableBytes)) ?? ByteBuffer()
            budget[direction] = left - allowed.readableBytes
            pass(allowed, direction)
            if left <= allowed.readableBytes { after(direction) { $0.close() } }
        } else {
            pass(bytes, direction)
        }
    }

    private func pass(_ bytes: ByteBuffer, _ direction: Direction) {
        after(direction) { link in
            link.core.record.withLockedValue { $0.bytes[direction, default: 0] += bytes.readableBytes }
            link.receiver(direction)?.writeAndFlush(bytes, promise: nil)
        }
    }

    /// Does it now, or behind what is delayed already.
    private func after(_ direction: Direction, _ body: @escaping @Sendable (ProxyLink) -> Void) {
        let now = core.loop.now
        let time = max(now + core.faults.delay, due[direction] ?? now)
        guard time > now else { return body(self) }
        due[direction] = time
        let bound = NIOLoopBound(self, eventLoop: core.loop)
        core.loop.scheduleTask(deadline: time) { body(bound.value) }
    }

    private func receiver(_ direction: Direction) -> (any Channel)? { direction == .toServer ? server : client }
    private func sender(_ direction: Direction) -> (any Channel)? { direction == .toServer ? client : server }

    /// Brings reading, what was held, and ends in line with the faults.
    func update() {
        guard server != nil else { return }
        for direction in Direction.allCases {
            let isOpen = !isStalled(direction)
            if isOpen, let bytes = held.removeValue(forKey: direction) { received(bytes, direction) }
            if isOpen, ended.contains(direction) { after(direction) { $0.receiver(direction)?.close(promise: nil) } }
            let isPaused = direction == .toServer && core.loop.now < pausedUntil
            let reads = isOpen && !isPaused && receiver(direction)?.isWritable == true
            // Fails only for a channel that is closed.
            try? sender(direction)?.syncOptions?.setOption(.autoRead, value: reads)
        }
    }

    // MARK: Ends

    fileprivate func ended(_ direction: FaultProxy.Direction) {
        ended.insert(direction)
        if direction == .toServer { core.record.withLockedValue { $0.open -= 1 } }
        if server == nil || ended.count == 2 { core.links[number] = nil }
        update()
    }

    func close() {
        client.close(promise: nil)
        server?.close(promise: nil)
    }

    func reset() {
        for channel in [client, server].compactMap({ $0 }) {
            (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
                .whenComplete { _ in channel.close(promise: nil) }
        }
    }

    /// Forgets the link after so many looks in a row that found it quiet.
    func watchIdleness(quiet: Int64 = 0) {
        guard let limit = core.faults.idleLimit, !isForgotten, ended.isEmpty else { return }
        guard quiet < Self.looks else { return forget() }
        isQuiet = true
        let bound = NIOLoopBound(self, eventLoop: core.loop)
        core.loop.scheduleTask(in: .nanoseconds(limit.nanoseconds / Self.looks)) {
            bound.value.watchIdleness(quiet: bound.value.isQuiet ? quiet + 1 : 0)
        }
    }

    func forget() {
        guard !isForgotten else { return }
        isForgotten = true
        core.record.withLockedValue { $0.forgotten += 1 }
        update()
    }
}

/// One end of a link.
private final class ProxyEnd: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let link: ProxyLink
    private let direction: FaultProxy.Direction

    init(link: ProxyLink, direction: FaultProxy.Direction) {
        self.link = link
        self.direction = direction
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { link.received(unwrapInboundIn(data), direction) }
    func channelWritabilityChanged(context: ChannelHandlerContext) { link.update() }
    func channelInactive(context: ChannelHandlerContext) { link.ended(direction) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
