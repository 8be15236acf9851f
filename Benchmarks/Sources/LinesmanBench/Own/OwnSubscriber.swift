import Bus
import Domain
import Logging
import Redis
import Runtime
import Wire

/// Counts messages and their bytes on the event loop's own thread, as a consumer that must not hop does.
actor OwnSubscriber: OwnRole {
    private let client: RedisClient
    private let subscription: RedisSubscription

    nonisolated var unownedExecutor: UnownedSerialExecutor { client.unownedExecutor }

    init(_ client: RedisClient, _ channel: String) async throws {
        self.client = client
        subscription = try await client.subscribe(to: [channel])
    }

    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        armed()
        let watch = try Stopwatch()
        var left = count
        var bytes = 0
        while left > 0 {
            guard case .messages(let messages) = await subscription.next() else {
                throw BenchError(.disagreement, "the subscription ended or missed messages")
            }
            for message in messages { bytes += message.payload.count }
            left -= messages.count
        }
        return try watch.read() + [Double(bytes)]
    }
}

/// Receives decoded messages through the bus; every slice subscribes anew, as its sequences begin again.
final class OwnBusSubscriber: OwnRole {
    private let bus: Bus
    private let channel: Channel<PriceUpdate>

    init(_ client: RedisClient, _ channel: String) async throws {
        bus = try OwnBus.make(client)
        self.channel = Channel(channel, .hint)
    }

    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        let subscription = try await bus.subscribe(to: channel)
        armed()
        let watch = try Stopwatch()
        var left = count
        for await delivery in subscription {
            guard case .message = delivery else { throw BenchError(.disagreement, "the bus missed messages") }
            left -= 1
            if left == 0 { break }
        }
        return try watch.read()
    }
}

enum OwnBus {
    static func make(_ client: RedisClient) throws -> Bus {
        var log = Logger(label: "bench") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = .warning
        let identity = BusIdentity(source: "bench/bench", incarnation: "f3b0a1de-9f7c-4a55-8f0e-2f4f6a9f2f10")
        return Bus(client: client, identity: identity, clock: .real, log: log, metrics: MetricsRegistry())
    }
}
