import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import RedisTestKit
import Runtime
import TestKit
import Testing

@testable import Redis

/// An actor on the event loop, as an owner would write it.
private actor PinnedConsumer {
    private let loop: any EventLoop
    private(set) var received = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor.asUnownedSerialExecutor() }

    init(_ loop: any EventLoop) {
        self.loop = loop
    }

    func consume(_ queue: SubscriptionQueue) async {
        while let delivery = await queue.next() { take(delivery) }
    }

    private func take(_ delivery: RedisDelivery) {
        loop.preconditionInEventLoop()
        if case .messages(let messages) = delivery { received += messages.count }
    }

    /// Callable on the loop without waiting.
    nonisolated var receivedOnLoop: Int { assumeIsolated { $0.received } }
}

@Suite(.timeLimit(.minutes(1))) struct PinnedConsumerTests {
    private let loop = MultiThreadedEventLoopGroup.singleton.next()

    private func queue() -> SubscriptionQueue {
        SubscriptionQueue(
            limit: 1000, byteLimit: 1 << 20, dropped: MetricsRegistry().counter("dropped"))
    }

    private static let message: RedisMessages = [RedisMessage(channel: "a", payload: [1])]

    /// Pushes one message on the loop, and says what the consumer has after so many turns of the loop.
    ///
    /// The loop waits for nobody in between: what is done then was done by the loop alone.
    private func push(to queue: SubscriptionQueue, turns: Int, _ received: @escaping @Sendable () -> Int) async throws
        -> Int
    {
        let result = loop.makePromise(of: Int.self)
        @Sendable func turn(_ left: Int) {
            loop.execute { [loop] in
                loop.assertInEventLoop()
                if left == 0 { result.succeed(received()) } else { turn(left - 1) }
            }
        }
        loop.execute {
            queue.push(Self.message)
            turn(turns)
        }
        return try await result.futureResult.get()
    }

    @Test func `a pinned consumer receives within a few turns of its loop, without another thread`() async throws {
        let queue = queue()
        let consumer = PinnedConsumer(loop)
        async let done: Void = consumer.consume(queue)
        queue.push(Self.message)
        try await eventually("the first") { await consumer.received == 1 }
        for round in 2...100 {
            let received = try await push(to: queue, turns: 10) { consumer.receivedOnLoop }
            #expect(received == round)
        }
        queue.finish()
        await done
    }

    @Test func `a task that prefers the loop receives there too`() async throws {
        let queue = queue()
        let executor = LoopExecutor(loop)
        let received = NIOLockedValueBox(0)
        let task = Task(executorPreference: executor) {
            while case .messages(let messages)? = await queue.next() {
                executor.loop.preconditionInEventLoop()
                received.withLockedValue { $0 += messages.count }
            }
        }
        queue.push(Self.message)
        try await eventually("the first") { received.withLockedValue { $0 } == 1 }
        for round in 2...100 {
            let count = try await push(to: queue, turns: 10) { received.withLockedValue { $0 } }
            #expect(count == round)
        }
        queue.finish()
        await task.value
    }

    @Test func `a pinned consumer of a real server stays on the client's loop, a slow one off it holds nobody up`()
        async throws
    {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url, ["REDIS_QUEUE_MAX_MESSAGES": "10"])) { client in
            // Never asks for anything.
            let slow = try await client.subscribe(to: ["a"])
            let fast = try await client.subscribe(to: ["a"])
            let consumer = PinnedClientConsumer(client)
            async let done: Void = consumer.follow(fast)
            for number in 1...1000 { client.enqueue(["PUBLISH", "a", .integer(Int64(number))]) { _ in } }
            try await eventually(within: .seconds(20), "all") { await consumer.last == 1000 }
            #expect(slow.dropped > 0)
            #expect(await slow.next() == .gap(RedisGap(.overflow, dropped: slow.dropped)))
            fast.cancel()
            await done
        }
    }
}

/// As the documentation of `RedisClient.unownedExecutor` shows it.
private actor PinnedClientConsumer {
    let client: RedisClient
    private(set) var last = 0

    nonisolated var unownedExecutor: UnownedSerialExecutor { client.unownedExecutor }

    init(_ client: RedisClient) {
        self.client = client
    }

    func follow(_ subscription: RedisSubscription) async {
        for await delivery in subscription {
            if case .messages(let messages) = delivery { last = messages.last.flatMap { Int($0.text) } ?? 0 }
        }
    }
}
