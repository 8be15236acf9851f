import Domain
import ExecutionServiceEngine
import GameShardEngine
import Resilience

/// From an intent to a fill: the shell of the execution-service.
extension Simulation {
    static let submitTimeout = Duration.seconds(5)
    static let nonAcceptanceWait = Duration.seconds(10)
    /// What the venue says when it was asked for too much.
    static let tooMany = "rate_limited"

    mutating func startExecutor(_ index: Int) {
        let life = path.executors[index].process.life
        planPath(.sweep(index, life: life), within: 50...300)
        planPath(.lookForExits(index, life: life), within: 500...1_500)
        planPath(.resolve(index, life: life), within: 500...1_000)
        planPath(.readBalance(index, life: life), within: 10...50)
        if profile.hasArbitrage { planPath(.sweepPlans(index, life: life), within: 100...1_000) }
        if path.venue.takesFillsBack { planPath(.followFills(index, life: life), within: 100...5_000) }
        planPath(.cancelAll(index, life: life), after: .milliseconds(550))
        planPath(.tellUntold(index, life: life), after: .seconds(2))
        planPath(.payOut(index, life: life), within: 1_000...5_000)
        planPath(.reconcile(index, life: life), within: 10...100)
    }

    mutating func restartExecutor(_ index: Int) {
        var process = path.executors[index].process
        process.life += 1
        process.isRunning = true
        process.isPaused = false
        path.executors[index] = SimulatedExecutor(
            process: process, safeguards: path.told.safeguards, at: clock(of: process))
        startExecutor(index)
    }

    mutating func isThere(executor index: Int, _ life: Int, _ happening: PathHappening) -> Bool {
        let process = path.executors[index].process
        guard process.isRunning, process.life == life else { return false }
        guard process.isPaused else { return true }
        path.executors[index].inbox.append(.path(happening))
        return false
    }

    private func isAlive(executor index: Int, _ life: Int) -> Bool {
        path.executors[index].process.isRunning && path.executors[index].process.life == life
    }

    mutating func orderHappens(_ happening: PathHappening) {
        switch happening {
        case .priceToExecutor(let index, let life, let price):
            guard isThere(executor: index, life, happening) else { return }
            if let known = path.executors[index].prices[price.market], known.at > price.at { return }
            path.executors[index].prices[price.market] = price
        case .intentToExecutor(let index, let life, let intent):
            guard isThere(executor: index, life, happening), path.executors[index].isReconciled else { return }
            _ = path.executors[index].lanes.offer(
                OrderQueue.Item(
                    intent: intent.id, account: intent.venue.rawValue, markets: [intent.market], priority: .entry))
            startLanes(index)
        case .sweep(let index, let life):
            guard isThere(executor: index, life, happening) else { return }
            planPath(.sweep(index, life: life), after: .seconds(1))
            guard fate(of: path.executors[index].process, writes: false).isAnswered else { return }
            planPath(
                .swept(index, life: life, open: path.books.openOrders, waiting: path.books.waiting), within: 1...8)
        case .swept(let index, let life, let open, let waiting):
            guard isThere(executor: index, life, happening) else { return }
            for order in open { takeUp(index, order.record) }
            guard path.executors[index].isReconciled else { return }
            for item in waiting { _ = path.executors[index].lanes.offer(item) }
            startLanes(index)
        case .tellUntold(let index, let life): tellUntold(index, life, happening)
        case .claimed(let index, let life, let intent, let began, let claim):
            guard isThere(executor: index, life, happening) else { return }
            guard let claimed = claim?.claimed else { return landed(index, intent) }
            send(index, claimed, since: began)
        case .book(let index, let life, let id, let news, let lane):
            guard isThere(executor: index, life, happening) else { return }
            book(index, life, id, news, lane)
        case .booked(let index, let life, let id, let news, let lane, let booking):
            guard isThere(executor: index, life, happening) else { return }
            guard let booking else {
                // The answer is in our hands only.
                if lane != nil { planPath(.book(index, life: life, id, news, lane: lane), within: 100...2_000) }
                return
            }
            note(index, booking)
            if let lane { landed(index, lane) }
        default: break
        }
    }

    /// An order that nobody holds: left by an earlier life, or by a transaction whose commit was unknown.
    private mutating func takeUp(_ index: Int, _ order: OrderRecord) {
        let isOfPlan = path.books.intents[order.intent]?.plan != nil
        guard !path.executors[index].lanes.isInFlight(order.intent), !isOfPlan else { return }
        let (id, life) = (order.request.id, path.executors[index].process.life)
        if let news = order.newsWhenAbandoned {
            return planPath(.book(index, life: life, id, news, lane: nil), within: 0...5)
        }
        path.executors[index].engine.missing(
            id, connectionClosed: true, at: clock(of: path.executors[index].process))
    }

    mutating func startLanes(_ index: Int) {
        let executor = path.executors[index]
        while let item = path.executors[index].lanes.start() {
            planPath(
                .claim(index, life: executor.process.life, item.intent, began: clock(of: executor.process)),
                after: path.milliseconds(1...4) + slowness())
        }
    }

