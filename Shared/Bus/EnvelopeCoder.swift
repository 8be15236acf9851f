import Domain
import Foundation
import Runtime
import Wire

/// Envelopes as JSON: the head by hand, its keys always in the same order, and the body as its message says, by hand or
/// by Foundation.
///
/// Everything but the sequence is written before the sequence is known, so that what happens under a publisher's lock
/// is one copy.
struct EnvelopeEncoder: Sendable {
    private let wallClock: WallClock
    /// From the brace up to where the sequence stands: the same for every message of this process.
    private let opening: [UInt8]
    /// Encodes independently of what other tasks encode with it.
    private let json = JSONEncoder()

    init(identity: BusIdentity, wallClock: WallClock) {
        self.wallClock = wallClock
        var opening = Array("{\"source\":".utf8)
        opening.appendJSON(identity.source)
        opening.append(contentsOf: ",\"incarnation\":".utf8)
        opening.appendJSON(identity.incarnation.rawValue)
        opening.append(contentsOf: ",\"seq\":".utf8)
        self.opening = opening
    }

    /// Encodes all but the sequence.
    ///
    /// - Throws: `notEncodable`.
    func draft<Message: WireMessage>(_ message: Message, trace: TraceID?) throws(BusError) -> EnvelopeDraft {
        var rest: [UInt8] = []
        rest.reserveCapacity(1024)
        if let trace {
            rest.append(contentsOf: ",\"trace\":".utf8)
            rest.appendJSON(trace.rawValue)
        }
        rest.append(contentsOf: ",\"sent_at\":".utf8)
        rest.appendDecimal(wallClock.microseconds)
        rest.append(contentsOf: ",\"type\":".utf8)
        rest.appendJSON(Message.type)
        rest.append(contentsOf: ",\"v\":".utf8)
        rest.appendDecimal(Int64(Message.version))
        rest.append(contentsOf: ",\"body\":".utf8)
        if !message.write(to: &rest) {
            do {
                rest.append(contentsOf: try json.encode(message))
            } catch {
                throw BusError(.notEncodable, "\(Message.type): \(error)")
            }
        }
        rest.append(UInt8(ascii: "}"))
        return EnvelopeDraft(opening: opening, rest: rest)
    }
}

/// An envelope that lacks only its sequence.
struct EnvelopeDraft: Sendable {
    fileprivate let opening: [UInt8]
    fileprivate let rest: [UInt8]

    /// In bytes, from above.
    var size: Int { opening.count + rest.count + 20 }

    /// The whole envelope.
    func payload(sequence: Int64) -> [UInt8] {
        var payload: [UInt8] = []
        payload.reserveCapacity(opening.count + rest.count + 20)
        payload.append(contentsOf: opening)
        payload.appendDecimal(sequence)
        payload.append(contentsOf: rest)
        return payload
    }
}

/// Decodes the envelopes of one subscription; what cannot be decoded becomes a dead letter.
///
/// An envelope laid out as we write it has its head read by hand, and its body too if its message says how, else by
/// Foundation; any other goes to Foundation as a whole, which also finds the words for what is wrong.
struct EnvelopeDecoder<Message: WireMessage>: Sendable {
    /// What an envelope turned out to be.
    enum Content {
        case message(Envelope<Message>)
        /// Not a message, but news of how far the publisher has come.
        case mark(Envelope<SequenceMark>)
    }

    let deadLetters: DeadLetters
    /// Decodes independently of what other tasks decode with it.
    private let json = JSONDecoder()

    init(deadLetters: DeadLetters) { self.deadLetters = deadLetters }

    /// - Returns: nil for what is no envelope of this channel.
    func decode(_ payload: some Collection<UInt8> & Sendable, channel: String) -> Content? {
        if let envelope = payload.withContiguousStorageIfAvailable({ quick(UnsafeRawBufferPointer($0)) }) ?? nil {
            return .message(envelope)
        }
        let bytes = Data(payload)
        let layout = EnvelopeLayout(bytes)
        do {
            if layout?.type == SequenceMark.type {
                return .mark(try json.decode(Envelope<SequenceMark>.self, from: bytes))
            }
            return .message(try message(bytes, layout))
        } catch {
            deadLetters.add(channel: channel, reason: Self.reason(error), payload: payload)
            return nil
        }
    }

    /// - Returns: nil for what is not laid out as we write it.
    private func quick(_ bytes: UnsafeRawBufferPointer) -> Envelope<Message>? {
        guard let layout = EnvelopeLayout(bytes), isOurs(layout) else { return nil }
        var scanner = WireScanner(UnsafeRawBufferPointer(rebasing: bytes[layout.body]))
        guard let body = Message(laidOutIn: &scanner), scanner.isAtEnd else { return nil }
        return envelope(layout, body)
    }

    private func isOurs(_ layout: EnvelopeLayout) -> Bool {
        layout.type == Message.type && layout.version >= 1 && layout.version <= Message.version
    }

    private func envelope(_ layout: EnvelopeLayout, _ body: Message) -> Envelope<Message> {
        Envelope(
            source: layout.source, incarnation: layout.incarnation, sequence: layout.sequence, trace: layout.trace,
            sentAt: layout.sentAt, version: layout.version, body: body)
    }

    private func message(_ bytes: Data, _ layout: EnvelopeLayout?) throws -> Envelope<Message> {
        if let layout, isOurs(layout),
            // Refused here, for instance because something follows the body: the whole is asked then.
            let body = try? json.decode(Message.self, from: bytes[layout.body])
        {
            return envelope(layout, body)
        }
        return try json.decode(Envelope<Message>.self, from: bytes)
    }

    /// One line for a person: what is wrong, and where in the message.
    static func reason(_ error: any Error) -> String {
        switch error {
        case DecodingError.dataCorrupted(let context): describe(context)
        case DecodingError.keyNotFound(let key, let context): "\(describe(context)): no \"\(key.stringValue)\""
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
            describe(context)
        default: "\(error)"
        }
    }

    private static func describe(_ context: DecodingError.Context) -> String {
        let path = context.codingPath.map(\.stringValue).joined(separator: ".")
        return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
    }
}
