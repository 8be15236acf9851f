import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Postgres
import Resilience
import Runtime
import Venues
import Wire

/// Works intents off, several at once: claims, sends, books (DESIGN rule 6).
///
/// PostgreSQL says what there is to do; announcements and a timer only say when to look. Start, gap and recovery are
/// therefore the same sweep. What `OrderLanes` lets go becomes a child task of `run`, and gives its lane and its market
/// back on every path, whether it succeeded, failed or was cancelled. Takes part in shutdown: `drain` starts nothing
/// more and waits for all that is on its way.
actor OrderDesk {
    let host: ServiceHost
    let store: OrderStore
    let venue: any ExecutionVenue
    nonisolated let alarm: Alarm
    nonisolated let news: IntentNews
    /// Asks for a sweep.
    nonisolated let wakeUps = WakeUps()
    /// Rung when a booking has changed what is held.
    nonisolated let positions: WakeUps
    private let settings: ExecutionServiceSettings
    private let prices: LatestPrices
    private let balance: BalanceReader
    var engine: ExecutionServiceEngine
    private var lanes: OrderLanes
    /// Rung whenever something may be started.
    private var doorbell = WakeUps()
    private(set) var isReconciled = false
    private var isDraining = false
    /// What rests at the venue as far as this process knows, for cancels without a database.
    private(set) var resting: [OrderID: VenueOrderID] = [:]
    /// Unknown orders of which the venue says what makes no sense, as the operator was told.
    private var nonsense: Set<OrderID> = []
    private var idle: [CheckedContinuation<Void, Never>] = []

    init(
        host: ServiceHost, store: OrderStore, venue: any ExecutionVenue, settings: ExecutionServiceSettings,
        engine: ExecutionServiceEngine, prices: LatestPrices, balance: BalanceReader, positions: WakeUps
    ) {
        self.positions = positions
        self.host = host
        self.store = store
        self.venue = venue
        self.settings = settings
        self.engine = engine
        self.prices = prices
        self.balance = balance
        lanes = OrderLanes(perAccount: settings.ordersInFlight, kept: settings.exitLanes)
        alarm = Alarm(host: host)
        news = IntentNews(metrics: host.context.metrics)
    }

    func setReconciled(_ holds: Bool) {
        if holds != isReconciled {
            host.log.info("positions compared with the venue", metadata: ["equal": "\(holds)"])
        }
        isReconciled = holds
    }

    /// Sweeps at every wake-up, and sends what the lanes let go.
    func run() async {
        doorbell = WakeUps()
        doorbell()
        await withDiscardingTaskGroup { group in
            group.addTask { await self.sweepAtWakeUps() }
            for await _ in doorbell.stream {
                while !isDraining, let item = lanes.start() { group.addTask { await self.carry(item) } }
                measure()
            }
        }
    }

    private func sweepAtWakeUps() async {
        for await _ in wakeUps.stream {
            do {
                try await sweep()
            } catch  where !Task.isCancelled {
                // Everything is in the database: the next wake-up finds the same work.
                failed("order sweep failed", error)
            } catch {}
        }
    }

    private func sweep() async throws {
        let (open, waiting) = try await store.work()
        for order in open { try await takeUpAlone(order) }
        for item in waiting { offer(item) }
    }

    /// An intent that was announced goes on at once; a sweep finds those that were not.
    func offer(_ intent: ApprovedIntent) {
        offer(
            OrderQueue.Item(
                intent: intent.id, account: intent.venue.rawValue, markets: [intent.market],
                priority: intent.action == .sell ? .takeProfit : .entry))
    }

    func offer(_ item: OrderQueue.Item) {
        guard canWork else { return }
        lanes.offer(item)
        doorbell()
    }

    /// Works on one item; its lane and its market are free afterwards, whatever happened (CHECKLIST H3).
    private func carry(_ item: OrderQueue.Item) async {
        defer { landed(item.intent) }
        do {
            try await work(item.intent)
        } catch  where !Task.isCancelled {
            // What it has stored is taken up by the next sweep, as after a crash.
            failed("intent not worked off", error, ["intent": "\(item.intent)"])
        } catch {}
    }

    func failed(_ message: Logger.Message, _ error: any Error, _ more: Logger.Metadata = [:]) {
        host.context.metrics.counter("order_failures_total", "Sweeps and intents that failed.").increment()
        host.log.warning(message, metadata: more.merging([Key.reason: "\(error)"]) { $1 })
    }

    private func measure() {
        let metrics = host.context.metrics
        metrics.gauge("orders_in_flight", "Intents on their way to the venue.").set(Double(lanes.inFlight))
        metrics.gauge("intents_waiting", "Intents that wait for a lane or for their market.").set(Double(lanes.waiting))
        metrics.gauge("intents_put_back", "Intents that found the queue full and stayed in the database.")
            .set(Double(lanes.dropped))
    }

    /// One that the database refuses for good holds up no other.
    private func takeUpAlone(_ open: OpenOrder) async throws {
        do {
            try await takeUp(open)
        } catch let error as PostgresError where error.code == .permanent {
            failed("open order not taken up", error, [Key.order: "\(open.record.request.id)"])
        }
    }

    /// An order that nobody holds: left by an earlier life, or by a transaction whose commit was unknown.
    private func takeUp(_ open: OpenOrder) async throws {
        let id = open.record.request.id
        // Nobody else may conclude anything of it between its storing and the booking of its answer; a leg is its
        // plan's.
        if lanes.isInFlight(open.record.intent) || open.isPartOfPlan { return }
        if let news = open.record.newsWhenAbandoned {
            return try await note(store.book(id, news, at: host.venueClock.now))
        }
        remember(open.record)
        alarm.see(open.record)
        engine.missing(id, connectionClosed: true, at: host.clock.now)
    }

    /// One intent from its claim to the booking of the venue's answer.
    private func work(_ intent: IntentID) async throws {
        let now = host.venueClock.now
        let seen = VenueReadings(
            isReconciled: isReconciled, prices: prices, balance: balance.reading(at: host.clock.now),
            isClockOff: host.databaseClock.isOff)
        let began = host.clock.now
        let isShadow = settings.host.trading.mode == .shadow
        let claim = try await store.claim(intent, engine: engine, seen: seen, marking: !isShadow, at: now)
        // Counted at the end: now the order is to leave.
        defer { count(claim) }
        guard let claimed = claim.claimed else {
            if let held = claim.heldBack, held.by == .priceUnknown { awaitPrice(held.intent) }
            if claim.decision == .wait { await news.foundNothing(of: intent) }
            return
        }
        let id = claimed.order.request.id
        if isShadow {
            _ = try await store.book(id, .notSent(reason: OrderRecord.shadow), at: host.venueClock.now)
            return host.outbox()
        }
        let news = await send(claimed, since: began)
        try await note(settle(id, news))
    }

    /// An entry waits for a price, and is looked at again as soon as one is told; the sweep looks too.
    private func awaitPrice(_ intent: ApprovedIntent) {
        guard prices.expect(intent.market, intent.outcome) else { return }
        host.log.notice(
            "entry waits for a price", metadata: [Key.market: "\(intent.market)", Key.intent: "\(intent.id)"])
    }

    /// The last looks, the very last of them when the connection is there; then the one write.
    private func send(_ claimed: ClaimedOrder, since began: MachineInstant) async -> OrderNews {
        let life = host.venueClock.now.duration(to: claimed.intent.expiresAt)
        let limit = host.venueClock.isReplay ? settings.window.timeout : min(settings.window.timeout, life)
        guard limit > .zero else { return .refused(reason: "expired") }
        let started = host.clock.now
        let look = LastLook.send(
            since: began, passes: claimed.reduces && settings.killSwitchAllowsReducing, host, settings.window)
        if let reason = look.refusal() { return .refused(reason: reason) }
        let news = await venue.submit(claimed.order.request, within: limit, host.clock, lastLook: look)
        host.context.metrics.histogram("order_answer_seconds", "From the write of an order to its answer.", labels: [:])
            .observe(host.clock.now.since(started))
        return news
    }

    /// Books an answer, and goes on trying while the database is away: the answer is in our hands only.
    private func settle(_ id: OrderID, _ news: OrderNews) async throws -> OrderBooking {
        var backoff = Backoff(base: .milliseconds(100), cap: .seconds(2), multiplier: 2, jitter: 0.1)
        while true {
            do {
                return try await store.book(id, news, at: host.venueClock.now)
            } catch let error as PostgresError where error.mayPass && !Task.isCancelled {
                host.log.error(
                    "answer waits for the database", metadata: ["order": "\(id)", Key.reason: "\(error)"])
                let delay = host.context.random.withGenerator { backoff.next(using: &$0) }
                try await host.clock.sleep(for: delay)
            }
        }
    }

    /// What follows from a booking: announcements, alerts, an investigation.
    func note(_ booking: OrderBooking) async throws {
        host.outbox()
        let id = booking.order.request.id
        remember(booking.order)
        if !booking.newFills.isEmpty { positions() }
        if booking.order.state == .unknown || booking.order.state == .resting {
            engine.missing(id, connectionClosed: true, at: host.clock.now)
        } else if booking.order.state.isTerminal {
            engine.resolved(id)
        }
        host.context.metrics.counter(
            "orders_total", "Orders by state.", labels: ["state": booking.order.state.rawValue]
        ).increment()
        host.log.info(
            "order booked",
            metadata: [
                "order": "\(id)", "state": "\(booking.order.state.rawValue)", "filled": "\(booking.order.filled)",
                Key.reason: "\(booking.order.reason ?? "")",
            ])
        for alert in booking.alerts { alarm.raise(alert) }
        alarm.see(booking.order)
    }

    private func remember(_ order: OrderRecord) {
        resting[order.request.id] = order.state.isTerminal ? nil : order.venueOrder
        if order.state.isTerminal { nonsense.remove(order.request.id) }
    }

    func isFirstNonsense(of order: OrderID) -> Bool { nonsense.insert(order).inserted }

    private func count(_ claim: IntentClaim) {
        if let held = claim.heldBack {
            host.context.metrics.counter(
                "intents_held_back_total", "Looks at intents that wait until a safeguard lets them pass.",
                labels: ["reason": held.by.rawValue]
            ).increment()
        }
        let name =
            switch claim.decision {
            case .send: "send"
            case .expire: "expire"
            case .refuse(let refusal): refusal.rawValue
            case .wait: "wait"
            }
        host.context.metrics.counter("intents_total", "Intents by decision.", labels: ["decision": name]).increment()
    }

    // MARK: Shutdown

    private func landed(_ intent: IntentID) {
        lanes.finish(intent)
        doorbell()
        guard lanes.inFlight == 0 else { return }
        for waiter in idle { waiter.resume() }
        idle = []
    }

    /// Starts nothing more and waits until all that is on its way is booked; bounded by the drain itself.
    func drain() async {
        isDraining = true
        if lanes.inFlight == 0 { return }
        await withCheckedContinuation { idle.append($0) }
    }

    private var canWork: Bool { isReconciled && !isDraining }
}

extension LastLook {
    /// What stops an order directly before the write (DESIGN rule 14).
    ///
    /// `began` is when its claim did: whoever took us for dead since then begins to prove that the venue never had it,
    /// so what was held up is not sent any more. `passes` says whether an engaged switch lets it through; an unknown
    /// file lets nothing through.
    static func send(
        since began: MachineInstant, passes: Bool, _ host: ServiceHost, _ window: SubmitWindow
    ) -> LastLook {
        LastLook {
            guard window.permits(heldUp: host.clock.now.since(began)) else { return "held_up" }
            let file = host.killSwitch.file.read()
            guard file.permitsOrders || (passes && file == .engaged) else { return "kill_switch_file" }
            return host.killSwitch.current.isNoticed && !passes ? "kill_switch_notice" : nil
        }
    }
}
