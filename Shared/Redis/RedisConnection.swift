import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL
import Resilience
import Runtime
import Synchronization

/// One socket to the server: commands in, replies out, in order; closed once and never reopened.
///
/// Any thread may send; a command is encoded where it is sent, and the event loop writes all that gathered in one go.
final class RedisConnection: Sendable {
    private let channel: any Channel
    private let pipeline: NIOLockedValueBox<CommandPipeline>
    private let traffic: Traffic

    private init(channel: any Channel, pipeline: NIOLockedValueBox<CommandPipeline>, traffic: Traffic) {
        self.channel = channel
        self.pipeline = pipeline
        self.traffic = traffic
    }

    /// Bytes of one connection.
    final class Traffic: Sendable {
        let read = Atomic<UInt64>(0)
        /// Handed to the channel; some may still wait to be written.
        let flushed = Atomic<UInt64>(0)
    }

    /// What happens to what comes in; both are called on the event loop and must not block.
    struct Callbacks: Sendable {
        /// Takes the messages of a subscribing connection, one call per read; nil on a connection for commands.
        var messages: (@Sendable (RedisMessages) -> Void)?
        /// Sees every error reply, before the caller it belongs to.
        var errorReply: @Sendable (RedisError) -> Void = { _ in }
    }

    /// Connects, and says nothing to the server yet; returns at once when cancelled.
    ///
    /// A host name is resolved anew for each connection, and its addresses are tried side by side; `resolver` stands in
    /// for the system's.
    static func open(
        _ settings: RedisSettings, at endpoint: RedisEndpoint, on loop: any EventLoop,
        resolver: (any Resolver & Sendable)? = nil, _ callbacks: Callbacks = Callbacks()
    ) async throws(RedisError) -> RedisConnection {
        let pipeline = NIOLockedValueBox(
            CommandPipeline(
                maximumInFlight: settings.maximumInFlight, maximumInFlightBytes: settings.maximumInFlightBytes))
        let traffic = Traffic()
        do {
            let tls = try endpoint.usesTLS ? tlsContext(settings) : nil
            let bootstrap = bootstrap(for: endpoint, on: loop, resolver: resolver)
                .connectTimeout(.nanoseconds(settings.connectTimeout.wholeNanoseconds))
                // What one read brought is consumed before the next: it is still in the cache then, and its memory
                // is used again.
                .channelOption(.maxMessagesPerRead, value: 1)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        if let tls {
                            try channel.pipeline.syncOperations.addHandler(
                                NIOSSLClientHandler(context: tls, serverHostname: endpoint.tlsName))
                        }
                        guard
                            let reader = RESPReader(
                                maximumReplyBytes: settings.maximumReplyBytes,
                                takesMessages: callbacks.messages != nil)
                        else {
                            throw RedisError(.connectFailed, "no memory for a reader")
                        }
                        try channel.pipeline.syncOperations.addHandler(
                            RedisChannelHandler(
                                reader: reader, pipeline: pipeline, traffic: traffic, callbacks: callbacks))
                    }
                }
            let channel = try await cancellable(bootstrap.connect(to: endpoint.address), on: loop)
            return RedisConnection(channel: channel, pipeline: pipeline, traffic: traffic)
        } catch {
            throw RedisError(connecting: error)
        }
    }

    private static func bootstrap(
        for endpoint: RedisEndpoint, on loop: any EventLoop, resolver: (any Resolver & Sendable)?
    ) -> ClientBootstrap {
        let bootstrap = ClientBootstrap(group: loop).resolver(resolver)
        guard endpoint.isNetwork else { return bootstrap }
        return KeepAlive.options.reduce(bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1)) {
            bootstrap, option in
            bootstrap.channelOption(
                ChannelOptions.Types.SocketOption(level: option.level, name: option.name), value: option.value)
        }
    }

    /// A connection that comes after the caller has left is closed.
    private static func cancellable(
        _ attempt: EventLoopFuture<any Channel>, on loop: any EventLoop
    ) async throws -> any Channel {
        let outcome = Promise<Result<any Channel, any Error>>()
        attempt.whenComplete { result in
            if !outcome.fulfil(result), case .success(let late) = result { late.close(promise: nil) }
        }
        return try await withTaskCancellationHandler {
            try await outcome.value().get()
        } onCancel: {
            outcome.fulfil(.failure(RedisError(.cancelled, "the attempt was stopped")))
        }
    }

    private static func tlsContext(_ settings: RedisSettings) throws -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if let file = settings.certificateAuthority { configuration.trustRoots = .file(file) }
        return try NIOSSLContext(configuration: configuration)
    }

    /// How far the connection has come, to be compared with how far it was before.
    struct Progress {
        fileprivate let read: UInt64
        fileprivate let written: Int64
        fileprivate let waiting: Int

        /// Whether the peer has shown life since: it sent something, or it took something from a socket that was full.
        ///
        /// What a socket with room takes goes into the kernel and proves nothing (PITFALLS 5.18).
        func showsLife(since earlier: Progress) -> Bool {
            read > earlier.read || (earlier.waiting > 0 && written > earlier.written)
        }
    }

    /// Includes the writes that were enqueued before the call.
    func progress() async -> Progress {
        // A closed channel has nothing left to write.
        let waiting = (try? await channel.getOption(.bufferedWritableBytes).get()) ?? 0
        return Progress(
            read: traffic.read.load(ordering: .relaxed),
            written: Int64(clamping: traffic.flushed.load(ordering: .relaxed)) - Int64(waiting), waiting: waiting)
    }

    /// Whether it may still carry commands; false before `waitUntilClosed` returns.
    var isOpen: Bool { pipeline.withLockedValue { $0.closed == nil } }

    /// The address that was connected to.
    var remoteAddress: SocketAddress? { channel.remoteAddress }

    /// Sends without waiting: commands go out in the order of these calls, and `completion` is called exactly once, on
    /// the event loop or, for a refusal, at once.
    @discardableResult
    func enqueue(
        _ command: [RedisArgument], replies: Int = 1, timeout: Duration, isBounded: Bool = true,
        completion: @escaping @Sendable (Result<RESPValue, RedisError>) -> Void
    ) -> UInt64? {
        let deadline = channel.eventLoop.now + .nanoseconds(timeout.wholeNanoseconds)
        do {
            let (id, followup) = try pipeline.withLockedValue { pipeline in
                try pipeline.enqueue(
                    command, replies: replies, deadline: deadline, isBounded: isBounded,
                    completion: CommandPipeline.Completion(completion))
            }
            if followup.schedulesFlush {
                if followup.isAlone, channel.eventLoop.inEventLoop {
                    flush()
                } else {
                    channel.eventLoop.execute { self.flush() }
                }
            }
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
        traffic.flushed.wrappingAdd(UInt64(bytes.readableBytes), ordering: .relaxed)
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

    /// Closes the socket for `reason`; whether the commands without a reply are carried out is unknown.
    func close(_ reason: RedisError) {
        let left = pipeline.withLockedValue { $0.close(reason) }
        let unknown = reason.isOutcomeUnknown ? reason : RedisError(.connectionLost, "left: \(reason.message)")
        for completion in left { completion(.failure(unknown)) }
        channel.close(promise: nil)
    }

    /// Sends several commands in one go and waits for all replies, in order.
    func send(all commands: [[RedisArgument]], timeout: Duration) async -> [Result<RESPValue, RedisError>] {
        let replies = commands.map { command in
            let reply = Promise<Result<RESPValue, RedisError>>()
            enqueue(command, timeout: timeout) { reply.fulfil($0) }
            return reply
        }
        var results: [Result<RESPValue, RedisError>] = []
        for reply in replies { results.append(await reply.value()) }
        return results
    }

    /// Waits for an answer, or until so much time has passed on the event loop; nil then, and when cancelled.
    ///
    /// The loop reads what has arrived before its timers run, so an answer that came in time wins even after a stall.
    func wait<Answer: Sendable>(for answer: Promise<Answer>, atMost length: Duration) async -> Answer? {
        let first = Promise<Answer?>()
        let timer = channel.eventLoop.scheduleTask(in: .nanoseconds(length.wholeNanoseconds)) { first.fulfil(nil) }
        // Ends with the answer, which comes at the latest when the connection is closed.
        Task { first.fulfil(await answer.value()) }
        defer { timer.cancel() }
        return await withTaskCancellationHandler {
            await first.value()
        } onCancel: {
            first.fulfil(nil)
        }
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

extension ClientBootstrap {
    /// An IP address needs no resolver, which other names may keep busy.
    fileprivate func connect(to address: RedisEndpoint.Address) -> EventLoopFuture<any Channel> {
        switch address {
        case .unixSocket(let path): connect(unixDomainSocketPath: path)
        case .network(let host, let port):
            // Thrown: not an IP address.
            if let ip = try? SocketAddress(ipAddress: host, port: port) {
                connect(to: ip)
            } else {
                connect(host: host, port: port)
            }
        }
    }
}
