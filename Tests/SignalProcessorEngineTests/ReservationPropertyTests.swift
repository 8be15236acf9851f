import Domain
import ExecutionServiceEngine
import Foundation
import Resilience
import SignalProcessorEngine
import Testing

/// Random reservations, fills, cancels, expiries and crashes over both engines, with every bound looked at after every
/// commit (CHECKLIST R81, H4, H5, N20).
private struct ReservationRun {
    static let limits: TradingLimits = {
        var limits = TradingLimits()
        (limits.entriesPerSide, limits.positionsPerGame, limits.allowsHedging) = (100, 100, true)
        (limits.marketExposure, limits.totalExposure) = (.dollars(30), .dollars(250))
        limits.dailyLoss = .dollars(1_000_000)
        return limits
    }()

    var random: SeededGenerator
    var ledger = SimulatedLedger()
    var venue: [OrderID: SimulatedVenueOrder] = [:]
    var processor = SignalProcessorEngine(limits: limits)
    var desk = Self.freshDesk
    /// Requests that were written, by whether an answer is on its way: lost with the process.
    var inFlight: Set<OrderID> = []
    var now = tipOff
    var machine = MachineInstant.origin
    var next = 0
    var seen: [String: Int] = [:]
    var violations: [String] = []

    static var freshDesk: ExecutionServiceEngine {
        var safeguards = Safeguards()
        (safeguards.ordersPerMinute, safeguards.ordersPerHour) = (.max, .max)
        return ExecutionServiceEngine(safeguards: safeguards)
    }

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }
    private mutating func count(_ word: String) { seen[word, default: 0] += 1 }

    private mutating func any(_ orders: [OrderID]) -> OrderID? { orders.sorted().randomElement(using: &random) }

    private func orders(_ states: OrderState...) -> [OrderID] {
        ledger.orders.values.filter { states.contains($0.state) }.map(\.request.id)
    }

    mutating func step() throws {
        now = now.advanced(by: .milliseconds(Int64.random(in: 0...400, using: &random)))
        machine = machine.advanced(by: .milliseconds(Int64.random(in: 0...400, using: &random)))
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<30: try reserve()
        case 30..<50: try claim()
        case 50..<65: try send()
        case 65..<78: try answer()
        case 78..<88: try look()
        case 88..<93: settle()
        case 93..<97: expire()
        default: crash()
        }
        check()
        if next % 16 == 0 {
            compare(ledger.orders.values.filter(\.state.isTerminal).map(\.request.id))
            ledger.sweep()
        }
    }

    private mutating func reserve() throws {
        next += 1
        let game = Int.random(in: 0..<8, using: &random)
        let market = MarketID(stringLiteral: "GAME-\(game)-\(Int.random(in: 0..<2, using: &random))")
        let cents = Int64.random(in: 5...90, using: &random)
        let id = SignalID(stringLiteral: "s\(next)")
        let signal = try makeSignal(
            id, game: GameID(stringLiteral: "game-\(game)"), market: market,
            outcome: Bool.random(using: &random) ? .yes : .no,
            probability: min(0.95, Double(cents) / 100 + .random(in: 0.02...0.4, using: &random)), cents: cents,
            available: .random(in: 10...500, using: &random), sport: SimulatedLedger.sports[game % 2], created: now)
        // Delivered again when the commit was lost or its answer was: the second time it is known, or it is the first.
        for _ in 0..<(chance(10) ? 2 : 1) {
            var transaction = ledger
            guard transaction.known.insert(id).inserted else { return count("redelivered") }
            let names = IntentNames(
                intent: IntentID(stringLiteral: "i\(next)"), reservation: ReservationID(stringLiteral: "r\(next)"))
            let verdict = processor.decide(
                signal, portfolio: transaction.view(of: game, market: market), as: names, at: now)
            if case .approved(let intent, let amount) = verdict {
                transaction.intents[intent.id] = .init(
                    approved: intent, reservation: ReservationRecord(id: intent.reservation, amount: amount))
            }
            if chance(5) {
                count("crash before commit")
            } else {
                ledger = transaction
                count(verdict.name)
            }
        }
        ledger.known.remove(SignalID(stringLiteral: "s\(next - 50)"))
    }

    private mutating func claim() throws {
        let waiting = ledger.intents.values.filter { !$0.state.isTerminal }.map(\.approved.id).sorted()
        guard let id = waiting.randomElement(using: &random), let intent = ledger.intents[id] else { return }
        var context = SendContext()
        (context.killSwitch, context.isReconciled, context.balance) = (.released, true, ledger.cash)
        context.ask = intent.approved.limit
        if chance(3) { context.killSwitch = .engaged }
        let earlier = intent.orders.compactMap { ledger.orders[$0] }
        let decision = desk.decide(intent.approved, earlier: earlier, context, at: now)
        var transaction = ledger
        switch decision {
        case .wait: return
        case .expire, .refuse:
            let end: IntentState = decision == .expire ? .expired : .refused
            guard let closing = IntentClosing(intent.state, intent.reservation, as: end) else { return }
            transaction.intents[id]?.state = closing.intent
            transaction.intents[id]?.reservation = closing.reservation
            count("closed")
        case .send(let attempt):
            let order = OrderID(stringLiteral: "\(id)-\(attempt)")
            let approved = intent.approved
            transaction.orders[order] = OrderRecord(
                request: try OrderRequest(
                    id: order, market: approved.market, outcome: approved.outcome, action: .buy,
                    limit: approved.limit, quantity: approved.quantity, timeInForce: .immediateOrCancel),
                intent: id, attempt: attempt)
            transaction.intents[id]?.state = .sending
            transaction.intents[id]?.orders.append(order)
            count(attempt == 1 ? "stored" : "second attempt")
        }
        if !chance(5) { ledger = transaction }
    }

    /// Marks an order as sent, writes it, and lets the venue do with it what it likes.
    private mutating func send() throws {
        guard let id = any(orders(.stored)) else { return }
        let booked = ledger.book(id, .sent)
        if chance(3) || booked?.order.state != .sent { return count("crash before the write") }
        inFlight.insert(id)
        if chance(8) { return count("request lost") }
        guard venue[id] == nil, let order = ledger.orders[id] else { return violations.append("sent twice: \(id)") }
        venue[id] = SimulatedVenueOrder(fills: try makeFills(of: order))
        count("accepted")
    }

    private mutating func makeFills(of order: OrderRecord) throws -> [Fill] {
        var left = chance(40) ? order.request.quantity.hundredths / 100 : 0
        if left == 0, chance(60) {
            left = Int64.random(in: 0...(order.request.quantity.hundredths / 100), using: &random)
        }
        var parts: [BookLevel] = []
        while left > 0 {
            let part = Int64.random(in: 1...left, using: &random)
            let price = Price.cents(.random(in: 1...(order.request.limit.tenThousandths / 100), using: &random))
            parts.append(try BookLevel(price: price, quantity: .contracts(part)))
            left -= part
        }
        return try zip(parts, FeeSchedule.kalshi.fees(for: parts)).enumerated().map { index, part in
            try Fill(
                id: FillID(stringLiteral: "\(order.request.id)-\(index)"), order: order.request.id,
                market: order.request.market, outcome: order.request.outcome, action: .buy, price: part.0.price,
                quantity: part.0.quantity, fee: part.1, at: now)
        }
    }

    /// The answer of an order in flight: the truth, a refusal of what never arrived, or silence.
    private mutating func answer() throws {
        guard let id = any(Array(inFlight)) else { return }
        inFlight.remove(id)
        if chance(20) || venue[id] == nil {
            if venue[id] == nil, chance(60) {
                // Refused: the venue says so, and has nothing of it.
                venue[id] = SimulatedVenueOrder()
                return book(id, .refused(reason: "invalid_price"), "refused")
            }
            return book(id, .unanswered(reason: "timeout"), "unanswered")
        }
        book(id, news(of: id, all: chance(85)), "answered")
    }

    private mutating func news(of id: OrderID, all: Bool) -> OrderNews {
        let truth = venue[id] ?? SimulatedVenueOrder()
        let shown = all ? truth.fills : Array(truth.fills.dropLast())
        return .accepted("v", fills: shown, reported: truth.total, rests: false)
    }

    private mutating func book(_ id: OrderID, _ news: OrderNews, _ word: String) {
        var transaction = ledger
        let booking = transaction.book(id, news)
        if chance(4) { return count("crash before commit") }
        ledger = transaction
        count(word)
        if booking?.order.state == .unknown { desk.missing(id, connectionClosed: true, at: machine) }
        if booking?.order.state.isTerminal == true { desk.resolved(id) }
    }

    /// Pages the venue for an order whose fate is unknown.
    private mutating func look() throws {
        let open = orders(.unknown, .sent).filter { !inFlight.contains($0) }
        guard let id = any(open), let order = ledger.orders[id], let intent = ledger.intents[order.intent] else {
            return
        }
        if order.state == .sent { return book(id, .unanswered(reason: "interrupted"), "interrupted") }
        desk.missing(id, connectionClosed: true, at: machine)
        switch desk.next(for: order, intentExpiresAt: intent.approved.expiresAt, at: now, machine: machine) {
        case .wait: return
        case .page where chance(20): return count("outage")
        case .page:
            if venue[id] != nil { return book(id, news(of: id, all: true), "found") }
            machine = machine.advanced(by: .seconds(5))
            desk.pagedWithout(id, startedAt: machine)
        case .absent(let retries): book(id, .provenAbsent(retries: retries), "absent")
        }
    }

    private mutating func settle() {
        guard let market = ledger.positions.keys.sorted().randomElement(using: &random),
            let position = ledger.positions[market]
        else { return }
        let value = chance(80) ? (Bool.random(using: &random) ? Price.one : .zero) : .cents(33)
        let booking = SettlementBooking(position, at: value)
        ledger.positions[market] = booking.position
        ledger.cash += booking.account.cash
        if !position.isFlat { count("settled") }
    }

    private mutating func expire() {
        now = now.advanced(by: .seconds(Int64.random(in: 1...90, using: &random)))
    }

    /// What is in memory is gone; what is stored and was not sent never will be.
    private mutating func crash() {
        count("crash")
        desk = Self.freshDesk
        inFlight = []
        for id in orders(.stored).sorted() { _ = ledger.book(id, .notSent(reason: "interrupted")) }
    }

    private mutating func check() {
        violations += ledger.excesses(over: Self.limits)
    }

    /// Whatever the venue filled is ours, and nothing else is.
    private mutating func compare(_ orders: [OrderID]) {
        for id in orders.sorted() where ledger.orders[id]?.filled != venue[id]?.total ?? .zero {
            violations.append("\(id): \(String(describing: ledger.orders[id])) and \(String(describing: venue[id]))")
        }
    }

    /// Lets the venue answer until nothing is open; then nothing may be reserved, and every fill is ours.
    mutating func finish() throws {
        crash()
        for _ in 0..<40 {
            now = now.advanced(by: .seconds(120))
            machine = machine.advanced(by: .seconds(20))
            for id in ledger.intents.keys.sorted() where ledger.intents[id]?.state.isTerminal == false {
                try claim()
                try look()
            }
            for _ in orders(.unknown, .sent) { try look() }
        }
        compare(Array(ledger.orders.keys))
        if ledger.reserved != .zero { violations.append("left over: \(ledger.reserved)") }
        if !orders(.stored, .sent, .unknown).isEmpty { violations.append("open: \(orders(.stored, .sent, .unknown))") }
    }
}

struct ReservationPropertyTests {
    /// In all, over ten seeds: a part in `make test`, a million by `make soak-orders`.
    static let steps = Int(ProcessInfo.processInfo.environment["LINESMAN_RESERVATION_STEPS"] ?? "") ?? 10_000

    @Test(arguments: 0..<10)
    func `no limit is exceeded at any commit, and nothing stays reserved`(seed: Int) throws {
        var run = ReservationRun(seed: UInt64(seed))
        for _ in 0..<(Self.steps / 10) where run.violations.isEmpty { try run.step() }
        if run.violations.isEmpty { try run.finish() }
        #expect(run.violations.isEmpty, "seed \(seed): \(run.violations.prefix(3))")
        for word in [
            "approved", "accepted", "request lost", "unanswered", "answered", "found", "absent", "settled",
            "crash", "crash before commit", "closed", "redelivered", "game_exposure", "market_exposure",
        ] {
            #expect(run.seen[word, default: 0] > 0, "seed \(seed): never \(word); \(run.seen)")
        }
    }
}
