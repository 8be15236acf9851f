import Bus
import Resilience

/// What was sent and what came, of one run.
public struct CutRecord: Sendable {
    /// What one publisher did.
    public struct Publisher: Sendable {
        /// Journaled messages it tried to publish: 1 to this number.
        public var attempted = 0
        /// Those the server has taken.
        public var acknowledged: Set<Int> = []
        /// When it began to publish hint 1, 2 and so on.
        public var hints: [MachineInstant] = []

        public init() {}
    }

    public struct Event: Sendable {
        public enum Content: Hashable, Sendable {
            case message(source: String, number: Int, isIntact: Bool)
            case gap(Gap)
        }

        public let content: Content
        public let at: MachineInstant

        public init(_ content: Content, at: MachineInstant) {
            self.content = content
            self.at = at
        }
    }

    /// What one subscriber was handed, in order.
    public struct Subscriber: Sendable {
        public var events: [Event] = []
        public var state = NumberedState()

        public init() {}

        public var gaps: [Gap] {
            events.compactMap { if case .gap(let gap) = $0.content { gap } else { nil } }
        }

        public func numbers(from source: String) -> [Int] {
            events.compactMap { event in
                if case .message(source, let number, _) = event.content { number } else { nil }
            }
        }
    }

    public var publishers: [String: Publisher] = [:]
    /// Of journaled messages, by name.
    public var journals: [String: Subscriber] = [:]
    /// Of hints, by name.
    public var hints: [String: Subscriber] = [:]
    /// What the publishers' journaled messages add up to.
    public var truth = NumberedState()
    /// What their hints add up to.
    public var hintTruth = NumberedState()
    /// Servers begun, without the first.
    public var restarts = 0

    public init() {}
}

/// Whether a run kept the promises of the bus, and the sizes of its sets.
public struct CutVerdict: Sendable {
    public private(set) var attempted = 0
    public private(set) var acknowledged = 0
    /// The fewest that any subscriber received.
    public private(set) var received = 0
    /// Acknowledged but not received by some subscriber.
    public private(set) var lost = 0
    public private(set) var duplicates = 0
    public private(set) var outOfOrder = 0
    /// Received but never attempted, or damaged.
    public private(set) var invented = 0
    /// The most gaps that one journal subscriber was handed.
    public private(set) var gaps = 0
    public private(set) var hintsAttempted = 0
    public private(set) var hintsReceived = 0
    public private(set) var hintsLost = 0
    /// Lost, and no gap said so after it was sent and before the next hint of its publisher was handed out.
    public private(set) var hintsLostUnreported = 0
    public private(set) var hintGaps = 0
    /// One line per publisher and subscriber.
    public private(set) var lines: [String] = []
    /// What was broken; empty when every promise was kept.
    public private(set) var violations: [String] = []

    public init(_ record: CutRecord) {
        judgeJournals(record)
        judgeHints(record)
        for (name, subscriber) in record.journals.sorted(by: { $0.key < $1.key })
        where subscriber.state != record.truth {
            violations.append("\(name): its state is not the publishers' state")
        }
        for (name, subscriber) in record.hints.sorted(by: { $0.key < $1.key })
        where subscriber.state != record.hintTruth {
            violations.append("\(name): its state is not the publishers' state, with a reread at each gap")
        }
    }

    private mutating func judgeJournals(_ record: CutRecord) {
        for (source, publisher) in record.publishers.sorted(by: { $0.key < $1.key }) {
            attempted += publisher.attempted
            acknowledged += publisher.acknowledged.count
            var sizes: [Int] = []
            for (name, subscriber) in record.journals.sorted(by: { $0.key < $1.key }) {
                let numbers = subscriber.numbers(from: source)
                let set = Set(numbers)
                sizes.append(set.count)
                let missing = publisher.acknowledged.subtracting(set)
                lost += missing.count
                add(missing.isEmpty, "\(name): acknowledged by \(source) but not received: \(Self.sample(missing))")
                add(set.allSatisfy { 1...max(1, publisher.attempted) ~= $0 }, "\(name): more than \(source) attempted")
                judgeOrder(numbers, "\(name) from \(source)")
            }
            received += sizes.min() ?? 0
            lines.append(
                "\(source): attempted \(publisher.attempted), acknowledged \(publisher.acknowledged.count), received "
                    + sizes.map { "\($0)" }.joined(separator: " and "))
        }
        for (name, subscriber) in record.journals.sorted(by: { $0.key < $1.key }) {
            judgeContent(name, subscriber)
            gaps = max(gaps, subscriber.gaps.count)
            lines.append("\(name): \(subscriber.gaps.count) gaps over \(record.restarts) restarts")
            add(
                subscriber.gaps.count <= record.restarts,
                "\(name): \(subscriber.gaps.count) gaps, though only \(record.restarts) restarts can make one each")
        }
    }

