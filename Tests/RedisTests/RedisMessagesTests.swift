import Runtime
import Testing

@testable import Redis

@Suite struct RedisMessagesTests {
    private func message(_ channel: String, _ text: String) -> RedisMessage {
        RedisMessage(channel: channel, payload: Array(text.utf8))
    }

    private func texts(_ messages: RedisMessages) -> [String] { messages.map { "\($0.channel)=\($0.text)" } }

    @Test func `batches are put together in order`() {
        var batch: RedisMessages = [message("a", "1"), message("b", "22")]
        let more: RedisMessages = [message("b", ""), message("a", "333")]
        batch.append(contentsOf: more)
        #expect(texts(batch) == ["a=1", "b=22", "b=", "a=333"])
        #expect(batch.byteCount == 6)
        #expect(batch == RedisMessages(Array(batch)))
        #expect(batch != more)
        #expect(texts(more) == ["b=", "a=333"])
    }

    @Test(arguments: [
        (10, 100, 4), (4, 10, 4), (3, 10, 3), (10, 9, 3), (10, 4, 1), (10, 3, 1), (0, 0, 1), (2, 7, 2),
    ])
    func `the newest that fit stay, at least one`(count: Int, bytes: Int, kept: Int) {
        let batch: RedisMessages = [message("a", "1"), message("b", "22"), message("a", "333"), message("b", "4444")]
        let newest = batch.newest(count: count, bytes: bytes)
        #expect(texts(newest) == texts(batch).suffix(kept))
    }

    @Test func `each queue gets its own messages and keeps no others`() async {
        let counter = MetricsRegistry().counter("dropped")
        let queues = (0..<3).map { _ in
            SubscriptionQueue(limit: 100, byteLimit: 1000, dropped: counter)
        }
        let batch: RedisMessages = [message("a", "1"), message("b", "22"), message("c", "333"), message("a", "4444")]
        let ways = ["a": [queues[0], queues[1]], "b": [queues[1]]]
        let routes = batch.origins.map { ways[$0.channel] ?? [] }
        let shares = SubscriptionShare.shares(of: batch, routes)
        #expect(shares.map { $0.queue === queues[0] } == [true, false])
        #expect(shares.map { texts($0.messages) } == [["a=1", "a=4444"], ["a=1", "b=22", "a=4444"]])
        #expect(shares.map(\.messages.byteCount) == [5, 7])
    }

    @Test func `a queue hands out small batches together and large ones apart`() async {
        let queue = SubscriptionQueue(
            limit: 1000, byteLimit: 1 << 20, dropped: MetricsRegistry().counter("dropped"))
        let payload = String(repeating: "x", count: 30_000)
        for _ in 0..<5 { queue.push([message("a", payload)]) }
        var sizes: [Int] = []
        for _ in 0..<3 {
            guard case .messages(let messages)? = await queue.next() else { continue }
            sizes.append(messages.count)
        }
        #expect(sizes == [2, 2, 1])
    }
}
