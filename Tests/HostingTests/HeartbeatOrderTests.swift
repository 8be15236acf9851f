import Bus
import Domain
import Hosting
import NIOConcurrencyHelpers
import TestKit
import Testing
import Wire

/// Heartbeats that take their time while there is news.
@Suite struct HeartbeatOrderTests {
    // CHECKLIST R36: an older heartbeat never comes after a newer one, and none after the last.
    @Test(.timeLimit(.minutes(2)))
    func `a heartbeat that is slow to make is not overtaken by news, and nothing follows the last`() async throws {
        try await withRedis { redis in
            try await withPostgres { database in
                let observer = try Observer(redis)
                let beats = try await observer.bus.subscribe(to: Channels.heartbeats)
                let collected = NIOLockedValueBox<[Heartbeat]>([])
                // Ended with the test.
                let collector = Task {
                    for await delivery in beats {
                        guard case .message(let envelope, _) = delivery, envelope.body.instance == "slow-1" else {
                            continue
                        }
                        collected.withLockedValue { $0.append(envelope.body) }
                    }
                }
                let asked = NIOLockedValueBox(0)
                let (news, tell) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
                let (_, error) = try await withHost(redis: redis.url, database, instance: "slow-1") { host in
                    host.sendHeartbeats(hurriedBy: [news]) {
                        let number = asked.withLockedValue {
                            $0 += 1
                            return $0
                        }
                        // Each second one gives another the chance to come before it.
                        let until = host.clock.now.advanced(by: .milliseconds(200))
                        while number % 2 == 0, host.clock.now < until, asked.withLockedValue({ $0 }) == number {
                            tell.yield()
                            await Task.yield()
                        }
                        return HeartbeatContent(status: .healthy, checks: [:])
                    }
                    try await eventually("ten heartbeats") { collected.withLockedValue { $0.count >= 10 } }
                }
                if let error { throw error }
                try await eventually("the last heartbeat") {
                    collected.withLockedValue { $0.contains { $0.status == .stopping } }
                }
                let all = collected.withLockedValue { $0 }
                #expect(all.map(\.beat) == Array(1...Int64(all.count)))
                #expect(all.last?.status == .stopping)
                collector.cancel()
                await observer.stop()
            }
        }
    }
}
