import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Postgres
import Resilience
import Runtime

/// Compares orders, fills, positions and balance with the venue: before any new order, each hour, and when asked.
///
/// Nothing is concluded from a look that could not be finished, and nothing is dropped: without a whole look there are
/// no new orders, and exits wait (PITFALLS 8, rows 26 and 27).
struct Reconciler: Sendable {
    /// How far before the last equal look orders and fills are listed again: more than any clock may be off, and than
    /// a venue's list lags.
    static let overlap = Duration.seconds(3_600)
    /// How often it is asked whether a person wants a look.
    static let requestInterval = Duration.seconds(1)

    let host: ServiceHost
    let store: OrderStore
    let venue: any ExecutionVenue
    let desk: OrderDesk
    let records: ReconciliationStore
    let settings: ExecutionServiceSettings

    /// What one look found, and what it was made of.
    private struct Round {
        var look: ReconciliationLook
        /// The database's time before it; nil while the database is away.
        var asked: Int64?
        /// What was stored; read whenever `asked` is, for what is stored next goes on from it.
        var before: ReconciliationRecord?
        var venueNow = VenueInstant.epoch
        var own: OwnSnapshot?
        var theirs: VenueSnapshot?
        var accepted = Accepted()

        var found: [Discrepancy] {
            if case .compared(let found, _, _) = look { found } else { [] }
        }
    }

    private struct Told {
        var mismatch: Set<String> = []
        var isOverdue = false
    }

    private var name: String { host.source }
    private var adoptions: Adoptions { Adoptions(host: host, store: store, desk: desk, records: records) }

    /// Looks until cancelled.
    ///
    /// `keeper` pays out what the venue has paid before it is compared. `looked` is told of each account that was read.
    func run(with keeper: PositionKeeper, looked: WakeUps) async throws {
        var limits = ReconciliationEngine.Limits()
        limits.interval = settings.reconciliationInterval
        limits.confirmation = settings.reconciliationConfirmation
        limits.overdue = settings.reconciliationAlertAfter
        var engine = ReconciliationEngine(limits, at: host.clock.now)
        var told = Told()
        while !Task.isCancelled {
            let started = host.clock.now
            let round = await look { try await keeper.settleOnce() }
            let judgement = engine.judge(round.look, startedAt: started, at: host.clock.now)
            await desk.setReconciled(judgement.permitsOrders)
            tell(judgement, round, &told)
            var hasAdopted = false
            do {
                try await keep(judgement, round)
                hasAdopted = try await adopt(round)
            } catch  where !Task.isCancelled {
                host.log.warning("reconciliation not stored", metadata: [Key.reason: "\(error)"])
            }
            await mend(round)
            if round.theirs != nil { looked() }
            // Our books are others now.
            if hasAdopted { continue }
            try await rest(judgement.pause, after: round.asked)
        }
    }

    // MARK: Looking

    private func look(_ settle: @Sendable () async throws -> Set<MarketID>) async -> Round {
        var round = Round(look: .moved)
        do {
            try await look(settle, &round)
        } catch let error as PostgresError {
            round.look = .unreachable(reason: "PostgreSQL: \(error)")
        } catch {
            round.look = .unreachable(reason: "venue: \(error)")
        }
        if case .unreachable(let reason) = round.look, !Task.isCancelled {
            host.log.warning("books not compared", metadata: [Key.reason: "\(reason)"])
        }
        return round
    }

    private func look(_ settle: @Sendable () async throws -> Set<MarketID>, _ round: inout Round) async throws {
        round.before = try await records.read(store.pool)
        round.asked = try await VenueBalances.now(store.pool)
        round.venueNow = host.venueClock.now
        let unread = try await settle()
        let mark = try await store.mark()
        let since = Self.since(round.before, now: round.venueNow)
        guard let theirs = try await venue.snapshot(since: since) else {
            round.look = .nothingToCompare
            return
        }
        round.theirs = theirs
        let own = try await store.own(of: theirs, since: since)
        round.own = own
        round.accepted = try Accepted(await records.accepted(store.pool))
        guard try await store.mark() == mark else { return }
        round.look = Reconciliation.look(own, theirs, accepted: round.accepted, unread: unread)
    }

