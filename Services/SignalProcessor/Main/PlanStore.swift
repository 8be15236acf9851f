import Domain
import Hosting
import Postgres
import Runtime
import SignalProcessorEngine
import Wire

extension SignalStore {
    /// The same for an arbitrage: one transaction that reserves for both legs, and for the loss if one is missed.
    func process(
        _ signal: ArbitrageSignal, from sender: Incarnation? = nil, trace: TraceID?, engine: SignalProcessorEngine,
        marks: MarkBook.Marks = [:], at now: VenueInstant, isClockOff: Bool = false
    ) async throws -> Outcome<PlanVerdict> {
        try await pool.retryingTransaction("arbitrage") { transaction in
            let reader = reader(transaction, marks, sender)
            var (isKnown, view) = try await reader.view(
                for: PortfolioSubject(signal), and: reader.isKnown(signal.id), at: now)
            view.isClockOff = isClockOff
            if isKnown {
                try await AuditEntry(
                    .duplicateDetected, game: signal.game,
                    details: ["signal": signal.id.rawValue, "shard": signal.shard.rawValue]
                ).write(transaction)
                return .known
            }
            let verdict = engine.decide(signal, portfolio: view, as: .derived(from: signal.id), at: now)
            let plan: ApprovedPlan? = if case .approved(let plan) = verdict { plan } else { nil }
            try await record(signal, verdict, plan, trace, transaction)
            if let plan { try await approve(plan, trace: trace, now: now, transaction) }
            try await statistics.add(["arbitrages": 1, "arbitrages:\(verdict.name)": 1], at: now, transaction)
            return .decided(verdict)
        }
    }

    /// A row for each leg, so that each order can be explained by its own.
    private func record(
        _ signal: ArbitrageSignal, _ verdict: PlanVerdict, _ plan: ApprovedPlan?, _ trace: TraceID?,
        _ transaction: PostgresTransaction
    ) async throws {
        let edge = signal.edgeBasisPoints(of: plan?.quantity ?? CountStep.whole.down(signal.available))
        for (index, leg) in signal.legs.enumerated() {
            // What the other leg's price leaves for this one: no opinion, but what the bet rests on.
            let worth = signal.legs[1 - index].price.complement.probability
            try transaction.enqueue(
                """
                WITH stored AS (
                INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability,
                    price, edge_basis_points, play_id, venue_created_at, venue_expires_at, trace, verdict)
                SELECT \(signal.id.leg(index).rawValue), game_id, market_id, \(signal.shard.rawValue),
                    \(signal.epoch.number), \(signal.kind.rawValue), \(leg.outcome.rawValue), \(worth),
                    \(leg.price.tenThousandths), \(edge), NULL, \(signal.createdAt.microseconds),
                    \(signal.expiresAt.microseconds), \(trace?.rawValue ?? ""), \(verdict.name)
                FROM market_mappings WHERE market_id = \(leg.market.rawValue) AND game_id = \(signal.game.rawValue)
                RETURNING signal_id)
                INSERT INTO consumed (consumer, message_id)
                SELECT 'signals', \(signal.id.rawValue) WHERE \(index == 0) AND NOT EXISTS (SELECT FROM stored)
                """)
        }
        var details = [
            "signal": signal.id.rawValue, "verdict": verdict.name, "shard": signal.shard.rawValue,
            "epoch": "\(signal.epoch)", "edge_basis_points": "\(edge)",
            "legs": signal.legs.map { "\($0.outcome.rawValue) of \($0.market) at \($0.price)" }
                .joined(separator: ", "),
        ]
        if let plan {
            details["pairs"] = "\(plan.quantity)"
            details["reserved"] = "\(plan.reserved)"
            details["maximum_loss"] = "\(plan.maximumLoss)"
        }
        try await AuditEntry(
            plan == nil ? AuditEvent.signalRefused : .signalApproved, intent: plan?.id, game: signal.game,
            details: details
        ).write(transaction)
    }

    private func approve(
        _ plan: ApprovedPlan, trace: TraceID?, now: VenueInstant, _ transaction: PostgresTransaction
    ) async throws {
        let signal = plan.signal
        // Of one market by its row; what counts for the other leg's market is read from the plan.
        try transaction.enqueue(
            """
            INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount)
            VALUES (\(plan.reservation.rawValue), \(signal.game.rawValue), \(signal.legs[0].market.rawValue),
                \(signal.sport.rawValue), \(plan.reserved.microdollars))
            """)
        let life = now.duration(to: signal.expiresAt).inSeconds
        try transaction.enqueue(
            """
            INSERT INTO plans (plan_id, signal_id, reservation_id, game_id, approved, venue_expires_at, expires_at,
                trace)
            VALUES (\(plan.id.rawValue), \(signal.id.rawValue), \(plan.reservation.rawValue),
                \(signal.game.rawValue), \(.json(plan)), \(signal.expiresAt.microseconds),
                now() + make_interval(secs => \(life)), \(trace?.rawValue ?? ""))
            """)
        for (index, leg) in signal.legs.enumerated() {
            // Nobody waits for a leg: its plan says what is sent. A build that knows no plans leaves it alone.
            try transaction.enqueue(
                """
                INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
                    limit_price, quantity, state, venue_expires_at, expires_at, trace, plan_id, leg)
                VALUES (\(plan.id.leg(index).rawValue), \(signal.id.leg(index).rawValue),
                    \(plan.reservation.rawValue), \(signal.game.rawValue), \(leg.market.rawValue),
                    \(signal.epoch.number), \(leg.outcome.rawValue), 'buy', \(leg.price.tenThousandths),
                    \(plan.quantity.hundredths), 'done', \(signal.expiresAt.microseconds),
                    now() + make_interval(secs => \(life)), \(trace?.rawValue ?? ""), \(plan.id.rawValue),
                    \(index + 1))
                """)
            try await AuditEntry(
                .executionRequested, intent: plan.id.leg(index), market: leg.market, game: signal.game,
                details: [
                    "signal": signal.id.rawValue, "plan": plan.id.rawValue, "leg": "\(index + 1)",
                    "reservation": plan.reservation.rawValue, "limit": "\(leg.price)", "quantity": "\(plan.quantity)",
                    "reserved": "\(plan.reserved)",
                ]
            ).write(transaction)
        }
        try await OutboxStore.append(
            PlanMessage(plan: plan), on: Channels.plans, key: signal.game.rawValue, trace: trace, in: transaction)
    }
}

extension SignalID {
    /// The name of a leg's row; the first is the signal's own.
    fileprivate func leg(_ index: Int) -> SignalID { index == 0 ? self : SignalID(stringLiteral: "\(self).2") }
}

extension IntentID {
    /// The name of a plan's leg, counted from 0.
    fileprivate func leg(_ index: Int) -> IntentID {
        IntentID(stringLiteral: UUIDv5.make(namespace: .dns, name: "\(index + 1).\(self).leg.linesman"))
    }
}
