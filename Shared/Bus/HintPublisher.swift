import NIOConcurrencyHelpers
import Redis
import Runtime

/// Sends hints: at most once, in order, and never kept.
final class HintPublisher: Sendable {
    private let client: RedisClient
    private let metrics: BusMetrics
    /// The last sequence by channel; a dropped hint uses one up, so that subscribers see that it is missing.
    private let sequences = NIOLockedValueBox<[String: Int64]>([:])

    init(client: RedisClient, metrics: BusMetrics) {
        self.client = client
        self.metrics = metrics
    }

    /// Sends one hint, and says to how many subscribers.
    ///
    /// `encode` makes the payload of the sequence it is given; it is called under a lock, so that hints leave in the
    /// order of their sequences.
    func publish(on channel: String, encode: (Int64) throws -> [UInt8]) async throws -> Published {
        let outcome = Promise<Result<RESPValue, RedisError>>()
        try sequences.withLockedValue { sequences in
            let sequence = sequences[channel, default: 0] + 1
            let payload = try encode(sequence)
            sequences[channel] = sequence
            client.enqueue(["PUBLISH", .text(channel), .bytes(payload)]) { outcome.fulfil($0) }
        }
        switch await outcome.value() {
        case .success(let reply):
            metrics.hintsSent.increment()
            return .sent(receivers: Int(reply.integer ?? 0))
        case .failure:
            metrics.hintsDropped.increment()
            return .dropped
        }
    }
}
