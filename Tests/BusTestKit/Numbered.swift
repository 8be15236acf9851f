import Bus
import Wire

/// A message that says which one it is, and sets one value of its publisher's state.
public struct Numbered: WireMessage, Hashable {
    public static let type = "numbered"

    /// Counted from 1 by its publisher, journaled messages and hints each by themselves.
    public let number: Int
    public let key: Int
    public let value: Int

    /// The one message of that number: it follows from the number alone, so a receiver can tell a damaged one.
    public init(_ number: Int) {
        self.number = number
        key = number % 97
        value = number &* 2_654_435_761 % 1_000_003
    }

    public var isIntact: Bool { self == Numbered(number) }

    public static let journal = Channel<Numbered>("numbered:journal", .journaled(keeping: 100_000))
    public static let hint = Channel<Numbered>("numbered:hint", .hint)
}

/// What a publisher's messages add up to: by source and key the newest number and its value.
public struct NumberedState: Hashable, Sendable {
    public struct Entry: Hashable, Sendable {
        public let number: Int
        public let value: Int
    }

    public private(set) var entries: [String: [Int: Entry]] = [:]

    public init() {}

    public mutating func apply(_ message: Numbered, from source: String) {
        let known = entries[source]?[message.key]?.number ?? 0
        guard message.number > known else { return }
        entries[source, default: [:]][message.key] = Entry(number: message.number, value: message.value)
    }
}
