import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import Resilience
import Runtime

/// A local server that takes alerts as Slack's incoming webhook does, and remembers when.
///
/// Refuses what Slack refuses: no text, a section above 3,000 characters, more than one message a second.
public final class SlackSink: Sendable {
    public struct Arrival: Sendable {
        /// Wall time in microseconds since 1970, as in alerts.
        public let at: Int64
        public let status: Int
        /// Everything a person would read.
        public let text: String
    }

    private struct State {
        var arrivals: [Arrival] = []
        var lastTaken: MachineInstant?
    }

    public let port: Int
    private let state: NIOLockedValueBox<State>
    private let listener: any Channel

    public var url: String { "http://127.0.0.1:\(port)/services/T0/B0/rehearsal" }
    public var arrivals: [Arrival] { state.withLockedValue { $0.arrivals } }
    /// What was answered with 200.
    public var taken: [Arrival] { arrivals.filter { $0.status == 200 } }

    public static func start() async throws -> SlackSink {
        let state = NIOLockedValueBox(State())
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.pipeline.configureHTTPServerPipeline().flatMapThrowing {
                    try channel.pipeline.syncOperations.addHandler(
                        Handler { body in state.withLockedValue { Self.take(body, &$0) } })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return SlackSink(port: listener.localAddress?.port ?? 0, state: state, listener: listener)
    }

    private init(port: Int, state: NIOLockedValueBox<State>, listener: any Channel) {
        self.port = port
        self.state = state
        self.listener = listener
    }

    public func stop() async {
        // It may be closed already.
        try? await listener.close()
    }

    private static func take(_ body: Data, _ state: inout State) -> Int {
        let now = MachineClock.real.now
        let texts = (try? JSONSerialization.jsonObject(with: body)).map(texts) ?? []
        let status: Int
        if texts.isEmpty || texts.contains(where: { $0.count > 3_000 }) {
            status = 400
        } else if let last = state.lastTaken, last.duration(to: now) < .seconds(1) {
            status = 429
        } else {
            status = 200
            state.lastTaken = now
        }
        let at = Int64(Date().timeIntervalSince1970 * 1_000_000)
        state.arrivals.append(Arrival(at: at, status: status, text: texts.joined(separator: "\n")))
        return status
    }

    /// Every string under the key `text`, wherever it stands.
    private static func texts(in json: Any) -> [String] {
        if let list = json as? [Any] { return list.flatMap(texts) }
        guard let object = json as? [String: Any] else { return [] }
        return object.sorted { $0.key < $1.key }.flatMap { key, value in
            if key == "text", let text = value as? String { [text] } else { texts(in: value) }
        }
    }
}

/// Collects a request's body and answers with a status.
private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let answer: @Sendable (Data) -> Int
    private var body = Data()

    init(_ answer: @escaping @Sendable (Data) -> Int) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head: body = Data()
        case .body(let buffer): body.append(contentsOf: buffer.readableBytesView)
        case .end:
            let status = answer(body)
            let text = status == 200 ? "ok" : status == 429 ? "rate_limited" : "invalid_payload"
            var headers = HTTPHeaders([("Content-Length", "\(text.utf8.count)")])
            if status == 429 { headers.add(name: "Retry-After", value: "1") }
            let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: status), headers: headers)
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}
