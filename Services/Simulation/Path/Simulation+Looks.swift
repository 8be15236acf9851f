import Domain
import ExecutionServiceEngine
import Resilience

/// What the execution-service looks up at the venue: unknown orders, the balance, results, and all of it.
extension Simulation {
    /// Whether a question to the venue is answered: about the account's orders and fills, or about a market.
    mutating func reachesVenue(forLists: Bool = true) -> Bool {
        if path.trouble.isVenueDown || (forLists && path.trouble.isVenueListless) { return false }
        return !path.roll(path.trouble.lostReplies)
    }

    mutating func lookHappens(_ happening: PathHappening) {
        switch happening {
        case .resolve(let index, let life):
            guard isThere(executor: index, life, happening) else { return }
            guard fate(of: path.executors[index].process, writes: false).isAnswered else {
                return planPath(.resolve(index, life: life), after: .seconds(1))
            }
            planPath(.step(index, life: life, path.books.openOrders.filter { !$0.isPartOfPlan }), within: 1...8)
        case .step(let index, let life, let open):
            guard isThere(executor: index, life, happening) else { return }
            step(index, life, open)
        case .look(let index, let life, let order, let started, let rest):
            let isWhole = reachesVenue()
            let found = isWhole ? path.venue.find(order, at: now) : nil
            planPath(
                .looked(index, life: life, order, started: started, found: found, isWhole: isWhole, rest: rest),
                after: isWhole ? path.milliseconds(10...60) : .seconds(2))
        case .looked(let index, let life, let order, let started, let found, let isWhole, let rest):
            guard isThere(executor: index, life, happening) else { return }
            if let found {
                planPath(.book(index, life: life, order.request.id, found, lane: nil), after: .zero)
            } else if isWhole {
                path.executors[index].engine.pagedWithout(order.request.id, startedAt: started)
            }
            step(index, life, rest)
        case .readBalance(let index, let life):
            guard isThere(executor: index, life, happening) else { return }
            let at = clock(of: path.executors[index].process)
            let isRead = reachesVenue()
            planPath(
                .balanceRead(index, life: life, isRead ? path.venue.cash : nil, at: at, asked: now),
                after: isRead ? path.milliseconds(10...60) : .seconds(2))
        case .balanceRead(let index, let life, let money, let at, let asked):
            guard isThere(executor: index, life, happening) else { return }
            if let money { path.executors[index].balance = (money, at, asked) }
            planPath(.readBalance(index, life: life), after: money == nil ? .seconds(1) : .seconds(10))
        case .payOut(let index, let life):
            guard isThere(executor: index, life, happening) else { return }
            planPath(.payOut(index, life: life), after: .seconds(5))
            _ = payOut(index)
        default: reconciliationHappens(happening)
        }
    }

    /// One unknown order after another, as the loop of the process does.
    private mutating func step(_ index: Int, _ life: Int, _ open: [SimulatedBooks.OpenOrder]) {
        guard let first = open.first else { return planPath(.resolve(index, life: life), after: .seconds(1)) }
        let rest = Array(open.dropFirst())
        let process = path.executors[index].process
        let next = path.executors[index].engine.next(
            for: first.record, intentExpiresAt: first.intentExpiresAt, at: venueClock(of: process),
            machine: clock(of: process))
        switch next {
        case .wait: step(index, life, rest)
        case .page:
            planPath(
                .look(index, life: life, first.record, started: clock(of: process), rest: rest), within: 5...30)
        case .absent(let retries):
            let news = OrderNews.provenAbsent(retries: retries)
            watchProof(first.record)
            planPath(.book(index, life: life, first.record.request.id, news, lane: nil), after: .zero)
            planPath(.step(index, life: life, rest), within: 2...10)
        }
    }

    /// Pays out what the venue has settled, and names the markets that could not be read; nil when the database did not
    /// take it.
    private mutating func payOut(_ index: Int) -> Set<MarketID>? {
        var unread: Set<MarketID> = []
        let held = path.books.positions.filter {
            (plant == .paidTwice || $0.value.state == .open) && !$0.value.position.isFlat
        }
        for market in held.keys.sorted() {
            // A market that cannot be read now is asked about again.
            guard reachesVenue(forLists: false) else {
                unread.insert(market)
                continue
            }
            guard let value = path.venue.listings[market]?.value else { continue }
            let fate = fate(of: path.executors[index].process)
            if fate.isDone, path.books.settle(market, at: value) {
                log.add("\(market) settled at \(value)")
                record("e\(index) pays out \(market) at \(value)")
                watchBooks()
            }
            guard fate.isAnswered else { return nil }
        }
        return unread
    }

    // MARK: Reconciliation

    private mutating func reconciliationHappens(_ happening: PathHappening) {
        switch happening {
        case .reconcile(let index, let life):
            guard isThere(executor: index, life, happening) else { return }
            let started = clock(of: path.executors[index].process)
            let unread = payOut(index)
            let isRead = fate(of: path.executors[index].process, writes: false).isAnswered && unread != nil
            let mark = isRead ? path.books.mark : nil
            planPath(
                .reconcileAtVenue(index, life: life, started: started, mark: mark, unread: unread ?? []),
                within: 5...40)
        case .reconcileAtVenue(let index, let life, let started, let mark, let unread):
            let snapshot = reachesVenue() ? path.venue.snapshot(at: now) : nil
            planPath(
                .reconcileAtHome(index, life: life, started: started, mark: mark, unread: unread, snapshot),
                after: snapshot == nil ? .seconds(2) : path.milliseconds(5...200))
        case .reconcileAtHome(let index, let life, let started, let mark, let unread, let snapshot):
            guard isThere(executor: index, life, happening) else { return }
            let isRead = fate(of: path.executors[index].process, writes: false).isAnswered
            var look = ReconciliationLook.unreachable(reason: "no answer")
            var own: OwnSnapshot?
            var found: [Discrepancy] = []
            if let snapshot, let mark, isRead {
                let ours = path.books.own(of: snapshot)
                own = ours
                look =
                    path.books.mark == mark ? Reconciliation.look(ours, snapshot, unread: unread) : .moved
                if case .compared(let certain, _, _) = look { found = certain }
            }
            planPath(.reconciled(index, life: life, started: started, look, found, own), within: 1...8)
        case .reconciled(let index, let life, let started, let look, let found, let own):
            guard isThere(executor: index, life, happening) else { return }
            judge(index, life, started, look, found, own)
        default: break
        }
    }

    private mutating func judge(
        _ index: Int, _ life: Int, _ started: MachineInstant, _ look: ReconciliationLook, _ found: [Discrepancy],
        _ own: OwnSnapshot?
    ) {
        let judgement = path.executors[index].reconciliation.judge(
            look, startedAt: started, at: clock(of: path.executors[index].process))
        path.executors[index].isReconciled = judgement.permitsOrders
        record("e\(index) judges \(judgement.verdict): \(found.map(\.name))")
        watchJudgement(judgement)
        if !judgement.lasting.isEmpty { path.books.killSwitch = .engaged }
        for case .unbookedFills(let id, _, _) in found {
            guard let order = own?.orders.first(where: { $0.request.id == id }), order.state.isTerminal,
                reachesVenue(), let news = path.venue.find(order, at: now)
            else { continue }
            planPath(.book(index, life: life, id, news, lane: nil), within: 10...60)
        }
        planPath(.reconcile(index, life: life), after: min(judgement.pause, .seconds(20)))
    }
}
