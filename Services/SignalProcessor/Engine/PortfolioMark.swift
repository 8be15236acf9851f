import Domain

/// What the open positions would bring if they were sold now (CHECKLIST N17).
public enum PortfolioMark {
    /// The price at which an outcome could be sold, and when it was last confirmed.
    public struct Mark: Hashable, Sendable {
        public let yesBid: Price
        public let yesAsk: Price
        public let at: VenueInstant

        /// Nil for a crossed pair, which is no price.
        public init?(yesBid: Price, yesAsk: Price, at: VenueInstant) {
            guard yesBid <= yesAsk else { return nil }
            self.yesBid = yesBid
            self.yesAsk = yesAsk
            self.at = at
        }
    }

    /// What the positions have gained or lost at what they can be sold for, less the fee of selling.
    ///
    /// Nil when one of them has no mark younger than `limit`: a loss that cannot be seen is not no loss.
    public static func profit(
        of positions: [(position: Position, venue: Venue)], marks: [MarketID: Mark], limit: Duration,
        at now: VenueInstant
    ) -> Money? {
        var sum = Money.zero
        for (position, venue) in positions where !position.isFlat {
            guard let mark = marks[position.market], mark.at.duration(to: now) <= limit else { return nil }
            // Whoever holds YES sells at the bid; whoever holds NO gives it up at one dollar less YES's ask.
            let yesValue = position.netHundredths > 0 ? mark.yesBid : mark.yesAsk
            sum += position.unrealised(atYesValue: yesValue)
            sum -= FeeSchedule.taker(at: venue).fee(position.quantity, at: yesValue)
        }
        return sum
    }
}

/// What became of the kill switch when the loss of the day reached a limit.
public enum LossHalt: String, Hashable, Sendable {
    /// It was released, and is engaged now.
    case engaged
    /// It stood engaged already.
    case stands
    /// It was engaged for this limit, or a deeper one, and a person has released it since: it stays released.
    case released
}

/// Watches the loss of the trading day: warns at 80 %, halts at 100 % (CHECKLIST R93).
///
/// Legal transitions: `normal -> warned -> halted`, `normal -> halted`; a new day starts at `normal`. A halt engages
/// the kill switch, which only a person releases: a new day does not.
public struct DailyLossWatch: Hashable, Sendable {
    public enum State: String, Hashable, Sendable, CaseIterable {
        case normal
        case warned
        case halted
    }

    public enum Step: Hashable, Sendable {
        case warn(loss: Money)
        case halt(loss: Money)
    }

    public private(set) var limit: Money
    public let warnPercent: Int64
    public private(set) var state = State.normal
    private var day: String?

    public init(limit: Money, warnPercent: Int64 = 80) {
        precondition(limit > .zero && (1...100).contains(warnPercent), "limit \(limit), warning at \(warnPercent) %")
        self.limit = limit
        self.warnPercent = warnPercent
    }

    /// Watches for another limit from now on; what this one asks for is said by the next look.
    public mutating func change(limit: Money) {
        guard limit > .zero, limit != self.limit else { return }
        self.limit = limit
        state = .normal
    }

    /// - Parameters:
    ///   - realised: of the day, fees deducted.
    ///   - marked: of the open positions; nil when it cannot be said, and then the realised part alone decides.
    ///   - day: any name of the trading day.
    /// - Returns: what to do, once for each day and step.
    public mutating func observe(realised: Money, marked: Money?, on day: String) -> Step? {
        if self.day != day {
            self.day = day
            state = .normal
        }
        // Marked gains do not excuse realised losses: the worse of the two counts.
        let loss = max(-realised, -(realised + (marked ?? .zero)))
        if loss >= limit, state != .halted {
            state = .halted
            return .halt(loss: loss)
        }
        if state == .normal, Int128(loss.microdollars) * 100 >= Int128(limit.microdollars) * Int128(warnPercent) {
            state = .warned
            return .warn(loss: loss)
        }
        return nil
    }
}
