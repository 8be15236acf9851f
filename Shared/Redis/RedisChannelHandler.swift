import NIOConcurrencyHelpers
import NIOCore

/// The inbound side of a connection: bytes to replies, replies to the commands that wait for them.
final class RedisChannelHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let reader: RESPReader
    private let pipeline: NIOLockedValueBox<CommandPipeline>
    private let traffic: RedisConnection.Traffic
    /// Takes the messages of a subscribing connection, one call per read; nil on a connection for commands.
    private let receive: (@Sendable (RedisMessages) -> Void)?
    private let onErrorReply: @Sendable (RedisError) -> Void
    /// Of the read that is being handled; both kept for their memory.
    private var replies: [RESPValue] = []
    private var answers: [CommandPipeline.Answer] = []

    init(
        reader: RESPReader, pipeline: NIOLockedValueBox<CommandPipeline>, traffic: RedisConnection.Traffic,
        callbacks: RedisConnection.Callbacks
    ) {
        self.reader = reader
        self.pipeline = pipeline
        self.traffic = traffic
        receive = callbacks.messages
        onErrorReply = callbacks.errorReply
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        traffic.read.wrappingAdd(UInt64(bytes.readableBytes), ordering: .relaxed)
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
        answers.removeAll(keepingCapacity: true)
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
