import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import Resilience

/// One socket to the server: commands in, replies out, in order; closed once and never reopened.
///
/// Any thread may send; a command is encoded where it is sent, and the event loop writes all that gathered in one go.
final class RedisConnection: Sendable {
    private let channel: any Channel
    private let pipeline: NIOLockedValueBox<CommandPipeline>
    private let readCounter: NIOLockedValueBox<UInt64>

    private init(channel: any Channel, pipeline: NIOLockedValueBox<CommandPipeline>, counter: NIOLockedValueBox<UInt64>)
    {
        self.channel = channel
        self.pipeline = pipeline
        self.readCounter = counter
    }

    /// Connects, and says nothing to the server yet.
    ///
    /// The name is resolved anew for each connection.
    static func open(
        _ settings: RedisSettings, on group: any EventLoopGroup,
        receive: (@Sendable (RedisMessages) -> Void)? = nil
    ) async throws(RedisError) -> RedisConnection {
        let pipeline = NIOLockedValueBox(
            CommandPipeline(
                maximumInFlight: settings.maximumInFlight, maximumInFlightBytes: settings.maximumInFlightBytes))
        let counter = NIOLockedValueBox<UInt64>(0)
        do {
            let tls = try settings.endpoint.usesTLS ? tlsContext(settings) : nil
            let bootstrap = ClientBootstrap(group: group)
                .connectTimeout(.nanoseconds(settings.connectTimeout.wholeNanoseconds))
                .channelOption(.tcpOption(.tcp_nodelay), value: settings.endpoint.isNetwork ? 1 : 0)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        if let tls {
                            let host = settings.endpoint.tlsName
                            try channel.pipeline.syncOperations.addHandler(
                                NIOSSLClientHandler(context: tls, serverHostname: host))
                        }
                        guard
                            let reader = RESPReader(
                                maximumReplyBytes: settings.maximumReplyBytes, takesMessages: receive != nil)
                        else {
                            throw RedisError(.connectFailed, "no memory for a reader")
                        }
                        try channel.pipeline.syncOperations.addHandler(
                            RedisChannelHandler(
                                reader: reader, pipeline: pipeline, counter: counter, receive: receive))
                    }
                }
            let channel =
                switch settings.endpoint.address {
                case .network(let host, let port): try await bootstrap.connect(host: host, port: port).get()
                case .unixSocket(let path): try await bootstrap.connect(unixDomainSocketPath: path).get()
                }
            return RedisConnection(channel: channel, pipeline: pipeline, counter: counter)
        } catch {
            throw RedisError(connecting: error)
        }
    }

    private static func tlsContext(_ settings: RedisSettings) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if let file = settings.certificateAuthority { configuration.trustRoots = .file(file) }
        return try NIOSSLContext(configuration: configuration)
    }

    /// Bytes that came in so far: proof of life between two PONGs.
    var bytesRead: UInt64 { readCounter.withLockedValue { $0 } }

    /// Sends without waiting: commands go out in the order of these calls, and `completion` is called exactly once, on
    /// the event loop or, for a refusal, at once.
    @discardableResult
    func enqueue(
        _ command: [RedisArgument], replies: Int = 1, timeout: Duration,
        completion: @escaping CommandPipeline.Completion
    ) -> UInt64? {
        let deadline = channel.eventLoop.now + .nanoseconds(timeout.wholeNanoseconds)
        do {
            let (id, followup) = try pipeline.withLockedValue { pipeline in
                try pipeline.enqueue(command, replies: replies, deadline: deadline, completion: completion)
            }
            if followup.schedulesFlush { channel.eventLoop.execute { self.flush() } }
            if let sweep = followup.sweepAt { scheduleSweep(at: sweep) }
            return id
        } catch {
            completion(.failure(error as? RedisError ?? RedisError(.notConnected, "\(error)")))
            return nil
        }
    }

    /// Sends and waits for the last of `replies` replies; an error reply is thrown.
    func send(_ command: [RedisArgument], replies: Int = 1, timeout: Duration) async throws -> RESPValue {
        let sent = NIOLockedValueBox<UInt64?>(nil)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let id = enqueue(command, replies: replies, timeout: timeout) { result in
                    continuation.resume(with: result.mapError { $0 as any Error })
                }
                sent.withLockedValue { $0 = id }
                // A cancellation from before the command was sent found nothing to abandon.
                if Task.isCancelled { abandon(id) }
            }
        } onCancel: {
            abandon(sent.withLockedValue { $0 })
        }
    }

    private func abandon(_ id: UInt64?) {
        guard let id else { return }
        let completion = pipeline.withLockedValue { $0.abandon(id) }
        completion?(.failure(RedisError(.cancelled, "the caller was cancelled")))
    }

    private func flush() {
        let bytes = pipeline.withLockedValue { $0.takeOutgoing() }
        guard bytes.readableBytes > 0 else { return }
        channel.writeAndFlush(bytes, promise: nil)
    }

    private func scheduleSweep(at deadline: NIODeadline) {
        channel.eventLoop.scheduleTask(deadline: deadline) { self.sweep() }
    }

    /// The loop reads what has arrived before it runs this, so a reply that came in time wins even after a stall.
    private func sweep() {
        let (expired, next) = pipeline.withLockedValue { $0.expire(at: self.channel.eventLoop.now) }
        if let next { scheduleSweep(at: next) }
        for completion in expired { completion(.failure(RedisError(.commandTimedOut, "no reply in time"))) }
    }

    /// Closes the socket; commands without a reply fail with `reason`.
    func close(_ reason: RedisError) {
        let left = pipeline.withLockedValue { $0.close(reason) }
        for completion in left { completion(.failure(reason)) }
        channel.close(promise: nil)
    }

    /// Waits until the socket is gone; cancelling closes it.
    ///
    /// - Returns: why it ended.
    func waitUntilClosed() async -> RedisError {
        let fallback = RedisError(.connectionLost, "the connection was closed")
        await withTaskCancellationHandler {
            // The close future of a channel never fails.
            try? await channel.closeFuture.get()
        } onCancel: {
            close(fallback)
        }
        return pipeline.withLockedValue { $0.closed } ?? fallback
    }
}

extension RedisError {
    /// Classifies what a connection attempt threw.
    init(connecting error: any Error) {
        switch error {
        case let error as RedisError: self = error
        case ChannelError.connectTimeout: self.init(.connectTimedOut, "no connection in time")
        case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError: self.init(.tlsFailed, "\(error)")
        default: self.init(.connectFailed, "\(error)")
        }
    }
}

extension RedisEndpoint {
    var isNetwork: Bool { if case .network = address { true } else { false } }

    /// The name for SNI and the certificate; an IP address has none.
    var tlsName: String? {
        guard case .network(let host, _) = address else { return nil }
        return (try? SocketAddress(ipAddress: host, port: 0)) == nil ? host : nil  // thrown: not an IP address
    }
}
