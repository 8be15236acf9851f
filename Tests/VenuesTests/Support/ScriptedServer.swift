import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// An HTTP server that does what the test says, misbehaviour included.
final class ScriptedServer: Sendable {
    struct Request: Sendable {
        let method: String
        /// With its query.
        let path: String
        let headers: [String: String]
        let body: String
    }

    enum Answer: Sendable {
        case reply(status: Int, body: String, headers: [String: String] = [:])
        /// Bytes as they stand.
        case raw(String)
        case bytes([UInt8])
        /// Never answers.
        case hang
        /// Closes without a word.
        case close
        /// Resets the connection.
        case reset
        /// Promises more bytes than it sends, and then nothing.
        case stall(body: String)

        static func json(_ body: String, status: Int = 200) -> Answer { .reply(status: status, body: body) }
    }

    let port: Int
    private let channel: any Channel
    private let seen: NIOLockedValueBox<[Request]>
    private let accepted: NIOLockedValueBox<Int>
    private let wire: NIOLockedValueBox<Wire>

    /// What was on the wire, whole requests or not.
    private struct Wire {
        var text = ""
        var ended = 0
    }

    /// How many were made so far.
    var connections: Int { accepted.withLockedValue { $0 } }
    /// How many of them have ended.
    var ended: Int { wire.withLockedValue { $0.ended } }
    /// Everything that has arrived, also of requests that never became whole.
    var received: String { wire.withLockedValue { $0.text } }
    var requests: [Request] { seen.withLockedValue { $0 } }

    /// `answer` gets the request and its number, the first is 0.
    init(_ answer: @escaping @Sendable (Request, Int) -> Answer) async throws {
        let seen = NIOLockedValueBox<[Request]>([])
        self.seen = seen
        let accepted = NIOLockedValueBox(0)
        self.accepted = accepted
        let wire = NIOLockedValueBox(Wire())
        self.wire = wire
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                accepted.withLockedValue { $0 += 1 }
                channel.closeFuture.whenComplete { _ in wire.withLockedValue { $0.ended += 1 } }
                return channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Handler(reading: { text in wire.withLockedValue { $0.text += text } }) { request in
                            let number = seen.withLockedValue { seen in
                                seen.append(request)
                                return seen.count - 1
                            }
                            return answer(request, number)
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }

    func stop() async { try? await channel.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let reading: (String) -> Void
        private let answer: (Request) -> Answer
        private var text = ""

        init(reading: @escaping (String) -> Void, _ answer: @escaping (Request) -> Answer) {
            self.reading = reading
            self.answer = answer
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let more = String(buffer: unwrapInboundIn(data))
            reading(more)
            text += more
            while let request = next() { perform(answer(request), context) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private func next() -> Request? {
            guard let end = text.firstRange(of: "\r\n\r\n") else { return nil }
            let lines = text[..<end.lowerBound].split(separator: "\r\n")
            let first = lines[0].split(separator: " ")
            var headers: [String: String] = [:]
            for line in lines.dropFirst() {
                guard let colon = line.firstIndex(of: ":") else { continue }
                headers[line[..<colon].lowercased()] =
                    String(line[line.index(after: colon)...].drop { $0 == " " })
            }
            let length = headers["content-length"].flatMap(Int.init) ?? 0
            let rest = text[end.upperBound...]
            guard rest.utf8.count >= length else { return nil }
            text = String(rest.dropFirst(length))
            return Request(
                method: String(first[0]), path: String(first[1]), headers: headers, body: String(rest.prefix(length)))
        }

        private func perform(_ answer: Answer, _ context: ChannelHandlerContext) {
            switch answer {
            case .reply(let status, let body, let headers):
                var head = "HTTP/1.1 \(status) X\r\nContent-Length: \(body.utf8.count)\r\n"
                for (name, value) in headers.sorted(by: { $0.key < $1.key }) { head += "\(name): \(value)\r\n" }
                write(head + "\r\n" + body, context)
            case .raw(let text): write(text, context)
            case .bytes(let bytes): context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
            case .hang: break
            case .close: context.close(promise: nil)
            case .reset:
                if let provider = context.channel as? any SocketOptionProvider {
                    _ = provider.setSoLinger(linger(l_onoff: 1, l_linger: 0))
                }
                context.close(promise: nil)
            case .stall(let body):
                write("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count + 100)\r\n\r\n" + body, context)
            }
        }

        private func write(_ text: String, _ context: ChannelHandlerContext) {
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
        }
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif
