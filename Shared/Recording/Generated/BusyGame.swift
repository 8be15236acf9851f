import Domain

/// A game with a price change every 20 ms, of which one a second is worth an order.
///
/// Played in many games, each a little behind the one before, it makes a steady stream: with 20 games 1,000 changes and
/// 20 bargains a second, no two at once.
public enum BusyGame {
    public static let games = 20
    /// Eleven is prime to twenty: within the 20 ms of one game's change each other game has its own millisecond.
    public static let apart = Duration.milliseconds(51)
    public static let changesPerSecond = 50

    /// Home can be bought for half of what the model says for three tenths of the time between two bargains; then the
    /// market sees it too.
    ///
    /// - `start`: venue time that the recording begins at; wall time, for a suite that trades live.
    /// - `changesPerSecond`, `bargainEvery`: at least ten changes for each bargain.
    public static func recording(
        from start: VenueInstant, lasting length: Duration, changesPerSecond: Int = changesPerSecond,
        bargainEvery: Duration = .seconds(1)
    ) throws -> Recording {
        let header = try GeneratedGame.header(from: start)
        let markets = header.markets.map(\.market.id)
        var entries = [RecordingEntry(at: start, fact: .status(.live, GeneratedGame.score))]
        let pause = Duration.seconds(1) / changesPerSecond
        let cycle = Int(bargainEvery / pause)
        let bargain = cycle * 3 / 10
        for change in 0..<Int(length / pause) {
            // Both markets at the start; afterwards home's price moves, or the size at a bid.
            let phase = change % cycle
            let isMove = phase == 0 || phase == bargain
            let due = change == 0 ? [0, 1] : [isMove ? 0 : change % 2]
            for index in due {
                let isCheap = index == 0 && phase < bargain && change >= cycle
                // Away's is so wide that both teams together never cost less than the dollar they pay.
                let (bid, ask): (Int64, Int64) = index == 1 ? (10, 62) : isCheap ? (39, 41) : (88, 90)
                let quote = RecordedQuote(
                    market: markets[index], bid: .cents(bid), ask: .cents(ask),
                    bidSize: .contracts(isMove ? 5_000 : 5_000 + Int64(change / 2 % 2) * 10),
                    askSize: .contracts(5_000))
                entries.append(RecordingEntry(at: start.advanced(by: pause * change), fact: .quote(quote)))
            }
        }
        return try Recording(header: header, entries: entries)
    }
}
