import Domain
import ExecutionServiceEngine
import Resilience
import SignalProcessorEngine

/// What must hold of the day's loss and of fills that are not certain.
extension Simulation {
    /// Two looks, and a little more.
    private static let haltBound = Duration.seconds(12)

    /// Nothing is approved once the day has lost what it may.
    mutating func watchDay(_ intent: IntentID, _ marks: [MarketID: PortfolioMark.Mark]) {
        let realised = path.books.realised - path.books.fees
        var result = realised
        for (market, row) in path.books.openPositions where !row.position.isFlat {
            guard let mark = marks[market] else {
                return violated("\(intent) is approved without a mark of \(market)")
            }
            let value = row.position.netHundredths > 0 ? mark.yesBid : mark.yesAsk
            result += row.position.unrealised(atYesValue: value)
        }
        if min(realised, result) <= -path.limits.dailyLoss {
            violated("\(intent) is approved past the loss of the day, \(realised) and \(result)")
        }
    }

    /// A loss that somebody could see for long has engaged the kill switch.
    mutating func watchLosses() {
        guard path.isOn else { return }
        let isSeen = path.processors.contains { $0.process.isRunning && !$0.process.isPaused && $0.process.hasDatabase }
        let isOver = path.books.realised - path.books.fees <= -path.limits.dailyLoss
        guard isOver, isSeen, path.books.haltedFor == nil, !path.trouble.isDiskFull, path.trouble.lostAnswers == 0
        else {
            path.watch.lossSince = nil
            return
        }
        let since = path.watch.lossSince ?? now
        path.watch.lossSince = since
        guard now.since(since) > Self.haltBound else { return }
        violated("nobody halts for a loss of \(path.books.fees - path.books.realised)")
        path.watch.lossSince = now
    }

    mutating func watchConfirmed(_ fills: [FillID]) {
        for fill in fills where path.venue.standings[fill] == .reversed {
            violated("\(fill) is called certain, and the venue took it back")
        }
    }

    /// The books are as if the fill had never been.
    mutating func watchReversal(_ booking: ReversalBooking) {
        let market = booking.position.market
        let signed = path.books.fills.values.filter { $0.market == market && !path.books.reversed.contains($0.id) }
            .reduce(Int64(0)) { sum, fill in
                let buysYes = (fill.outcome == .yes) == (fill.action == .buy)
                return sum + (buysYes ? fill.quantity.hundredths : -fill.quantity.hundredths)
            }
        let held = path.books.positions[market]
        let expected = held?.state == .settled ? 0 : signed
        if held?.position.netHundredths ?? 0 != expected {
            violated("\(market) holds \(held?.position.netHundredths ?? 0), its fills make it \(expected)")
        }
        for fill in booking.reversed where path.venue.standings[fill.id] != .reversed {
            violated("\(fill.id) is taken back, and the venue did not")
        }
    }

    /// After calm every fill is certain, and the same are gone on both sides.
    mutating func watchFillsEnd() {
        for fill in path.books.provisional.sorted() { violated("in the end \(fill) is not certain") }
        for (fill, standing) in path.venue.standings.sorted(by: { $0.key < $1.key })
        where standing == .reversed && path.books.fills[fill] != nil && !path.books.reversed.contains(fill) {
            violated("in the end \(fill) is booked, and the venue took it back")
        }
    }
}
