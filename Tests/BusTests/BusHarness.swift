import Bus
import Domain
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Runtime
import TestKit
import Testing
import Wire

/// The message of these tests.
struct Note: WireMessage, Hashable {
    static let type = "note"
    let number: Int
    var text = ""
}

enum Notes {
    static let hint = Channel<Note>("notes:hint", .hint)
    static let journal = Channel<Note>("notes:journal", .journaled(keeping: 100_000))
    static let short = Channel<Note>("notes:short", .journaled(keeping: 10))
}

extension BusSettings {
    /// As they are read from these keys.
    static func of(_ values: [String: String]) -> BusSettings {
        BusSettings(SettingsReader(environment: values))
    }
}

/// A bus with its client.
struct Station: Sendable {
    let bus: Bus
    let client: RedisClient
}

/// Runs a bus and its client for the length of `body`.
func withBus<R: Sendable>(
    _ settings: RedisSettings, source: String = "test/1", incarnation: Incarnation = "life-1",
    bounds: BusSettings = BusSettings(), _ body: @escaping @Sendable (Station) async throws -> R
) async throws -> R {
    try await withClient(settings, name: source.replacing("/", with: ".")) { client in
        let bus = Bus(
            client: client, identity: BusIdentity(source: source, incarnation: incarnation), settings: bounds,
            clock: .real, log: LogCapture().logger(), metrics: MetricsRegistry())
        return try await withThrowingTaskGroup(of: R?.self) { tasks in
            tasks.addTask {
                try? await bus.run()  // ends by cancellation
                return nil
            }
            try await eventually(within: .seconds(20), "a running bus") { bus.status.isRunning }
            tasks.addTask { try await body(Station(bus: bus, client: client)) }
            defer { tasks.cancelAll() }
            while let result = try await tasks.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }
}

/// What one subscriber received, in order.
final class Received: Sendable {
    private let state = NIOLockedValueBox<(notes: [(source: String, number: Int)], gaps: [Gap])>(([], []))

    var numbers: [Int] { state.withLockedValue { $0.notes.map(\.number) } }
    var gaps: [Gap] { state.withLockedValue { $0.gaps } }

    func numbers(from source: String) -> [Int] {
        state.withLockedValue { $0.notes.filter { $0.source == source }.map(\.number) }
    }

    func collect(_ subscription: Subscription<Note>) async {
        for await delivery in subscription {
            state.withLockedValue { state in
                switch delivery {
                case .message(let envelope, _): state.notes.append((envelope.source, envelope.body.number))
                case .gap(let gap): state.gaps.append(gap)
                }
            }
        }
    }
}

/// Runs `body` while tasks collect from the subscriptions.
func collecting(
    _ subscriptions: [Subscription<Note>], _ body: @escaping @Sendable ([Received]) async throws -> Void
) async throws {
    let received = subscriptions.map { _ in Received() }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        for (subscription, received) in zip(subscriptions, received) {
            tasks.addTask { await received.collect(subscription) }
        }
        defer { tasks.cancelAll() }
        try await body(received)
    }
}
