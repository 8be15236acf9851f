import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// What happens to a subscription is said, to its consumer and to the operator.
@Suite(.timeLimit(.minutes(2))) struct EventTests {
    @Test func `5.8 a deaf time is opened and closed by typed events, for every kind of loss`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        let settings = patientSettings(proxy.url, ["REDIS_PONG_TIMEOUT_MS": "1500"])
        try await withClient(settings) { client in
            let first = try await client.subscribe(to: ["a"])
            let second = try await client.subscribe(matching: ["p:*"])
            let heard = NIOLockedValueBox<[RedisEvent]>([])
            let events = client.events()
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { for await event in events { heard.withLockedValue { $0.append(event) } } }
                defer { tasks.cancelAll() }
                for (index, fault) in [proxy.close, proxy.reset, proxy.forget].enumerated() {
                    try await fault()
                    try await eventually(within: .seconds(20), "closed \(index + 1) times") {
                        Self.gaps(heard.withLockedValue { $0 }).filter { $0 == .closed }.count > index
                    }
                    // Closed means that nothing is deaf any more.
                    #expect(client.status.observed == 2)
                    _ = try await server.publish("\(index)", on: "a")
                    _ = try await server.publish("\(index)", on: "p:x")
                    for subscription in [first, second] {
                        #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
                        #expect(await subscription.next() != nil)
                    }
                }
                let all = heard.withLockedValue { $0 }
                #expect(Self.gaps(all) == [.opened(2), .closed, .opened(2), .closed, .opened(2), .closed])
                let losses = all.count { if case .lost(.subscriptions, _, _) = $0 { true } else { false } }
                #expect(losses == 3)
            }
        }
    }

    private enum Gap: Hashable {
        /// With the number of subscriptions that have become deaf.
        case opened(Int)
        case closed
    }

    private static func gaps(_ events: [RedisEvent]) -> [Gap] {
        events.compactMap { event in
            switch event {
            case .gapOpened(_, let subscriptions): .opened(subscriptions)
            case .gapClosed: .closed
            default: nil
            }
        }
    }
}
