import NIOConcurrencyHelpers
import Runtime
import TestKit
import Testing

@testable import Redis

@Suite(.timeLimit(.minutes(1))) struct GateTests {
    @Test func `a gate lets one through each time it is opened`() async throws {
        let gate = Gate()
        let passed = NIOLockedValueBox(0)
        let task = Task {
            for _ in 1...3 {
                await gate.pass()
                passed.withLockedValue { $0 += 1 }
            }
        }
        for round in 1...3 {
            #expect(passed.withLockedValue { $0 } == round - 1)
            gate.open()
            try await eventually("round \(round)") { passed.withLockedValue { $0 } == round }
        }
        await task.value
    }

    @Test func `a gate that is open lets the next one through at once`() async {
        let gate = Gate()
        gate.open()
        gate.open()
        await gate.pass()
    }

    @Test func `no message is left behind, however pushing and waiting interleave`() async {
        let queue = SubscriptionQueue(
            limit: 100_000, byteLimit: 1 << 30, dropped: MetricsRegistry().counter("dropped"))
        let count = 20_000
        let pushing = Task {
            for number in 0..<count {
                queue.push([RedisMessage(channel: "a", payload: Array("\(number)".utf8))])
                if number.isMultiple(of: 7) { await Task.yield() }
            }
        }
        var next = 0
        while next < count, case .messages(let messages)? = await queue.next() {
            for message in messages {
                #expect(message.text == "\(next)")
                next += 1
            }
        }
        await pushing.value
        #expect(next == count)
    }

    @Test func `cancelling ends a wait and leaves the queue to the next consumer`() async {
        let queue = SubscriptionQueue(limit: 10, byteLimit: 1000, dropped: MetricsRegistry().counter("dropped"))
        for number in 0..<500 {
            let cancelled = Task { await queue.next() }
            if number.isMultiple(of: 2) { await Task.yield() }
            cancelled.cancel()
            #expect(await cancelled.value == nil)
            let message = RedisMessage(channel: "a", payload: Array("\(number)".utf8))
            let following = Task { await queue.next() }
            queue.push([message])
            #expect(await following.value == .messages([message]))
        }
    }
}
