import Domain
import Foundation
import Runtime
import Wire

/// Envelopes as JSON.
struct EnvelopeEncoder: Sendable {
    let identity: BusIdentity
    let wallClock: WallClock

    func encode<Message: WireMessage>(_ message: Message, sequence: Int64, trace: TraceID?) throws -> [UInt8] {
        let envelope = Envelope(
            source: identity.source, incarnation: identity.incarnation, sequence: sequence, trace: trace,
            sentAt: wallClock.microseconds, body: message)
        do {
            return Array(try JSONEncoder().encode(envelope))
        } catch {
            throw BusError(.notEncodable, "\(Message.type): \(error)")
        }
    }
}

/// Decodes the envelopes of one subscription; what cannot be decoded becomes a dead letter.
struct EnvelopeDecoder<Message: WireMessage>: Sendable {
    let deadLetters: DeadLetters

    func decode(_ payload: some Collection<UInt8> & Sendable, channel: String) -> Envelope<Message>? {
        do {
            return try JSONDecoder().decode(Envelope<Message>.self, from: Data(payload))
        } catch {
            deadLetters.add(channel: channel, reason: "\(error)", payload: payload)
            return nil
        }
    }
}
