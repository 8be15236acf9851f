import NIOConcurrencyHelpers
import NIOCore

/// The inbound side of a connection: bytes to replies, replies to the commands that wait for them.
final class RedisChannelHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let reader: RESPReader
    private let pipeline: NIOLockedValueBox<CommandPipeline>
    private let counter: NIOLockedValueBox<UInt64>
    /// Takes the messages of a subscribing connection, one call per read; nil on a connection for commands.
    private let receive: (@Sendable (RedisMessages) -> Void)?
    private let onErrorReply: @Sendable (RedisError) -> Void

    init(
        reader: RESPReader, pipeline: NIOLockedValueBox<CommandPipeline>, counter: NIOLockedValueBox<UInt64>,
        callbacks: RedisConnection.Callbacks
    ) {
        self.reader = reader
        self.pipeline = pipeline
        self.counter = counter
        receive = callbacks.messages
        onErrorReply = callbacks.errorReply
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        counter.withLockedValue { $0 += UInt64(bytes.readableBytes) }
        var replies: [RESPValue] = []
        var failure: RedisError?
        do throws(RedisError) {
            try reader.read(&bytes) { replies.append($0) }
        } catch {
            failure = error
        }
        // What came before the garbage still counts.
        do throws(RedisError) { try complete(replies) } catch { failure = failure ?? error }
        if let receive {
            let messages = reader.takeMessages()
            if !messages.isEmpty { receive(messages) }
        }
        if let failure { fail(failure, context: context) }
    }

    private func complete(_ replies: [RESPValue]) throws(RedisError) {
        for reply in replies {
            let completion = try completion(for: reply)
            if case .error(let error) = reply {
                onErrorReply(error)
                completion?(.failure(error))
            } else {
                completion?(.success(reply))
            }
        }
    }

    private func completion(for reply: RESPValue) throws(RedisError) -> CommandPipeline.Completion? {
        let result = pipeline.withLockedValue { pipeline -> Result<CommandPipeline.Completion?, RedisError> in
            do throws(RedisError) { return .success(try pipeline.complete(reply)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(RedisError(.connectionLost, "the server closed the connection"), context: context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let classified = RedisError(connecting: error)
        let isTLS = classified.code == .tlsFailed
        fail(isTLS ? classified : RedisError(.connectionLost, "\(error)"), context: context)
    }

    private func fail(_ error: RedisError, context: ChannelHandlerContext) {
        for completion in pipeline.withLockedValue({ $0.close(error) }) { completion(.failure(error)) }
        context.close(promise: nil)
    }
}
