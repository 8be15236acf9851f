import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Resilience

extension OrderStore {
    /// Ends the arbitrages of which a leg stands alone in a market where something is adopted: it may be what they
    /// miss, and whoever drives them would buy that again.
    ///
    /// What they hold beyond their pairs is a bet of its own then, as after a market that was paid out too early.
    ///
    /// - Returns: false when one of them has an order under way; nothing has changed then.
    func endPlans(
        in market: MarketID, at now: VenueInstant, _ transaction: PostgresTransaction
    ) async throws -> Bool {
        let rows = try await transaction.query(
            """
            SELECT approved, trace, state = 'finished' AS has_ended, legs.is_open
            FROM plans p, LATERAL (
                SELECT coalesce(bool_or(o.state IN ('stored', 'sent', 'unknown', 'resting')), false) AS is_open,
                    coalesce(sum(CASE WHEN (i.leg = 1) = (o.action = 'buy') THEN o.filled ELSE -o.filled END), 0)
                        AS alone
                FROM intents i JOIN orders o USING (intent_id) WHERE i.plan_id = p.plan_id) AS legs
            WHERE ending IS DISTINCT FROM \(PlanEnding.naked) AND (legs.is_open OR legs.alone <> 0)
                AND EXISTS (SELECT FROM intents WHERE plan_id = p.plan_id AND market_id = \(market.rawValue))
            ORDER BY plan_id FOR UPDATE OF p
            """)
        if try rows.contains(where: { try $0.bool("is_open") }) { return false }
        for row in rows {
            let plan: ApprovedPlan = try row.json("approved")
            let orders = try await planOrders(plan.id, transaction)
            let (resumed, _) = LegPlan.resumed(
                plan, orders: orders.map { ($0.leg, $0.answer) },
                alone: LegPlan.alone(after: orders.map { ($0.leg, $0.answer, $0.closedFor) }), at: .origin)
            // One that has ended gave its reservation back then.
            var held: ReservationRecord?
            if try !row.bool("has_ended") { held = try await transaction.ask(reservation(of: plan.id)) }
            try await end(
                plan, resumed.outcome, ending: PlanEnding.naked, held, trace: row.text("trace"),
                "an order in its market was adopted", at: now, transaction)
        }
        return true
    }
}
