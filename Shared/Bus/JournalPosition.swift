import Resilience

/// An entry's id in a stream: milliseconds and a number within them.
struct JournalID: Hashable, Comparable, Sendable, CustomStringConvertible {
    let milliseconds: UInt64
    let number: UInt64

    /// Before every entry.
    static let zero = JournalID(milliseconds: 0, number: 0)

    init(milliseconds: UInt64, number: UInt64) {
        self.milliseconds = milliseconds
        self.number = number
    }

    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", maxSplits: 1)
        guard parts.count == 2, let milliseconds = UInt64(parts[0]), let number = UInt64(parts[1]) else { return nil }
        self.init(milliseconds: milliseconds, number: number)
    }

    init?(_ bytes: some Sequence<UInt8>) {
        self.init(String(decoding: Array(bytes), as: UTF8.self))
    }

    var description: String { "\(milliseconds)-\(number)" }

    static func < (left: Self, right: Self) -> Bool {
        (left.milliseconds, left.number) < (right.milliseconds, right.number)
    }
}

/// Which data a journal's ids belong to.
struct JournalIdentity: Hashable, Codable, Sendable {
    /// New at each start of the server.
    let runID: String
    /// New whenever the server's data begins anew: a FLUSHALL keeps the run id, a restart with its files keeps this.
    let dataID: String
}

/// How far a subscription has come; may be stored, and given to a later subscription to go on from there.
public struct JournalPosition: Hashable, Codable, Sendable {
    let identity: JournalIdentity
    let id: String
    /// What was received of each publisher: when the data begins anew, publishers repeat their last seconds.
    let seen: [SequenceTracker.Mark]

    init(identity: JournalIdentity, id: String, seen: [SequenceTracker.Mark] = []) {
        self.identity = identity
        self.id = id
        self.seen = seen
    }

    func remembering(_ seen: [SequenceTracker.Mark]) -> JournalPosition {
        JournalPosition(identity: identity, id: id, seen: seen)
    }

    private enum CodingKeys: String, CodingKey {
        case identity
        case id
        case seen
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        identity = try container.decode(JournalIdentity.self, forKey: .identity)
        id = try container.decode(String.self, forKey: .id)
        let stored = try container.decodeIfPresent([StoredMark].self, forKey: .seen) ?? []
        seen = stored.map(\.mark)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(identity, forKey: .identity)
        try container.encode(id, forKey: .id)
        if !seen.isEmpty { try container.encode(seen.map(StoredMark.init), forKey: .seen) }
    }

    /// A mark as it is stored: an array of source, incarnation and sequence.
    private struct StoredMark: Codable {
        let mark: SequenceTracker.Mark

        init(_ mark: SequenceTracker.Mark) { self.mark = mark }

        init(from decoder: any Decoder) throws {
            var values = try decoder.unkeyedContainer()
            mark = SequenceTracker.Mark(
                source: try values.decode(String.self), incarnation: try values.decode(String.self),
                sequence: try values.decode(Int64.self))
        }

        func encode(to encoder: any Encoder) throws {
            var values = encoder.unkeyedContainer()
            try values.encode(mark.source)
            try values.encode(mark.incarnation)
            try values.encode(mark.sequence)
        }
    }
}
