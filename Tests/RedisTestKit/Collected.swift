import NIOConcurrencyHelpers
import Redis

/// Collects what a subscription delivers, in order, until it ends.
public final class Collected: Sendable {
    private let state = NIOLockedValueBox<(texts: [String], gaps: [RedisGap])>(([], []))

    public init() {}

    /// `channel=payload` for each message, `gap` for each gap.
    public var texts: [String] { state.withLockedValue { $0.texts } }
    public var gaps: [RedisGap] { state.withLockedValue { $0.gaps } }

    /// The payloads of one channel that are numbers, in order.
    public func numbers(on channel: String) -> [Int] {
        texts.filter { $0.hasPrefix(channel + "=") }.compactMap { Int($0.dropFirst(channel.count + 1)) }
    }

    public func collect(_ subscription: RedisSubscription) async {
        for await delivery in subscription {
            state.withLockedValue { state in
                switch delivery {
                case .messages(let messages):
                    state.texts += messages.map { "\($0.channel)=\($0.text)" }
                case .gap(let gap):
                    state.gaps.append(gap)
                    state.texts.append("gap")
                }
            }
        }
    }
}

/// Runs `body` while a task collects from the subscription.
public func collecting(
    _ subscription: RedisSubscription, _ body: @escaping @Sendable (Collected) async throws -> Void
) async throws {
    let collected = Collected()
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { await collected.collect(subscription) }
        defer { tasks.cancelAll() }
        try await body(collected)
    }
}
