import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import TestKit

@testable import RedisTestKit

/// Answers a login as a server of any version would; for what no real server here can be.
final class FakeRedis: Sendable {
    private let listener: any Channel
    private let asked: NIOLockedValueBox<[[String]]>

    private init(listener: any Channel, asked: NIOLockedValueBox<[[String]]>) {
        self.listener = listener
        self.asked = asked
    }

    deinit {
        listener.close(promise: nil)
    }

    static func started(version: String) async throws -> FakeRedis {
        let asked = NIOLockedValueBox<[[String]]>([])
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Answering(version: version, asked: asked))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return FakeRedis(listener: listener, asked: asked)
    }

    var url: String { "redis://127.0.0.1:\(listener.localAddress?.port ?? 0)" }
    /// Every command, of all connections.
    var commands: [[String]] { asked.withLockedValue { $0 } }

    private final class Answering: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let version: String
        private let asked: NIOLockedValueBox<[[String]]>
        private var scanner = CommandScanner()

        init(version: String, asked: NIOLockedValueBox<[[String]]>) {
            self.version = version
            self.asked = asked
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            for (words, _) in scanner.scan(unwrapInboundIn(data)) {
                asked.withLockedValue { $0.append(words) }
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer(words))), promise: nil)
            }
        }

        private func answer(_ words: [String]) -> String {
            switch words.prefix(2).joined(separator: " ").uppercased() {
            case "PING": "+PONG\r\n"
            case "ROLE": "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
            case "INFO SERVER": bulk("# Server\r\nredis_version:\(version)\r\nrun_id:fake\r\n")
            case "INFO STATS": bulk("# Stats\r\n")
            case "CLIENT ID": ":1\r\n"
            case "CONFIG GET": "*0\r\n"
            default: "+OK\r\n"
            }
        }

        private func bulk(_ text: String) -> String { "$\(text.utf8.count)\r\n\(text)\r\n" }
    }
}
