import NIOConcurrencyHelpers
import Redis

/// The events of a client, kept in order.
public final class Heard: Sendable {
    private let list = NIOLockedValueBox<[RedisEvent]>([])

    public init() {}

    public var events: [RedisEvent] { list.withLockedValue { $0 } }

    public func listen(to events: AsyncStream<RedisEvent>) async {
        for await event in events { list.withLockedValue { $0.append(event) } }
    }
}

/// Runs `body` while a task keeps the client's events.
public func hearing<R: Sendable>(
    _ client: RedisClient, _ body: @escaping @Sendable (Heard) async throws -> R
) async throws -> R {
    let heard = Heard()
    let events = client.events()
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { await heard.listen(to: events) }
        defer { tasks.cancelAll() }
        return try await body(heard)
    }
}
