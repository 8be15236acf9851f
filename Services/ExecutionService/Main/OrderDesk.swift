import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Postgres
import Resilience
import Runtime
import Wire

/// Works intents off, one after another: claims, sends, books (DESIGN rule 6).
///
/// PostgreSQL says what there is to do; messages and a timer only say when to look. Start, gap and recovery are
/// therefore the same sweep. Takes part in shutdown: `drain` takes no more and waits for the order in flight.
actor OrderDesk {
    let host: ServiceHost
    let store: OrderStore
    let venue: any ExecutionVenue
    let alarm: Alarm
    private let settings: ExecutionServiceSettings
    private let prices: LatestPrices
    private let balance: BalanceReader
    var engine: ExecutionServiceEngine
    private(set) var isReconciled = false
    private var isDraining = false
    /// Orders between their storing and the booking of their answer: nobody else may conclude anything of them.
    private var inFlight: Set<OrderID> = []
    /// What rests at the venue as far as this process knows, for cancels without a database.
    private(set) var resting: [OrderID: VenueOrderID] = [:]
    private var idle: [CheckedContinuation<Void, Never>] = []

    init(
        host: ServiceHost, store: OrderStore, venue: any ExecutionVenue, settings: ExecutionServiceSettings,
        engine: ExecutionServiceEngine, prices: LatestPrices, balance: BalanceReader
    ) {
        self.host = host
        self.store = store
        self.venue = venue
        self.settings = settings
        self.engine = engine
        self.prices = prices
        self.balance = balance
        alarm = Alarm(host: host)
    }

    func setReconciled(_ holds: Bool) {
        if holds != isReconciled {
            host.log.info("positions compared with the venue", metadata: ["equal": "\(holds)"])
        }
        isReconciled = holds
    }

    /// Sweeps at every wake-up.
    func run(_ wakeUps: AsyncStream<Void>) async throws {
        for await _ in wakeUps {
            do {
                try await sweep()
            } catch let error as PostgresError where !Task.isCancelled {
                // Everything is in the database: the next wake-up finds the same work.
                host.log.warning("order sweep failed", metadata: [Key.reason: "\(error)"])
            }
        }
    }

    private func sweep() async throws {
        for open in try await store.openOrders() { try await takeUp(open) }
        guard isReconciled else { return }
        for intent in try await store.waitingIntents() {
            if isDraining || Task.isCancelled { return }
            try await work(intent)
        }
    }

    /// An order that nobody holds: left by an earlier life, or by a transaction whose commit was unknown.
    private func takeUp(_ open: OpenOrder) async throws {
        let id = open.record.request.id
        if inFlight.contains(id) { return }
        switch open.record.state {
        case .stored:
            // Marked as sent before anything is written, so it was not.
            _ = try await store.book(id, .notSent(reason: "interrupted"), at: host.venueClock.now)
        case .sent:
            try await note(store.book(id, .unanswered(reason: "interrupted"), at: host.venueClock.now))
        case .unknown, .resting:
            remember(open.record)
            engine.missing(id, connectionClosed: true, at: host.clock.now)
        default: break
        }
    }

    /// One intent from its claim to the booking of the venue's answer.
    func work(_ intent: IntentID) async throws {
        let now = host.venueClock.now
        let seen = VenueReadings(
            isReconciled: isReconciled, prices: prices, balance: balance.reading(at: host.clock.now))
        let (decision, claimed) = try await store.claim(intent, engine: engine, seen: seen, at: now)
        count(decision)
        guard let claimed else { return }
        let id = claimed.order.request.id
        inFlight.insert(id)
        defer { landed(id) }
        if settings.host.trading.mode == .shadow {
            _ = try await store.book(id, .notSent(reason: "shadow"), at: host.venueClock.now)
            return host.outbox()
        }
        // Somebody who took it for abandoned was faster: then it has ended, and nothing is written.
        let marked = try await store.book(id, .sent, at: host.venueClock.now)
        guard marked.order.state == .sent else { return try await note(marked) }
        let news = await send(claimed)
        try await note(settle(id, news))
    }

    /// The last look at the switch, directly before the write; then the one write.
    private func send(_ claimed: ClaimedOrder) async -> OrderNews {
        let life = host.venueClock.now.duration(to: claimed.intent.expiresAt)
        let limit = host.venueClock.isReplay ? settings.submitTimeout : min(settings.submitTimeout, life)
        guard limit > .zero else { return .refused(reason: "expired") }
        let started = host.clock.now
        guard host.killSwitch.file.read().permitsOrders else { return .refused(reason: "kill_switch_file") }
        if host.killSwitch.current.isNoticed { return .refused(reason: "kill_switch_notice") }
        let news = await venue.submit(claimed.order.request, deadline: started.advanced(by: limit))
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
            } catch let error as PostgresError where error.code != .permanent && !Task.isCancelled {
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
        for alert in booking.alerts { await alarm.raise(alert) }
    }

    private func remember(_ order: OrderRecord) {
        resting[order.request.id] = order.state.isTerminal ? nil : order.venueOrder
    }

    private func count(_ decision: SendDecision) {
        let name =
            switch decision {
            case .send: "send"
            case .expire: "expire"
            case .refuse(let refusal): refusal.rawValue
            case .wait: "wait"
            }
        host.context.metrics.counter("intents_total", "Intents by decision.", labels: ["decision": name]).increment()
    }

    // MARK: Shutdown

    private func landed(_ id: OrderID) {
        inFlight.remove(id)
        guard inFlight.isEmpty else { return }
        for waiter in idle { waiter.resume() }
        idle = []
    }

    /// Takes no more intents and waits until the order in flight is booked; bounded by the drain itself.
    func drain() async {
        isDraining = true
        if inFlight.isEmpty { return }
        await withCheckedContinuation { idle.append($0) }
    }

    var canWork: Bool { isReconciled && !isDraining }
}
