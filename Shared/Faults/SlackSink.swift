import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import Resilience
import Runtime

/// A local server with the manners of Slack's incoming webhooks.
///
/// It refuses bad blocks, texts that are too long (`SlackRules`), and more than one message a second; it misbehaves as
/// the test says, and remembers everything that came.
public final class SlackSink: Sendable {
    public struct Arrival: Sendable {
        public let path: String
        public let at: MachineInstant
        /// In microseconds since 1970, as in alerts.
        public let wallTime: Int64
        public let body: Data
        /// What it was answered; 0 for nothing.
        public let status: Int

        public var json: [String: Any] {
            (try? JSONSerialization.jsonObject(with: body) as? [String: Any]) ?? [:]
        }

        /// Everything that a person would read.
        public var text: String {
            ([json["text"] as? String].compactMap(\.self) + SlackRules.texts(of: json)).joined(separator: "\n")
        }
    }

    public enum Manner: Sendable {
        case slack
        /// Takes any JSON at any rate.
        case webhook
        case status(Int, String, retryAfter: String? = nil)
        /// Takes the request and never answers.
        case hang
    }

    private struct State {
        var arrivals: [Arrival] = []
        var manner: @Sendable (Int) -> Manner
        var lastTaken: MachineInstant?
    }

    fileprivate struct Answer {
        let status: Int
        let text: String
        var retryAfter: String?
    }

    public let port: Int
    private let state: NIOLockedValueBox<State>
    private let listener: any Channel

    public var url: String { "http://127.0.0.1:\(port)/services/T0/B0/rehearsal" }
    /// Everything that came, in order.
    public var arrivals: [Arrival] { state.withLockedValue { $0.arrivals } }
    /// What was answered with 200.
    public var taken: [Arrival] { arrivals.filter { $0.status == 200 } }

    /// Changes how requests are met from now on; asked for each by its number, from 0.
    public func behave(_ manner: @escaping @Sendable (Int) -> Manner) { state.withLockedValue { $0.manner = manner } }

    /// Listens on a free port of loopback until `stop`.
    public static func start(
        _ manner: @escaping @Sendable (Int) -> Manner = { _ in .slack }
    ) async throws -> SlackSink {
        let state = NIOLockedValueBox(State(manner: manner))
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.pipeline.configureHTTPServerPipeline().flatMapThrowing {
                    try channel.pipeline.syncOperations.addHandler(
                        Handler { path, body in state.withLockedValue { take(path, body, &$0) } })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return SlackSink(port: listener.localAddress?.port ?? 0, state: state, listener: listener)
    }

    /// Serves while `body` runs.
    public static func serve<R: Sendable>(
        _ manner: @escaping @Sendable (Int) -> Manner, _ body: (SlackSink) async throws -> R
    ) async throws -> R {
        let sink = try await start(manner)
        do {
            let result = try await body(sink)
            await sink.stop()
            return result
        } catch {
            await sink.stop()
            throw error
        }
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

    /// - Returns: nil for no answer at all.
    private static func take(_ path: String, _ body: Data, _ state: inout State) -> Answer? {
        let now = MachineClock.real.now
        let answer = judge(state.manner(state.arrivals.count), body, now, &state)
        state.arrivals.append(
            Arrival(
                path: path, at: now, wallTime: WallClock.real.microseconds, body: body, status: answer?.status ?? 0))
        return answer
    }

    private static func judge(
        _ manner: Manner, _ body: Data, _ now: MachineInstant, _ state: inout State
    ) -> Answer? {
        switch manner {
        case .status(let status, let text, let retryAfter):
            return Answer(status: status, text: text, retryAfter: retryAfter)
        case .hang: return nil
        case .webhook: return Answer(status: 200, text: "taken")
        case .slack:
            guard let json = try? JSONSerialization.jsonObject(with: body) as? [String: Any] else {
                return Answer(status: 400, text: "invalid_payload")
            }
            if let problem = SlackRules.problem(of: json) { return Answer(status: 400, text: problem) }
            if let last = state.lastTaken, last.duration(to: now) < .seconds(1) {
                return Answer(status: 429, text: "rate_limited", retryAfter: "1")
            }
            state.lastTaken = now
            return Answer(status: 200, text: "ok")
        }
    }
}

/// Collects a request's body and answers.
private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let answer: @Sendable (String, Data) -> SlackSink.Answer?
    private var path = ""
    private var body = Data()

    init(_ answer: @escaping @Sendable (String, Data) -> SlackSink.Answer?) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): (path, body) = (head.uri, Data())
        case .body(let buffer): body.append(contentsOf: buffer.readableBytesView)
        case .end:
            guard let answer = answer(path, body) else { return }
            var headers = HTTPHeaders([("Content-Length", "\(answer.text.utf8.count)")])
            if let retryAfter = answer.retryAfter { headers.add(name: "Retry-After", value: retryAfter) }
            let head = HTTPResponseHead(
                version: .http1_1, status: .init(statusCode: answer.status), headers: headers)
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: answer.text)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}
