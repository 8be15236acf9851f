import Domain
import SignalProcessorEngine
import Wire

/// The last price of every market that was told: what open positions are valued at.
///
/// Kept in memory only: after a start a position has no mark until its shard tells the price again, and until then
/// there are no entries (decision 0037).
struct MarkBook: Hashable, Sendable {
    typealias Marks = [MarketID: PortfolioMark.Mark]

    /// The most markets; of a further one no mark is kept, so that a position in it stops entries.
    static let capacity = 20_000

    private(set) var marks: Marks = [:]

    /// A side without an offer is worth the least it can be; without either side, or crossed, there is no mark.
    ///
    /// False when there is no room for it.
    @discardableResult
    mutating func observe(_ update: PriceUpdate) -> Bool {
        if let known = marks[update.market], known.at > update.at { return true }
        guard update.yesBid != nil || update.yesAsk != nil else {
            marks[update.market] = nil
            return true
        }
        if marks[update.market] == nil, marks.count >= Self.capacity { forgetOld(at: update.at) }
        guard marks[update.market] != nil || marks.count < Self.capacity else { return false }
        marks[update.market] = PortfolioMark.Mark(
            yesBid: update.yesBid?.price ?? .zero, yesAsk: update.yesAsk?.price ?? .one, at: update.at)
        return true
    }

    /// No setting lets a mark be older than an hour.
    private mutating func forgetOld(at now: VenueInstant) {
        marks = marks.filter { $0.value.at.duration(to: now) <= .seconds(3_600) }
    }
}
