import Runtime
import Testing

@testable import Redis

@Suite struct SubscriptionQueueTests {
    private let counter = MetricsRegistry().counter("dropped")

    private func queue(_ limit: Int, bytes: Int = 1000) -> SubscriptionQueue {
        SubscriptionQueue(limit: limit, byteLimit: bytes, dropped: counter)
    }

    private func messages(_ numbers: ClosedRange<Int>) -> RedisMessages {
        RedisMessages(numbers.map { RedisMessage(channel: "c", payload: Array("\($0)".utf8)) })
    }

    @Test func `all that is there comes in one batch`() async {
        let queue = queue(10)
        queue.push(messages(1...2))
        queue.push(messages(3...3))
        #expect(await queue.next() == .messages(messages(1...3)))
    }

    @Test func `a full queue gives one gap, then the newest`() async {
        let queue = queue(3)
        for number in 1...10 { queue.push(messages(number...number)) }
        let gap = await queue.next()
        let rest = await queue.next()
        #expect(gap == .gap(RedisGap(.overflow, dropped: 9)))
        #expect(rest == .messages(messages(10...10)))
        #expect(counter.value == 9)
    }

    @Test func `bytes are bounded too`() async {
        let queue = queue(100, bytes: 10)
        queue.push([RedisMessage(channel: "c", payload: Array(repeating: 1, count: 8))])
        queue.push([RedisMessage(channel: "c", payload: Array(repeating: 2, count: 8))])
        #expect(await queue.next() == .gap(RedisGap(.overflow, dropped: 1)))
    }

    @Test func `an interruption is one gap between the messages of both connections`() async {
        let queue = queue(10)
        queue.push(messages(1...1))
        queue.interrupt()
        queue.push(messages(2...2))
        queue.resume()
        queue.resume()
        queue.push(messages(3...3))
        let deliveries = [await queue.next(), await queue.next(), await queue.next()]
        #expect(deliveries == [.messages(messages(1...1)), .gap(RedisGap(.reconnected)), .messages(messages(3...3))])
    }

    @Test func `gaps with nothing between them are one, the most severe`() async {
        let queue = queue(10)
        queue.push(RedisGap(.overflow, dropped: 2))
        queue.push(RedisGap(.dataLost))
        queue.push(RedisGap(.reconnected))
        queue.finish()
        let first = await queue.next()
        let second = await queue.next()
        #expect(first == .gap(RedisGap(.dataLost, dropped: 2)))
        #expect(second == nil)
    }

    @Test func `a cancelled consumer gets nothing and harms nobody`() async {
        let queue = queue(10)
        let consumer = Task { await queue.next() }
        consumer.cancel()
        #expect(await consumer.value == nil)
        queue.push(messages(1...1))
        #expect(await queue.next() == .messages(messages(1...1)))
    }
}
