import Bus
import Domain
import Redis
import RedisTestKit
import Runtime

/// A bus and its client, as one process has them.
public struct BusStation: Sendable {
    public let bus: Bus
    public let client: RedisClient

    /// Runs a bus and its client for the length of `body`, and waits until both connections are up.
    public static func run<R: Sendable>(
        _ settings: RedisSettings, source: String, incarnation: Incarnation = "life-1",
        bounds: BusSettings = BusSettings(), _ body: @escaping @Sendable (BusStation) async throws -> R
    ) async throws -> R {
        try await withClient(settings, name: source.replacing("/", with: ".")) { client in
            let identity = BusIdentity(source: source, incarnation: incarnation)
            let bus = Bus(
                client: client, identity: identity, settings: bounds, clock: .real, log: LogCapture().logger(),
                metrics: MetricsRegistry())
            return try await withThrowingTaskGroup(of: R?.self) { tasks in
                tasks.addTask {
                    try? await bus.run()  // ends by cancellation
                    return nil
                }
                tasks.addTask { try await body(BusStation(bus: bus, client: client)) }
                defer { tasks.cancelAll() }
                while let result = try await tasks.next() {
                    if let result { return result }
                }
                throw CancellationError()
            }
        }
    }
}
