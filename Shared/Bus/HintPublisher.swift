import NIOConcurrencyHelpers
import Redis
import Resilience
import Runtime
import Wire

/// Sends hints: at most once, in order, and never kept; what is lost is said as soon as there is a connection.
///
/// A lost hint uses up its sequence, so the next hint shows that it is missing; a mark shows it earlier, and also when
/// no next hint comes.
final class HintPublisher: Sendable {
    /// Hints of one channel that were lost and not yet reported by a mark.
    private struct Loss {
        var sequence: Int64
        var count: Int
        var at: MachineInstant
    }

    /// Channels whose sequence is remembered.
    static let channelsKept = 65_536

    private let client: RedisClient
    private let encoder: EnvelopeEncoder
    private let clock: MachineClock
    private let metrics: BusMetrics
    private let counts = NIOLockedValueBox(HintSequences(channelsKept: channelsKept))
    /// A lock of its own, always taken last: completions come at any time.
    private let losses = NIOLockedValueBox<[String: Loss]>([:])

    init(client: RedisClient, encoder: EnvelopeEncoder, clock: MachineClock, metrics: BusMetrics) {
        self.client = client
        self.encoder = encoder
        self.clock = clock
        self.metrics = metrics
    }

    /// Sends one hint, and says to how many subscribers.
    func publish(_ draft: EnvelopeDraft, on channel: String) async -> Published {
        await withCheckedContinuation { continuation in
            post(draft, on: channel) { continuation.resume(returning: $0) }
        }
    }

    /// Sends one hint without waiting; `told` hears what became of it, on the connection's loop.
    func post(_ draft: EnvelopeDraft, on channel: String, told: @escaping @Sendable (Published) -> Void = { _ in }) {
        // Hints leave in the order of their sequences.
        counts.withLockedValue { counts in
            let server = sayLoss(on: channel)
            let sequence = counts.next(channel)
            let payload = RedisArgument.bytes(draft.payload(sequence: sequence))
            client.enqueue(["PUBLISH", .text(channel), payload], on: server) { result in
                told(self.sent(result, sequence, on: channel))
            }
        }
    }

    private func sent(_ result: Result<RESPValue, RedisError>, _ sequence: Int64, on channel: String) -> Published {
        switch result {
        case .success(let reply):
            metrics.hintsSent.increment()
            return .sent(receivers: Int(reply.integer ?? 0))
        case .failure:
            metrics.hintsDropped.increment()
            lost(Loss(sequence: sequence, count: 1, at: clock.now), on: channel)
            return .dropped
        }
    }

    /// Sends every mark that is due: there is a connection now.
    func sayLosses() {
        for channel in losses.withLockedValue({ $0.keys.sorted() }) {
            _ = counts.withLockedValue { _ in sayLoss(on: channel) }
        }
    }

    /// Sends the mark of a channel's losses, if it has any; called with the counts locked.
    ///
    /// - Returns: the connection that the next hint must go out on too, so that it cannot overtake; nil for any.
    private func sayLoss(on channel: String) -> RedisServer? {
        guard losses.withLockedValue({ $0[channel] != nil }), let server = client.server,
            let loss = losses.withLockedValue({ $0.removeValue(forKey: channel) })
        else { return nil }
        let mark = SequenceMark(lost: loss.count, age: clock.now.since(loss.at).wholeMicroseconds)
        // Two numbers are always encodable.
        guard let payload = try? encoder.draft(mark, trace: nil).payload(sequence: loss.sequence) else { return nil }
        client.enqueue(["PUBLISH", .text(channel), .bytes(payload)], on: server) { result in
            if case .failure = result { self.lost(loss, on: channel) } else { self.metrics.marks.increment() }
        }
        return server
    }

    private func lost(_ loss: Loss, on channel: String) {
        losses.withLockedValue { losses in
            guard let known = losses[channel] else {
                // Beyond the bound the next hint alone shows what is missing.
                if losses.count < Self.channelsKept { losses[channel] = loss }
                return
            }
            losses[channel] = Loss(
                sequence: max(known.sequence, loss.sequence), count: known.count + loss.count,
                at: max(known.at, loss.at))
        }
    }
}
