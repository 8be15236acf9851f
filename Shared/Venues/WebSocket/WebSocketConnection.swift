import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import Resilience

/// The bounds of one WebSocket connection (DESIGN section 7).
public struct WebSocketLimits: Hashable, Sendable {
    public var connectTimeout: Duration = .seconds(2)
    /// From the first SYN to the answer of the upgrade.
    public var handshakeTimeout: Duration = .seconds(10)
    public var writeTimeout: Duration = .seconds(10)
    /// How often a PING of our own is sent.
    public var pingInterval: Duration = .seconds(5)
    public var pongTimeout: Duration = .seconds(5)
    public var frameBytes = 1 << 20
    /// Of a message in several frames.
    public var messageBytes = 4 << 20
    public var framesPerMessage = 64

    public init() {}
}

/// What a connection hands on, in order.
enum WebSocketInput<Stamp: Sendable>: Sendable {
    case message(ByteBuffer)
    /// The other side asked whether we live; it was answered.
    case pinged
    /// Our PING of that moment was answered: everything that was sent before it has arrived.
    case ponged(Stamp)
    /// A few times a second, so that time-outs are noticed.
    case tick
    /// The end; nothing follows.
    case closed(FeedFailure)
}

/// One WebSocket connection as a client: upgrade, bounds, PING and PONG, closing.
struct WebSocketConnection: Sendable {
    private let channel: any Channel

    /// Connects and upgrades, or throws a `FeedFailure`.
    ///
    /// `stamp` is read when a PING is sent and handed back with its PONG; `receive` is called on the event loop with
    /// what one read brought.
    static func connect<Stamp: Sendable>(
        to url: WebSocketURL, headers: [(String, String)], limits: WebSocketLimits, group: any EventLoopGroup,
        stamp: @escaping @Sendable () -> Stamp, receive: @escaping @Sendable ([WebSocketInput<Stamp>]) -> Void
    ) async throws -> WebSocketConnection {
        let loop = group.next()
        let tls = try url.isSecure ? NIOSSLContext(configuration: .makeClientConfiguration()) : nil
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(limits.connectTimeout))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        let future: EventLoopFuture<Upgrade>
        do {
            future = try await bootstrap.connect(host: url.host, port: url.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try install(channel, url, headers, limits, tls, stamp, receive)
                }
            }
        } catch {
            throw FeedFailure(.connectFailed, "\(error)")
        }
        let upgrade: Upgrade
        do {
            upgrade = try await future.get()
        } catch let failure as FeedFailure {
            throw failure
        } catch {
            throw FeedFailure(.handshakeRefused, "\(error)")
        }
        switch upgrade {
        case .done(let channel): return WebSocketConnection(channel: channel)
        case .refused(let status, let body):
            throw FeedFailure(
                status == 401 || status == 403 ? .authentication : .handshakeRefused, "http \(status) \(body)")
        case .reading:
            throw FeedFailure(.handshakeRefused)
        }
    }

    enum Upgrade: Sendable {
        case done(any Channel)
        case refused(status: Int, body: String)
        /// Not upgraded; the answer that says why is still being read.
        case reading(EventLoopFuture<Upgrade>)
    }

    private static func install<Stamp: Sendable>(
        _ channel: any Channel, _ url: WebSocketURL, _ headers: [(String, String)], _ limits: WebSocketLimits,
        _ tls: NIOSSLContext?, _ stamp: @escaping @Sendable () -> Stamp,
        _ receive: @escaping @Sendable ([WebSocketInput<Stamp>]) -> Void
    ) throws -> EventLoopFuture<Upgrade> {
        let pipeline = channel.pipeline.syncOperations
        if let tls {
            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: url.host))
        }
        let outcome = channel.eventLoop.makePromise(of: Upgrade.self)
        let timer = channel.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(limits.handshakeTimeout)) {
            outcome.fail(FeedFailure(.handshakeTimeout, "no upgrade in time"))
            channel.close(promise: nil)
        }
        let upgrader = NIOTypedWebSocketClientUpgrader<Upgrade>(
            maxFrameSize: limits.frameBytes, enableAutomaticErrorHandling: false
        ) { channel, _ in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandlers([
                    NIOWebSocketFrameAggregator(
                        minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: limits.framesPerMessage,
                        maxAccumulatedFrameSize: limits.messageBytes),
                    WebSocketHandler(limits: limits, stamp: stamp, receive: receive),
                ])
                return .done(channel)
            }
        }
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: url.path)
        let isDefaultPort = url.port == (url.isSecure ? 443 : 80)
        head.headers.add(name: "Host", value: isDefaultPort ? url.host : "\(url.host):\(url.port)")
        for (name, value) in headers { head.headers.add(name: name, value: value) }
        var configuration = NIOUpgradableHTTPClientPipelineConfiguration(
            upgradeConfiguration: NIOTypedHTTPClientUpgradeConfiguration(
                upgradeRequestHead: head, upgraders: [upgrader],
                notUpgradingCompletionHandler: { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let refusal = RefusalReader(channel.eventLoop.makePromise(of: Upgrade.self))
                        try channel.pipeline.syncOperations.addHandler(refusal)
                        return .reading(refusal.promise.futureResult)
                    }
                }))
        // Frames may come in the same packet as the answer to the upgrade.
        configuration.leftOverBytesStrategy = .forwardBytes
        let upgraded = try pipeline.configureUpgradableHTTPClientPipeline(configuration: configuration)
        outcome.futureResult.assumeIsolated().whenComplete { _ in timer.cancel() }
        upgraded.flatMap { upgrade -> EventLoopFuture<Upgrade> in
            if case .reading(let refusal) = upgrade { return refusal }
            return channel.eventLoop.makeSucceededFuture(upgrade)
        }.cascade(to: outcome)
        // A peer that hangs up before it answered leaves the upgrade without an end.
        channel.closeFuture.whenComplete { _ in
            outcome.fail(FeedFailure(.handshakeRefused, "closed before the upgrade"))
        }
        return outcome.futureResult
    }

    func send(_ text: [UInt8]) {
        channel.eventLoop.execute { [channel] in
            channel.pipeline.fireUserInboundEventTriggered(WebSocketSend.text(text))
        }
    }

    /// Sends a PING now, or as soon as the one under way is answered; the PONG comes as `ponged`.
    func ping() {
        channel.eventLoop.execute { [channel] in
            channel.pipeline.fireUserInboundEventTriggered(WebSocketSend.ping)
        }
    }

    /// Says goodbye and closes; the inputs end with `closed`.
    func close() {
        channel.eventLoop.execute { [channel] in
            channel.pipeline.fireUserInboundEventTriggered(WebSocketSend.close)
        }
    }
}

/// What the connection asks of its handler.
enum WebSocketSend: Sendable {
    case text([UInt8])
    case ping
    case close
}

/// Reads why an upgrade was refused: the status and the beginning of the body.
private final class RefusalReader: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    let promise: EventLoopPromise<WebSocketConnection.Upgrade>
    private var status = 0
    private var body = ""

    init(_ promise: EventLoopPromise<WebSocketConnection.Upgrade>) {
        self.promise = promise
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): status = Int(head.status.code)
        case .body(let buffer):
            if body.utf8.count < 512 { body += String(decoding: buffer.readableBytesView.prefix(512), as: UTF8.self) }
        case .end: finish(context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { finish(context) }

    func channelInactive(context: ChannelHandlerContext) {
        finish(context)
        context.fireChannelInactive()
    }

    private func finish(_ context: ChannelHandlerContext) {
        promise.succeed(.refused(status: status, body: body))
        context.close(promise: nil)
    }
}
