import Bus
import Domain
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Runtime
import Wire

/// The message of these tests.
struct Note: WireMessage, Hashable {
    static let type = "note"
    let number: Int
    var text = ""
}

/// A bus with its client.
struct Station: Sendable {
    let bus: Bus
    let client: RedisClient
}

/// Runs a bus and its client for the length of `body`.
func withStation<R: Sendable>(
    _ settings: RedisSettings, source: String, _ body: @escaping @Sendable (Station) async throws -> R
) async throws -> R {
    try await withClient(settings, name: source.replacing("/", with: ".")) { client in
        let bus = Bus(
            client: client, identity: BusIdentity(source: source, incarnation: "life-1"), clock: .real,
            log: LogCapture().logger(), metrics: MetricsRegistry())
        return try await withThrowingTaskGroup(of: R?.self) { tasks in
            tasks.addTask {
                try? await bus.run()  // ends by cancellation
                return nil
            }
            tasks.addTask { try await body(Station(bus: bus, client: client)) }
            defer { tasks.cancelAll() }
            while let result = try await tasks.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }
}

/// What one subscriber of a bus received, in order.
final class Notebook: Sendable {
    private let state = NIOLockedValueBox<(numbers: [Int], gaps: [Gap])>(([], []))

    var numbers: [Int] { state.withLockedValue { $0.numbers } }
    var gaps: [Gap] { state.withLockedValue { $0.gaps } }
    /// What the gaps say is missing.
    var missed: Int { gaps.reduce(0) { $0 + ($1.missed ?? 0) } }

    func collect(_ subscription: Subscription<Note>) async {
        for await delivery in subscription {
            state.withLockedValue { state in
                switch delivery {
                case .message(let envelope, _): state.numbers.append(envelope.body.number)
                case .gap(let gap): state.gaps.append(gap)
                }
            }
        }
    }
}

/// Runs `body` while a task for each subscription writes down what it receives.
func noting<R: Sendable>(
    _ subscriptions: Subscription<Note>..., body: @escaping @Sendable ([Notebook]) async throws -> R
) async throws -> R {
    let notebooks = subscriptions.map { _ in Notebook() }
    return try await withThrowingTaskGroup(of: Void.self) { tasks in
        for (subscription, notebook) in zip(subscriptions, notebooks) {
            tasks.addTask { await notebook.collect(subscription) }
        }
        defer { tasks.cancelAll() }
        return try await body(notebooks)
    }
}
