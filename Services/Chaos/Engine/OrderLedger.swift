/// The venue's orders beside PostgreSQL's, by name.
///
/// Exact at any pace of the machine, by the order in which both are asked. An order is stored before it is sent: what
/// the venue had taken before PostgreSQL was asked is stored there. It is called placed after the venue's answer: what
/// PostgreSQL called placed before the venue was asked is there.
public struct OrderLedger: Hashable, Sendable {
    /// In the order in which the venue has taken them, since somebody looks.
    private var taken: [String] = []
    private var numbers: [String: Int] = [:]
    /// Numbers of those of which PostgreSQL does not say yet that they are placed.
    private var waiting: Set<Int> = []
    private var placed: Set<String> = []
    private var strangers: Set<String> = []
    private var repeated = 0
    private var missing: Set<String> = []

    public init() {}

    /// The venue has taken these, after all that it told of before.
    public mutating func venueHasTaken(_ names: [String]) {
        for name in names {
            if numbers[name] == nil { numbers[name] = taken.count } else { repeated += 1 }
            waiting.insert(taken.count)
            taken.append(name)
        }
    }

    /// Of which PostgreSQL is to be asked.
    public var asked: [String] { waiting.sorted().map { taken[$0] } }

    /// What PostgreSQL has answered, which was asked after the venue had told of these.
    ///
    /// - Parameters:
    ///   - asked: these were asked for.
    ///   - known: whether they are placed; one that it does not know is not in it.
    public mutating func databaseKnows(of asked: [String], _ known: [String: Bool]) {
        strangers.formUnion(asked.filter { known[$0] == nil })
        waiting = waiting.filter { known[taken[$0]] != true }
    }

    /// All that PostgreSQL calls placed of the orders that were stored since somebody looks.
    ///
    /// It was asked before the venue told for the last time.
    public mutating func databaseHasPlaced(_ names: Set<String>) {
        missing.formUnion(names.filter { numbers[$0] == nil })
        // A row that was there, and is not any more.
        missing.formUnion(placed.subtracting(names))
        placed.formUnion(names)
    }

    /// What it comes to.
    public var sum: Sample.Orders {
        Sample.Orders(
            taken: taken.count, waiting: waiting, strange: strangers.count + repeated, missing: missing.count)
    }
}