    /// From when on orders and fills are listed, in whole seconds as venues take it; nil for all.
    private static func since(_ before: ReconciliationRecord?, now: VenueInstant) -> VenueInstant? {
        listed(from: before?.comparedTo, now: now)
    }

    /// What was known up to `until`, in microseconds, is listed again from a while before.
    static func listed(from until: Int64?, now: VenueInstant) -> VenueInstant? {
        guard let until, let instant = try? VenueInstant(microseconds: until) else { return nil }
        // A clock that ran ahead when it was stored must not hide what came after.
        let from = min(instant, now).advanced(by: .zero - overlap)
        let seconds = from.microseconds / 1_000_000
        return seconds <= 0 ? nil : try? VenueInstant(microseconds: seconds * 1_000_000)
    }

    // MARK: What follows

    /// Alerts are news: each once, until it changes or ends.
    private func tell(_ judgement: ReconciliationJudgement, _ round: Round, _ told: inout Told) {
        host.context.metrics.counter(
            "reconciliations_total", "Comparisons with the venue by verdict.",
            labels: ["verdict": judgement.verdict.rawValue]
        ).increment()
        host.context.metrics.gauge("reconciliation_differences", "Differences in the newest comparison.")
            .set(Double(round.found.count))
        let lasting = Set(judgement.lasting.map(\.name))
        if !lasting.isSubset(of: told.mismatch) {
            told.mismatch = lasting
            desk.alarm.mismatch(judgement.lasting)
        }
        let isDone = judgement.verdict == .equal || judgement.verdict == .ownBooks
        if isDone, !told.mismatch.isEmpty {
            told.mismatch = []
            desk.alarm.matched()
        }
        if judgement.isOverdue, judgement.verdict != .differs, !told.isOverdue {
            told.isOverdue = true
            desk.alarm.overdue(Self.reason(judgement, round), permitsOrders: judgement.permitsOrders)
        }
        if told.isOverdue, isDone || judgement.verdict == .differs {
            told.isOverdue = false
            desk.alarm.compared()
        }
    }

    /// The result, the audit, fills that are not ours, and the kill switch, in one transaction.
    private func keep(_ judgement: ReconciliationJudgement, _ round: Round) async throws {
        guard let asked = round.asked else { return }
        var halt = ReconciliationHalt(Set(round.before?.haltedFor ?? []))
        let halting = halt.observe(judgement)
        let record = record(judgement, round, asked, haltedFor: halt.names)
        let strange = foreignFills(round)
        let new = try await store.pool.transaction("reconciliation") { transaction in
            let new = try await records.keep(strange, transaction)
            for fill in new { try await audit(fill).write(transaction) }
            for difference in halting { try await audit(difference).write(transaction) }
            if let first = halting.first {
                try await KillSwitchStore.change(
                    engaged: true, reason: "reconciliation mismatch: \(first.name) \(first.figures)", by: name,
                    transaction)
            }
            if judgement.verdict == .equal { try await equal(round, transaction) }
            try await records.write(record, transaction)
            return new
        }
        host.outbox()
        for fill in new {
            host.context.metrics.counter("foreign_fills_total", "Fills in the account that are not ours.").increment()
            desk.alarm.foreign(fill)
        }
    }

    private func equal(_ round: Round, _ transaction: PostgresTransaction) async throws {
        if let theirs = round.theirs?.balance, let own = round.own?.balance, round.accepted.balance == nil {
            _ = try await records.setBaseline((theirs - own).microdollars, by: name, transaction)
        }
        guard round.before?.verdict != .equal else { return }
        try await AuditEntry(
            .reconciliationEqual,
            details: [
                "by": name, "after": round.before?.verdict.rawValue ?? "",
                "orders": "\(round.theirs?.orders.count ?? 0)",
                "fills": "\(round.theirs?.fills.count ?? 0)", "positions": "\(round.theirs?.positions.count ?? 0)",
            ]
        ).write(transaction)
    }

