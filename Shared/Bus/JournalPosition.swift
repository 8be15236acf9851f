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
}
