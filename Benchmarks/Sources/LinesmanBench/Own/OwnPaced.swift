import NIOCore
import Redis

/// Publishes on schedule and receives what it published, all on the event loop's own thread; the payload begins with
/// the time it was sent.
actor OwnPaced: OwnRole, NIOScheduledCallbackHandler {
    private let loop: any EventLoop
    private let client: RedisClient
    private let subscription: RedisSubscription
    private let channel: String
    private let interval: Int64
    private var payload: [UInt8]
    /// Of the slice that runs: messages still to be sent, when the next is due, and the first failure.
    private var unsent = 0
    private var due: Int64 = 0
    private var failure: (any Error)?

    nonisolated var unownedExecutor: UnownedSerialExecutor { client.unownedExecutor }

    init(_ client: RedisClient, _ channel: String, bytes: Int, rate: Int) async throws {
        guard bytes >= 8 else { throw BenchError(.usage, "no room for a time") }
        loop = Loops.only
        self.client = client
        self.channel = channel
        interval = Int64(1_000_000_000 / rate)
        payload = Array(repeating: 0, count: bytes)
        subscription = try await client.subscribe(to: [channel])
    }

    /// CPU and wall microseconds, then the latencies' 50th and 99th percentile in microseconds.
    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        var latencies: [Int64] = []
        latencies.reserveCapacity(count)
        let watch = try Stopwatch()
        unsent = count
        due = try ProcessTime.monotonicNanoseconds()
        tick()
        while latencies.count < count {
            guard case .messages(let messages) = await subscription.next() else {
                throw BenchError(.disagreement, "the subscription ended or missed messages")
            }
            for message in messages {
                latencies.append(try ProcessTime.monotonicNanoseconds() - Self.time(in: message.payload))
            }
            if let failure { throw failure }
        }
        let spent = try watch.read()
        latencies.sort()
        return spent + [latencies[count / 2], latencies[count * 99 / 100]].map { Double($0) / 1_000 }
    }

    nonisolated func handleScheduledCallback(eventLoop: some EventLoop) {
        assumeIsolated { $0.tick() }
    }

    /// Sends what is due and comes back for the next.
    private func tick() {
        do {
            while unsent > 0 {
                let now = try ProcessTime.monotonicNanoseconds()
                guard now >= due else {
                    try loop.scheduleCallback(in: .nanoseconds(due - now), handler: self)
                    return
                }
                publish(at: now)
                unsent -= 1
                due += interval
            }
        } catch {
            failure = error
        }
    }

    private func publish(at now: Int64) {
        payload.withUnsafeMutableBytes { $0.storeBytes(of: now, as: Int64.self) }
        client.enqueue(["PUBLISH", .text(channel), .bytes(payload)]) { reply in
            guard case .failure(let error) = reply else { return }
            self.assumeIsolated { $0.failure = error }
        }
    }

    private static func time(in payload: ArraySlice<UInt8>) -> Int64 {
        payload.withUnsafeBytes { $0.loadUnaligned(as: Int64.self) }
    }
}