    private func record(
        _ judgement: ReconciliationJudgement, _ round: Round, _ asked: Int64, haltedFor: Set<String>
    ) -> ReconciliationRecord {
        var record = ReconciliationRecord(
            verdict: ReconciliationRecord.Verdict(rawValue: judgement.verdict.rawValue) ?? .waiting, lookedBy: name,
            lookedAt: asked)
        record.reason = Self.reason(judgement, round)
        record.orders = round.theirs?.orders.count ?? 0
        record.fills = round.theirs?.fills.count ?? 0
        record.positions = round.theirs?.positions.count ?? 0
        record.balance = round.own?.balance.microdollars
        record.venueBalance = round.theirs?.balance?.microdollars
        record.equalAt = round.before?.equalAt
        record.comparedTo = round.before?.comparedTo
        record.differences = round.found.map { .init($0) }
        record.haltedFor = haltedFor.sorted()
        switch judgement.verdict {
        case .equal:
            record.equalAt = asked
            record.comparedTo = max(round.before?.comparedTo ?? 0, round.venueNow.microseconds)
        case .ownBooks: record.equalAt = asked
        case .differs, .waiting, .unreachable:
            record.differsSince = round.before?.differsSince ?? (judgement.verdict == .differs ? asked : nil)
        }
        return record
    }

    private static func reason(_ judgement: ReconciliationJudgement, _ round: Round) -> String {
        switch round.look {
        case .unreachable(let reason): reason
        case .moved: "our books changed while the venue was read"
        case .nothingToCompare: "the venue keeps nothing for us: our own books are the account"
        case .compared(_, let inFlight, let open) where judgement.verdict == .waiting:
            inFlight + open > 0 ? "\(inFlight + open) orders are open" : "differences are being mended"
        case .compared: ""
        }
    }

    private func foreignFills(_ round: Round) -> [ForeignFill] {
        let strange = Set(
            round.found.compactMap { discrepancy -> FillID? in
                if case .foreignFill(let fill, _, _) = discrepancy { fill } else { nil }
            })
        return (round.theirs?.fills ?? []).filter { strange.contains($0.id) }.map { fill in
            ForeignFill(
                fill: fill.id.rawValue, venueOrder: fill.venueOrder.rawValue, market: fill.market.rawValue,
                bought: fill.bought?.rawValue, yesPrice: fill.yesPrice.tenThousandths,
                quantity: fill.quantity.hundredths, fee: fill.fee?.microdollars, venueAt: fill.at.microseconds)
        }
    }

    private func audit(_ fill: ForeignFill) -> AuditEntry {
        AuditEntry(
            .foreignFill, market: try? MarketID(fill.market),
            details: [
                "fill": fill.fill, "venue_order": fill.venueOrder, "quantity_hundredths": "\(fill.quantity)",
                "bought": fill.bought ?? "", "yes_price": "\(fill.yesPrice)",
            ])
    }

    private func audit(_ difference: Discrepancy) -> AuditEntry {
        AuditEntry(
            .reconciliationMismatch, order: difference.order,
            market: ReconciliationRecord.Difference(difference).market.flatMap { try? MarketID($0) },
            details: ["difference": difference.name, "figures": difference.figures])
    }

    /// Makes ours what a person wants to be, once a look that began later has been finished (decision 0082).
    ///
    /// - Returns: whether anything was.
    private func adopt(_ round: Round) async throws -> Bool {
        switch round.look {
        case .compared, .nothingToCompare: break
        case .moved, .unreachable: return false
        }
        guard let asked = round.asked else { return false }
        return try await adoptions.carryOut(askedBefore: asked, ForeignSight(round.found, round.theirs))
    }

    // MARK: Mending

