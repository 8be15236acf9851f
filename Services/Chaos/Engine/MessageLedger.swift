/// Journaled messages by the numbers that their publishers gave them, beside what PostgreSQL has taken in.
///
/// A publisher numbers what it says on a channel from 1, without a hole (`Envelope.sequence`). Who listens to all of it
/// knows a message that never came by its number. What must be taken in is known by name: it was on the bus before
/// PostgreSQL is asked for it, so that it has it or will have it.
public struct MessageLedger: Hashable, Sendable {
    /// A publisher in one life, on one channel.
    private struct Source: Hashable {
        let channel: String
        let name: String
        let life: String
    }

    private struct Place: Hashable {
        let channel: String
        let name: String
    }

    private struct Numbers: Hashable {
        var next: Int64
        var missing: Set<Int64> = []
    }

    private var numbers: [Source: Numbers] = [:]
    private var known: Set<Place> = []
    private var heard = 0
    private var names: Set<String> = []
    private var owed: [String] = []
    private var waiting: Set<Int> = []

    public init() {}

    /// A message was on the bus.
    ///
    /// - Parameters:
    ///   - number: its publisher's own.
    ///   - channel: where it was said.
    ///   - source: who said it.
    ///   - life: of the publisher; each begins at 1.
    ///   - name: what PostgreSQL must know it by; nil for what is taken in by nobody.
    public mutating func heard(
        _ number: Int64, on channel: String, from source: String, life: String, taking name: String? = nil
    ) {
        heard += 1
        let own = Source(channel: channel, name: source, life: life)
        // Of a life that began before anybody listened the first number that is heard is the first.
        let isLater = !known.insert(Place(channel: channel, name: source)).inserted
        var line = numbers[own] ?? Numbers(next: isLater ? 1 : number)
        if number >= line.next {
            line.missing.formUnion(line.next..<number)
            line.next = number + 1
        } else {
            line.missing.remove(number)
        }
        numbers[own] = line
        if let name, names.insert(name).inserted {
            waiting.insert(owed.count)
            owed.append(name)
        }
    }

    /// Of which PostgreSQL is to be asked, oldest first.
    public func asked(atMost limit: Int) -> [String] { waiting.sorted().prefix(limit).map { owed[$0] } }

    /// PostgreSQL has taken these in.
    public mutating func databaseHas(_ names: Set<String>) {
        waiting = waiting.filter { !names.contains(owed[$0]) }
    }

    /// What is not taken in by now never will be, and was meant to be lost: later rounds are not to blame.
    public mutating func writeOff() { waiting = [] }

    /// What it comes to.
    public var sum: Sample.Messages {
        Sample.Messages(
            heard: heard, missing: numbers.values.reduce(0) { $0 + $1.missing.count }, waiting: waiting,
            owed: owed.count)
    }
}
