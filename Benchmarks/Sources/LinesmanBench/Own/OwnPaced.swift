import NIOCore
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
        pacer = Pacer(client, channel, bytes: bytes, interval: Int64(1_000_000_000 / rate), on: Loops.only)
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
private final class Pacer: NIOScheduledCallbackHandler, Sendable {
    /// Of the slice that runs: messages still to be sent, when the next is due, and the first failure.
    private struct State {
        var unsent = 0
        var due: Int64 = 0
        var payload: [UInt8]
        var failure: (any Error)?
    }

    private let client: RedisClient
    private let channel: String
    private let interval: Int64
    private let loop: any EventLoop
    private let state: NIOLoopBoundBox<State>

    init(_ client: RedisClient, _ channel: String, bytes: Int, interval: Int64, on loop: any EventLoop) {
        self.client = client
        self.channel = channel
        self.interval = interval
        self.loop = loop
        state = .makeBoxSendingValue(State(payload: Array(repeating: 0, count: bytes)), eventLoop: loop)
    }

    var failure: (any Error)? { state.value.failure }

    func start(_ count: Int) throws {
        state.value.unsent = count
        state.value.due = try ProcessTime.monotonicNanoseconds()
        handleScheduledCallback(eventLoop: loop)
    }

    /// Sends what is due and comes back for the next.
    func handleScheduledCallback(eventLoop: some EventLoop) {
        do {
            while state.value.unsent > 0 {
                let now = try ProcessTime.monotonicNanoseconds()
                guard now >= state.value.due else {
                    try eventLoop.scheduleCallback(in: .nanoseconds(state.value.due - now), handler: self)
                    return
                }
                publish(at: now)
            }
        } catch {
            state.value.failure = error
        }
    }

    private func publish(at now: Int64) {
        state.value.payload.withUnsafeMutableBytes { $0.storeBytes(of: now, as: Int64.self) }
        state.value.unsent -= 1
        state.value.due += interval
        client.enqueue(["PUBLISH", .text(channel), .bytes(state.value.payload)]) { reply in
            if case .failure(let error) = reply { self.state.value.failure = error }
        }
    }
}