    /// Books what is certainly ours, and takes back what has ended here; orders that are open have their own resolver.
    private func mend(_ round: Round) async {
        let ours = Dictionary(
            (round.own?.orders ?? []).map { ($0.request.id, $0) }, uniquingKeysWith: { first, _ in first })
        for discrepancy in round.found {
            do {
                switch discrepancy {
                case .unbookedFills(let id, _, _):
                    guard let order = ours[id], order.state.isTerminal else { continue }
                    if let news = try await venue.find(order) {
                        try await desk.note(store.book(id, news, at: host.venueClock.now))
                    }
                case .openAtVenue(let id, let venueOrder):
                    let deadline = host.clock.now.advanced(by: CancelAll.patience)
                    let isGone = await venue.cancel(venueOrder, deadline: deadline)
                    host.log.notice(
                        "order that had ended here taken back", metadata: [Key.order: "\(id)", "gone": "\(isGone)"])
                default: continue
                }
                host.context.metrics.counter(
                    "reconciliation_mended_total", "Differences that were mended.", labels: ["code": discrepancy.code]
                ).increment()
            } catch  where !Task.isCancelled {
                host.log.warning(
                    "difference not mended", metadata: ["what": "\(discrepancy.name)", Key.reason: "\(error)"])
            } catch {
                return
            }
        }
    }

    /// Until it is time, or a person asks.
    private func rest(_ pause: Duration, after asked: Int64?) async throws {
        let until = host.clock.now.advanced(by: pause)
        while host.clock.now < until {
            try await host.clock.sleep(for: min(Self.requestInterval, host.clock.now.duration(to: until)))
            // A database that is away is noticed by the look itself.
            if let asked, let wanted = try? await records.requested(store.pool), wanted > asked { return }
        }
    }
}

extension Accepted {
    init(_ stored: [ReconciliationStore.Acceptance]) throws(DomainError) {
        self.init(balance: nil)
        for acceptance in stored {
            switch acceptance.code {
            case "balance": balance = try Money(microdollars: acceptance.amount ?? 0)
            case "position":
                if let market = try? MarketID(acceptance.subject) { positions[market] = acceptance.amount ?? 0 }
            default: names.insert("\(acceptance.code):\(acceptance.subject)")
            }
        }
    }
}

extension ReconciliationRecord.Difference {
    init(_ discrepancy: Discrepancy) {
        let (market, ours, venues): (MarketID?, Int64?, Int64?) =
            switch discrepancy {
            case .unbookedFills(_, let ours, let venues), .fillsTakenBack(_, let ours, let venues):
                (nil, ours.hundredths, venues.hundredths)
            case .absentOrder, .openAtVenue, .duplicateOrder, .missingFill: (nil, nil, nil)
            case .foreignOrder(_, let market), .foreignFill(_, _, let market): (market, nil, nil)
            case .position(let difference): (difference.market, difference.ours, difference.venues)
            case .balance(let ours, let venues): (nil, ours.microdollars, venues.microdollars)
            }
        self.init(
            code: discrepancy.code, subject: discrepancy.subject, market: market?.rawValue, ours: ours, venues: venues,
            isMended: discrepancy.isMended)
    }
}

extension Discrepancy {
    /// What each side says, for people; empty where it is only there or not.
    var figures: String {
        switch self {
        case .unbookedFills(_, let ours, let venues), .fillsTakenBack(_, let ours, let venues):
            "ours \(ours), venue's \(venues)"
        case .position(let difference):
            "ours \(FixedPoint.format(difference.ours, scale: 2)), "
                + "venue's \(FixedPoint.format(difference.venues, scale: 2))"
        case .balance(let ours, let venues): "ours \(ours), venue's \(venues)"
        case .foreignOrder(_, let market), .foreignFill(_, _, let market): "in \(market)"
        case .absentOrder(let order), .duplicateOrder(let order, _), .openAtVenue(let order, _): "order \(order)"
        case .missingFill: ""
        }
    }
}
