import NIOConcurrencyHelpers
import Redis
import Resilience
import Runtime

/// Publishers that never stop: numbered messages, each channel its own numbers from 1.
public final class Traffic: Sendable {
    private struct Counts {
        var attempted: [String: Int] = [:]
        var acknowledged: [String: [Int]] = [:]
    }

    private let counts = NIOLockedValueBox(Counts())

    /// The highest number sent on that channel, arrived or not.
    public func attempted(on channel: String) -> Int { counts.withLockedValue { $0.attempted[channel, default: 0] } }

    /// The numbers the server has taken, in order.
    public func acknowledged(on channel: String) -> [Int] {
        counts.withLockedValue { $0.acknowledged[channel, default: []] }
    }

    /// Publishes one after the other until cancelled; `pause` lies between two, none means at full speed.
    fileprivate func publish(on channel: String, by client: RedisClient, pause: Duration) async throws {
        while !Task.isCancelled {
            let number = counts.withLockedValue { counts in
                counts.attempted[channel, default: 0] += 1
                return counts.attempted[channel, default: 0]
            }
            do {
                try await client.publish("\(number)", on: channel)
                counts.withLockedValue { $0.acknowledged[channel, default: []].append(number) }
                if pause > .zero { try await MachineClock.real.sleep(for: pause) }
            } catch is RedisError {
                // Lost, or its outcome is unknown: that is what the test is about.
                try await MachineClock.real.sleep(for: .milliseconds(2))
            }
        }
    }
}

/// Runs `body` while one task per channel publishes numbered messages.
public func withTraffic<R: Sendable>(
    on channels: [String], by client: RedisClient, pause: Duration = .milliseconds(1),
    _ body: @escaping @Sendable (Traffic) async throws -> R
) async throws -> R {
    let traffic = Traffic()
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        for channel in channels {
            tasks.addTask {
                // Ends by cancellation.
                try? await traffic.publish(on: channel, by: client, pause: pause)
            }
        }
        defer { tasks.cancelAll() }
        return try await body(traffic)
    }
}
