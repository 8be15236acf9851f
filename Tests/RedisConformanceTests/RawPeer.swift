import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// A plain socket to a server, for what no client of ours would do: never read, or use another's name.
final class RawPeer: Sendable {
    private struct State {
        var received = ""
        var isClosed = false
    }

    private let channel: any Channel
    private let state: NIOLockedValueBox<State>

    private init(channel: any Channel, state: NIOLockedValueBox<State>) {
        self.channel = channel
        self.state = state
    }

    deinit {
        channel.close(promise: nil)
    }

    /// `reads: false` leaves everything that arrives in the kernel, for ever.
    static func connected(to port: Int, reads: Bool = true) async throws -> RawPeer {
        let state = NIOLockedValueBox(State())
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: reads)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Listener(state: state))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        return RawPeer(channel: channel, state: state)
    }

    /// Sends a command in the inline form; words must not contain spaces.
    func send(_ words: String...) {
        channel.writeAndFlush(ByteBuffer(string: words.joined(separator: " ") + "\r\n"), promise: nil)
    }

    var received: String { state.withLockedValue { $0.received } }
    /// Never seen by a peer that does not read.
    var isClosed: Bool { state.withLockedValue { $0.isClosed } }

    private final class Listener: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        let state: NIOLockedValueBox<State>

        init(state: NIOLockedValueBox<State>) {
            self.state = state
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let text = String(buffer: unwrapInboundIn(data))
            state.withLockedValue { $0.received += text }
        }

        func channelInactive(context: ChannelHandlerContext) {
            state.withLockedValue { $0.isClosed = true }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }
}
