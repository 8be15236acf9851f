import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import TestKit

/// A server that answers as a script says, for what a real one cannot be made to do.
public final class FakeRedis: Sendable {
    public enum Answer: Sendable {
        case bytes([UInt8])
        /// Nothing, and the connection stays open.
        case nothing
        case close
        /// These bytes, and then the end.
        case last([UInt8])

        public static func text(_ text: String) -> Answer { .bytes(Array(text.utf8)) }
    }

    /// A command and the number of the connection it came on, counted from 1.
    public struct Command: Hashable, Sendable {
        public let link: Int
        public let words: [String]
    }

    public typealias Script = @Sendable (Command) -> Answer?

    fileprivate struct Record {
        var accepted = 0
        var open = 0
        var commands: [Command] = []
    }

    public let port: Int
    private let listener: any Channel
    private let record: NIOLockedValueBox<Record>

    /// `script` answers a command, and leaves to `healthy` what it has no answer for.
    public static func start(_ script: @escaping Script = { _ in nil }) async throws -> FakeRedis {
        let record = NIOLockedValueBox(Record())
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(FakeLink(record: record, script: script))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return FakeRedis(listener: listener, record: record)
    }

    private init(listener: any Channel, record: NIOLockedValueBox<Record>) {
        self.listener = listener
        self.record = record
        port = listener.localAddress?.port ?? 0
    }

    deinit {
        listener.close(promise: nil)
    }

    public var url: String { "redis://127.0.0.1:\(port)" }

    /// Connections accepted so far, and those that are still open.
    public var accepted: Int { record.withLockedValue { $0.accepted } }
    public var open: Int { record.withLockedValue { $0.open } }
    public var commands: [Command] { record.withLockedValue { $0.commands } }

    /// How often a command came, by its first word.
    public func count(of name: String) -> Int { commands.count { $0.words.first == name } }

    /// What a server that is well answers.
    public static func healthy(_ words: [String], version: String = "7.0.15", run: String = "run-1") -> Answer {
        switch words.first {
        case "PING": .text("+PONG\r\n")
        case "ROLE": .text("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n")
        case "INFO" where words.last == "server":
            .text(bulk("# Server\r\nredis_version:\(version)\r\nrun_id:\(run)\r\n"))
        case "INFO": .text(bulk("# Stats\r\n"))
        case "CLIENT" where words.dropFirst().first == "ID": .text(":7\r\n")
        case "CONFIG": .text("*0\r\n")
        case "SUBSCRIBE", "PSUBSCRIBE":
            .text(
                words.dropFirst().enumerated().map { index, name in
                    "*3\r\n\(bulk(words[0].lowercased()))\(bulk(name)):\(index + 1)\r\n"
                }.joined())
        default: .text("+OK\r\n")
        }
    }

    public static func bulk(_ text: String) -> String { "$\(text.utf8.count)\r\n\(text)\r\n" }

    /// One connection.
    private final class FakeLink: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let record: NIOLockedValueBox<Record>
        private let script: Script
        private var scanner = CommandScanner()
        private var number = 0
        private var isOver = false

        init(record: NIOLockedValueBox<Record>, script: @escaping Script) {
            self.record = record
            self.script = script
        }

        func channelActive(context: ChannelHandlerContext) {
            number = record.withLockedValue { record in
                record.accepted += 1
                record.open += 1
                return record.accepted
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            record.withLockedValue { $0.open -= 1 }
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            for (words, _) in scanner.scan(unwrapInboundIn(data)) where !isOver {
                let command = Command(link: number, words: words)
                record.withLockedValue { $0.commands.append(command) }
                send(script(command) ?? FakeRedis.healthy(words), context)
            }
        }

        private func send(_ answer: Answer, _ context: ChannelHandlerContext) {
            switch answer {
            case .nothing: break
            case .bytes(let bytes): context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
            case .close:
                isOver = true
                context.close(promise: nil)
            case .last(let bytes):
                isOver = true
                let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
                context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)))
                    .whenComplete { _ in bound.value.close(promise: nil) }
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
