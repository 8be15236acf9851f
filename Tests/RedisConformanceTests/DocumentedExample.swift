import Logging
import Redis
import Runtime

/// Follows a channel until the task is cancelled.
func follow(
    _ channel: String, _ settings: RedisSettings, log: Logger,
    use: @escaping @Sendable (RedisMessage) -> Void, reread: @escaping @Sendable () -> Void
) async throws {
    let client = RedisClient(
        settings: settings, name: "reader", clock: .real, random: .system, log: log, metrics: MetricsRegistry())
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await client.run() }  // connects, and connects again
        tasks.addTask {
            for await delivery in try await client.subscribe(to: [channel]) {
                switch delivery {
                case .messages(let messages): for message in messages { use(message) }
                case .gap: reread()
                }
            }
        }
        try await tasks.waitForAll()
    }
}
