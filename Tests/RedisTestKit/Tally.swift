import NIOConcurrencyHelpers
import Redis

/// Counts the numbered messages of a firehose without keeping them.
public final class Tally: Sendable {
    private struct State {
        var heard = 0
        var last: [String: Int] = [:]
        var disorders = 0
        var gaps: [RedisGap] = []
    }

    private let state = NIOLockedValueBox(State())

    public init() {}

    /// Messages heard, of all channels.
    public var heard: Int { state.withLockedValue { $0.heard } }
    public var gaps: [RedisGap] { state.withLockedValue { $0.gaps } }
    /// Messages whose number was not above the one before on their channel: out of order, or twice.
    public var disorders: Int { state.withLockedValue { $0.disorders } }
    /// The last number heard on a channel, 0 before the first.
    public func last(on channel: String) -> Int { state.withLockedValue { $0.last[channel, default: 0] } }

    public func count(_ subscription: RedisSubscription) async {
        for await delivery in subscription {
            state.withLockedValue { state in
                switch delivery {
                case .messages(let messages):
                    for message in messages {
                        guard let number = Int(String(decoding: message.payload, as: UTF8.self)) else { continue }
                        if number <= state.last[message.channel, default: 0] { state.disorders += 1 }
                        state.last[message.channel] = number
                        state.heard += 1
                    }
                case .gap(let gap):
                    state.gaps.append(gap)
                }
            }
        }
    }
}

/// Runs `body` while one task for each subscription counts.
public func tallying(
    _ subscriptions: [RedisSubscription], _ body: @escaping @Sendable ([Tally]) async throws -> Void
) async throws {
    let tallies = subscriptions.map { _ in Tally() }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        for (tally, subscription) in zip(tallies, subscriptions) { tasks.addTask { await tally.count(subscription) } }
        defer { tasks.cancelAll() }
        try await body(tallies)
    }
}
