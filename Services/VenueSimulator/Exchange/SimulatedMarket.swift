import Domain
import Recording

/// One market of the exchange: the recorded book less what was taken from it, and own resting orders.
struct SimulatedMarket: Sendable {
    let recorded: RecordedMarket
    /// A made-up UUID, the same in every run.
    let uuid: String
    var phase = MarketPhase.active
    /// The book of everybody else.
    var book = OrderBook.empty
    /// Ids of own orders that rest here, oldest first.
    var resting: [String] = []
    var lastPrice: Price?
    var lastQuantity = Quantity.zero
    var volume = Quantity.zero
    var settledAt: VenueInstant?

    var id: MarketID { recorded.market.id }

    init(recorded: RecordedMarket, number: Int) {
        self.recorded = recorded
        uuid = ExchangeID.market(number)
    }

    /// What turns the book into `target`, YES before NO, each by ascending price.
    func changes(to target: OrderBook) -> [(Outcome, Price, Int64)] {
        var changes: [(Outcome, Price, Int64)] = []
        for outcome in [Outcome.yes, .no] {
            var amounts: [Price: Int64] = [:]
            for level in target.bids(outcome) { amounts[level.price, default: 0] += level.quantity.hundredths }
            for level in book.bids(outcome) { amounts[level.price, default: 0] -= level.quantity.hundredths }
            changes += amounts.filter { $0.value != 0 }.sorted { $0.key < $1.key }.map { (outcome, $0.key, $0.value) }
        }
        return changes
    }
}

/// Ids in the venue's form (a UUID), numbered so that two runs give the same ones.
enum ExchangeID {
    static func market(_ number: Int) -> String { uuid("4d41524b", number) }
    static func order(_ number: Int) -> String { uuid("4f524445", number) }
    static func trade(_ number: Int) -> String { uuid("54524144", number) }

    private static func uuid(_ kind: String, _ number: Int) -> String {
        let hex = String(number, radix: 16)
        return "\(kind)-0000-4000-8000-" + String(repeating: "0", count: max(0, 12 - hex.count)) + hex
    }
}