    private mutating func judgeHints(_ record: CutRecord) {
        for (source, publisher) in record.publishers.sorted(by: { $0.key < $1.key }) {
            hintsAttempted += publisher.hints.count
            for (name, subscriber) in record.hints.sorted(by: { $0.key < $1.key }) {
                let numbers = subscriber.numbers(from: source)
                hintsReceived += Set(numbers).count
                judgeOrder(numbers, "\(name) from \(source)")
                let (lost, unreported) = Self.losses(of: publisher.hints, from: source, seenBy: subscriber)
                hintsLost += lost
                hintsLostUnreported += unreported.count
                add(unreported.isEmpty, "\(name): no gap for hints of \(source): \(Self.sample(unreported))")
                lines.append(
                    "\(name) from \(source): \(publisher.hints.count) hints attempted, \(Set(numbers).count) received, "
                        + "\(lost) lost, \(unreported.count) of them unreported")
            }
        }
        for (name, subscriber) in record.hints.sorted(by: { $0.key < $1.key }) {
            judgeContent(name, subscriber)
            hintGaps = max(hintGaps, subscriber.gaps.count)
            lines.append("\(name): \(subscriber.gaps.count) gaps")
        }
    }

    private mutating func judgeOrder(_ numbers: [Int], _ whose: String) {
        let repeated = numbers.count - Set(numbers).count
        let backwards = zip(numbers, numbers.dropFirst()).count { $0 > $1 }
        duplicates += repeated
        outOfOrder += backwards
        add(repeated == 0, "\(whose): \(repeated) received twice")
        add(backwards == 0, "\(whose): \(backwards) times out of order")
    }

    private mutating func judgeContent(_ name: String, _ subscriber: CutRecord.Subscriber) {
        let damaged = subscriber.events.count { event in
            if case .message(_, _, false) = event.content { true } else { false }
        }
        invented += damaged
        add(damaged == 0, "\(name): \(damaged) damaged messages")
    }

    /// A hint counts as reported when a gap was handed out after it was sent and before the next hint of its source:
    /// who rereads the truth at that gap has missed nothing.
    private static func losses(
        of sent: [MachineInstant], from source: String, seenBy subscriber: CutRecord.Subscriber
    ) -> (lost: Int, unreported: Set<Int>) {
        var last = 0
        var lost = 0
        var unreported: Set<Int> = []
        var newestGap: MachineInstant?
        func account(upTo end: Int) {
            guard last + 1 < end else { return }
            for number in (last + 1)..<end {
                lost += 1
                if newestGap.map({ $0 < sent[number - 1] }) ?? true { unreported.insert(number) }
            }
        }
        for event in subscriber.events {
            switch event.content {
            case .gap:
                newestGap = event.at
            case .message(source, let number, _) where number > last && number <= sent.count:
                account(upTo: number)
                last = number
            case .message:
                break
            }
        }
        account(upTo: sent.count + 1)
        return (lost, unreported)
    }

    private mutating func add(_ holds: Bool, _ violation: @autoclosure () -> String) {
        if !holds { violations.append(violation()) }
    }

    private static func sample(_ numbers: Set<Int>) -> String {
        numbers.sorted().prefix(5).map { "\($0)" }.joined(separator: ", ") + (numbers.count > 5 ? "…" : "")
    }
}