    private mutating func landed(_ index: Int, _ intent: IntentID) {
        path.executors[index].lanes.finish(intent)
        startLanes(index)
    }

    /// The transaction that decides about an intent, and stores its order; it happens at the database.
    mutating func claim(_ index: Int, _ life: Int, _ intent: IntentID, _ began: MachineInstant) {
        guard isAlive(executor: index, life) else { return }
        let executor = path.executors[index]
        let here = venueClock(of: executor.process)
        let fate = fate(of: executor.process)
        var claim: SimulatedBooks.Claim?
        if fate.isDone {
            let seen = readings(of: executor, path.books.intents[intent]?.intent)
            let decided = path.books.claim(
                intent, engine: executor.engine, seen: seen, as: { OrderID(stringLiteral: "o\($1)-\($0)") }, at: here,
                database: now)
            record("e\(index) claims \(intent): \(decided.decision)")
            if case .send = decided.decision {
                watchClaim(reduces: decided.claimed?.reduces ?? false)
                watchBudget(.order)
                if let claimed = decided.claimed {
                    claimed.reduces ? watchExit(claimed.order.request) : watchEntry(claimed.order.request)
                }
            }
            watchBooks()
            if fate.isAnswered { claim = decided }
        }
        planPath(
            .claimed(index, life: life, intent, began: began, claim), after: fate.patience + path.milliseconds(1...4))
    }

    /// What a process has seen of the venue when it decides about an intent.
    func readings(of executor: SimulatedExecutor, _ intent: ApprovedIntent?) -> SimulatedBooks.Readings {
        var seen = SimulatedBooks.Readings()
        seen.isReconciled = executor.isReconciled
        if let intent, let price = executor.prices[intent.market],
            price.at.duration(to: venueClock(of: executor.process)) <= .seconds(30)
        {
            seen.ask = intent.outcome == .yes ? price.yesAsk?.price : price.yesBid?.price.complement
        }
        seen.balance = .unread
        if let (money, at, asked) = executor.balance {
            seen.balance = .read(money, age: clock(of: executor.process).since(at), asked: asked)
        }
        return seen
    }

    /// The last looks, directly before the write; then the one write.
    private mutating func send(_ index: Int, _ claimed: SimulatedBooks.Claimed, since began: MachineInstant) {
        let process = path.executors[index].process
        let (id, lane) = (claimed.order.request.id, claimed.intent.id)
        func refuse(_ reason: String) {
            planPath(
                .book(index, life: process.life, id, .refused(reason: reason), lane: lane), after: .zero)
        }
        let life = venueClock(of: process).duration(to: claimed.intent.expiresAt)
        let limit = min(Self.submitTimeout, life)
        guard limit > .zero else { return refuse("expired") }
        guard clock(of: process).since(began) < Self.nonAcceptanceWait / 2 else { return refuse("held_up") }
        if plant != .killFileUnread, path.trouble.isKillFilePresent || path.trouble.isKillFileUnknown {
            return refuse("kill_switch_file")
        }
        submit(index, claimed, within: limit)
    }

    /// The one write of an order.
    mutating func submit(_ index: Int, _ claimed: SimulatedBooks.Claimed, within limit: Duration) {
        let process = path.executors[index].process
        watchSend(claimed)
        log.add(claimed.order.request.id.rawValue)
        let replyBy = now.advanced(by: limit)
        if path.trouble.isVenueDown || path.roll(path.trouble.lostRequests) {
            let heard = heard(.unanswered(reason: "no_answer"), index, process.life, claimed)
            return planPath(heard, after: limit)
        }
        let flight =
            path.roll(path.trouble.lateRequests)
            ? path.milliseconds(100...Int(SimulatedVenue.longestFlight.wholeNanoseconds / 1_000_000))
            : path.milliseconds(5...40)
        planPath(.arrive(index, life: process.life, claimed, replyBy: replyBy), after: flight)
    }

    /// The order reaches the venue, whatever became of who sent it.
    mutating func arrive(_ index: Int, _ life: Int, _ claimed: SimulatedBooks.Claimed, replyBy: MachineInstant) {
        var chance = SimulatedVenue.Chance()
        chance.isRefused = path.roll(path.trouble.refusals)
        chance.share = path.roll(30) ? Int64.random(in: 0...100, using: &path.random) : 100
        chance.lingers = path.roll(path.trouble.lingering)
        let lag = Int(SimulatedVenue.longestLag.wholeNanoseconds / 1_000_000)
        let isSlow = profile.isSluggish && Int.random(in: 0..<5, using: &path.rare) == 0
        if isSlow {
            chance.lingers = true
            chance.share = min(chance.share, 40)
        }
        chance.orderLag = path.roll(30) ? path.milliseconds(0...lag) : .zero
        chance.fillLag = path.roll(20) ? path.milliseconds(0...lag) : .zero
        if path.roll(path.trouble.tooMany) {
            return answer(.refused(reason: Self.tooMany), index, life, claimed, replyBy: replyBy)
        }
        let count = path.venue.orders.count
        let news = path.venue.receive(claimed.order.request, chance, at: now, venue: venueNow)
        concludeFills()
        watchArrival(claimed)
        record("venue takes \(claimed.order.request.id): \(news)")
        if path.venue.orders.count > count, path.venue.orders[count].isOpen {
            // It answers when it has done with it.
            let work =
                isSlow
                ? Duration.milliseconds(Int.random(in: 8_000...30_000, using: &path.rare))
                : path.milliseconds(100...6_000)
            planPath(.linger(count, index, life: life, claimed, replyBy: replyBy), after: work)
        } else {
            answer(news, index, life, claimed, replyBy: replyBy)
        }
    }

