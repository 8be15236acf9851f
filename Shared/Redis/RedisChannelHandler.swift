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
    /// Of the read that is being handled; kept for its memory.
    private var replies: [RESPValue] = []

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
        var failure: RedisError?
        do throws(RedisError) {
            try reader.read(&bytes) { replies.append($0) }
        } catch {
            failure = error
        }
        // What came before the garbage still counts.
        let refusal = complete()
        if let receive {
            let messages = reader.takeMessages()
            if !messages.isEmpty { receive(messages) }
        }
        if let failure = failure ?? refusal { fail(failure, context: context) }
    }

    /// Gives the replies of one read to the commands that wait for them, and says what is wrong with one.
    private func complete() -> RedisError? {
        guard !replies.isEmpty else { return nil }
        var answers: [CommandPipeline.Answer] = []
        answers.reserveCapacity(replies.count)
        let refusal = pipeline.withLockedValue { pipeline -> RedisError? in
            do throws(RedisError) { try pipeline.complete(replies, into: &answers) } catch { return error }
            return nil
        }
        replies.removeAll(keepingCapacity: true)
        for (reply, completion) in answers {
            if case .error(let error) = reply {
                onErrorReply(error)
                completion?(.failure(error))
            } else {
                completion?(.success(reply))
            }
        }
        return refusal
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
