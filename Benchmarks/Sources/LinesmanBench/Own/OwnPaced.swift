import CTimer
import NIOCore
import NIOPosix
import Redis

/// Publishes on schedule and receives what it published, all on the event loop's own thread; the payload begins with
/// the time it was sent.
actor OwnPaced: OwnRole {
    private let client: RedisClient
    private let subscription: RedisSubscription
    private let pacer: Pacer

    nonisolated var unownedExecutor: UnownedSerialExecutor { client.unownedExecutor }

    init(_ client: RedisClient, _ channel: String, bytes: Int, rate: Int) async throws {
        guard bytes >= 8 else { throw BenchError(.usage, "no room for a time") }
        self.client = client
        pacer = try await Pacer.open(client, channel, bytes: bytes, interval: Int64(1_000_000_000 / rate))
        subscription = try await client.subscribe(to: [channel])
    }

    /// CPU and wall microseconds, then the latencies' 50th and 99th percentile in microseconds.
    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        var latencies: [Int64] = []
        latencies.reserveCapacity(count)
        let watch = try Stopwatch()
        try pacer.start(count)
        while latencies.count < count {
            guard case .messages(let messages) = await subscription.next() else {
                throw BenchError(.disagreement, "the subscription ended or missed messages")
            }
            for message in messages {
                latencies.append(try ProcessTime.monotonicNanoseconds() - Self.time(in: message.payload))
            }
            if let failure = pacer.failure { throw failure }
        }
        let spent = try watch.read()
        latencies.sort()
        return spent + [latencies[count / 2], latencies[count * 99 / 100]].map { Double($0) / 1_000 }
    }

    private static func time(in payload: ArraySlice<UInt8>) -> Int64 {
        payload.withUnsafeBytes { $0.loadUnaligned(as: Int64.self) }
    }
}

/// Publishes on schedule, on the event loop.
///
/// The timer is one that the kernel repeats: the loop's own would be set anew for each message, and that is no part of
/// what is measured. The C peer's `ppoll` has its time-out for nothing.
private final class Pacer: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    /// Of the slice that runs: messages still to be sent, and the first failure.
    private struct State {
        var unsent = 0
        var payload: [UInt8]
        var failure: (any Error)?
    }

    private let client: RedisClient
    private let channel: String
    private let interval: Int64
    private let timer: Int32
    private let state: NIOLoopBoundBox<State>

    private init(_ client: RedisClient, _ channel: String, bytes: Int, interval: Int64) throws {
        self.client = client
        self.channel = channel
        self.interval = interval
        timer = timer_open()
        guard timer >= 0 else { throw BenchError(.failure, "no timer") }
        state = .makeBoxSendingValue(State(payload: Array(repeating: 0, count: bytes)), eventLoop: Loops.only)
    }

    /// Opened once, for as long as the process lives.
    static func open(_ client: RedisClient, _ channel: String, bytes: Int, interval: Int64) async throws -> Pacer {
        let pacer = try Pacer(client, channel, bytes: bytes, interval: interval)
        _ = try await NIOPipeBootstrap(group: Loops.only)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(pacer) }
            }
            .takingOwnershipOfDescriptor(input: pacer.timer).get()
        return pacer
    }

    var failure: (any Error)? { state.value.failure }

    func start(_ count: Int) throws {
        state.value.unsent = count
        guard timer_repeat(timer, interval) == 0 else { throw BenchError(.failure, "the timer does not run") }
    }

    /// Sends what is due: the timer says how often it has expired since it was read.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        let due = Int(bytes.readInteger(endianness: .host, as: UInt64.self) ?? 0)
        do {
            for _ in 0..<min(due, state.value.unsent) { publish(at: try ProcessTime.monotonicNanoseconds()) }
        } catch {
            state.value.failure = error
        }
        if state.value.unsent == 0 { _ = timer_repeat(timer, 0) }
    }

    private func publish(at now: Int64) {
        state.value.payload.withUnsafeMutableBytes { $0.storeBytes(of: now, as: Int64.self) }
        state.value.unsent -= 1
        client.enqueue(["PUBLISH", .text(channel), .bytes(state.value.payload)]) { reply in
            if case .failure(let error) = reply { self.state.value.failure = error }
        }
    }
}