    /// Who takes the answer: a lane, or the driver of a plan.
    private func heard(
        _ news: OrderNews, _ index: Int, _ life: Int, _ claimed: SimulatedBooks.Claimed
    ) -> PathHappening {
        let (id, intent) = (claimed.order.request.id, claimed.order.intent)
        if let plan = path.books.intents[intent]?.plan { return .legAnswered(index, life: life, plan, id, news) }
        return .book(index, life: life, id, news, lane: intent)
    }

    mutating func linger(
        _ order: Int, _ index: Int, _ life: Int, _ claimed: SimulatedBooks.Claimed, replyBy: MachineInstant
    ) {
        let share = Int64.random(in: 0...100, using: &path.random)
        path.venue.finish(order, share: share, lag: path.milliseconds(0...500), at: now, venue: venueNow)
        concludeFills()
        answer(path.venue.news(of: order, at: now, isAnswer: true), index, life, claimed, replyBy: replyBy)
    }

    /// The answer comes back in time, or the process gives up waiting.
    private mutating func answer(
        _ news: OrderNews, _ index: Int, _ life: Int, _ claimed: SimulatedBooks.Claimed, replyBy: MachineInstant
    ) {
        log.add("\(news)")
        guard isAlive(executor: index, life) else { return }
        let at = now.advanced(by: path.milliseconds(5...40))
        let isHeard = at <= replyBy && !path.roll(path.trouble.lostReplies)
        let known: OrderNews = isHeard ? news : .unanswered(reason: "no_answer")
        if isHeard, case .refused(reason: Self.tooMany) = news { noteTooMany(index) }
        if isHeard, case .accepted = news { path.books.acceptedAgain() }
        agenda.plan(.path(heard(known, index, life, claimed)), at: isHeard ? at : max(now, replyBy))
    }

    private mutating func book(_ index: Int, _ life: Int, _ id: OrderID, _ news: OrderNews, _ lane: IntentID?) {
        let fate = fate(of: path.executors[index].process)
        var booking: OrderBooking?
        if fate.isDone {
            let booked = carryOut(news, of: id, by: index)
            if fate.isAnswered { booking = booked }
        }
        planPath(
            .booked(index, life: life, id, news, lane: lane, booking), after: fate.patience + path.milliseconds(1...4))
    }

    /// The transaction that books, and everything that must hold of it.
    mutating func carryOut(_ news: OrderNews, of id: OrderID, by index: Int) -> OrderBooking? {
        let told = plant == .silenceIsRefusal ? news.silenceRefused : news
        let before = path.books.orders[id]?.record
        let held = before.flatMap { path.books.positions[$0.request.market]?.position }
        let booked = path.books.book(id, told)
        watchBooking(before, booked)
        watchPosition(held, booked)
        // A sale of what was taken back meanwhile opens the other side, and nobody asked the limits about that.
        let sold = before.flatMap { $0.request.action == .sell ? $0.request.market : nil }
        watchBooks(mayOpen: sold.map(path.venue.takenBackIn.contains) ?? false)
        oweAlerts(booked?.alerts ?? [])
        record("e\(index) books \(told) of \(id): \(booked?.order.state.rawValue ?? "nothing")")
        if let booked { log.add("\(id) \(booked.order.state.rawValue) \(booked.order.filled)") }
        return booked
    }

    /// What follows from a booking: alerts, an investigation.
    mutating func note(_ index: Int, _ booking: OrderBooking) {
        let id = booking.order.request.id
        path.executors[index].resting[id] = booking.order.state.isTerminal ? nil : booking.order.venueOrder
        if booking.order.state == .unknown || booking.order.state == .resting {
            path.executors[index].engine.missing(
                id, connectionClosed: true, at: clock(of: path.executors[index].process))
        } else if booking.order.state.isTerminal {
            path.executors[index].engine.resolved(id)
        }
        tell(booking.alerts)
    }
}

extension OrderNews {
    /// The planted mistake of those who take a lost answer for a no.
    fileprivate var silenceRefused: OrderNews {
        if case .unanswered(let reason) = self { .refused(reason: reason) } else { self }
    }
}
