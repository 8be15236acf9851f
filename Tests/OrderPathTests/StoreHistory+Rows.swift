import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Resilience
import Wire

@testable import ExecutionService
@testable import Simulation

/// What both stores have when a history ends, row by row.
extension StoreHistory {
    /// Every row of the order path as a line, as PostgreSQL has them.
    func stored() async throws -> Set<String> {
        let lines: [SQL] = [
            "SELECT concat_ws(' ', 'signal', signal_id, verdict) AS line FROM signals",
            "SELECT concat_ws(' ', 'signal', message_id, '-') AS line FROM consumed WHERE consumer = 'signals'",
            """
            SELECT concat_ws(' ', 'intent', intent_id, state, coalesce(reservation_id, '-'), quantity,
                coalesce(exit_reason, '-')) AS line FROM intents
            """,
            "SELECT concat_ws(' ', 'reservation', reservation_id, amount, released, state) AS line FROM reservations",
            """
            SELECT concat_ws(' ', 'order', order_id, intent_id, attempt, state, filled, coalesce(reason, '-'),
                coalesce(venue_order_id, '-'), venue_at, CASE WHEN reduces THEN 'reduces' ELSE 'enters' END) AS line
            FROM orders
            """,
            """
            SELECT concat_ws(' ', 'fill', fill_id, order_id, price, quantity, fee, venue_at, standing) AS line
            FROM fills
            """,
            """
            SELECT concat_ws(' ', 'position', market_id, net_quantity, cost, realised, fees, state, opened_at, saved,
                shared_profit) AS line FROM positions
            """,
            """
            SELECT concat_ws(' ', 'plan', plan_id, state, coalesce(holder, '-'), coalesce(ending, '-'),
                coalesce(pairs, 0)) AS line FROM plans
            """,
            "SELECT concat_ws(' ', 'account', cash, realised, fees, saved) AS line FROM bankroll",
            """
            SELECT concat_ws(' ', 'switch', CASE WHEN NOT engaged THEN 'released' WHEN \(KillSwitchStore.reduceOnly)
                THEN 'reduce_only' ELSE 'engaged' END) AS line FROM kill_switch
            """,
            """
            SELECT concat_ws(' ', 'market', market_id, status, coalesce(settlement_price::text, '-')) AS line
            FROM market_mappings
            """,
        ]
        var found: Set<String> = [try await storedBudget()]
        for sql in lines { for row in try await rig.pool.query(sql) { found.insert(try row.text("line")) } }
        for alert in try await orders.alertsToTell(olderThan: .zero) { found.insert(Self.text(alert)) }
        return found
    }

    /// The same, as the simulated store has them.
    func simulated() throws -> Set<String> {
        var found: Set<String> = [simulatedBudget]
        for alert in books.untold.keys { found.insert(Self.text(try alert.notice.message(at: 0))) }
        for (id, verdict) in books.signals {
            found.insert("signal \(id) \(id.rawValue.hasPrefix("x") ? "-" : verdict)")
        }
        for (signal, _) in arbitrages where books.signals[signal.id] != nil {
            found.insert("signal \(signal.id).2 \(books.signals[signal.id] ?? "")")
        }
        found.insert("switch \(books.killSwitch.rawValue)")
        for (id, row) in books.plans {
            found.insert(
                "plan \(id) \(row.state.rawValue) \(row.holder ?? "-") \(row.ending ?? "-") \(row.pairs.hundredths)")
        }
        for (id, row) in books.intents {
            found.insert(
                "intent \(id) \(row.state.rawValue) \(row.exit == nil ? row.intent.reservation.rawValue : "-") "
                    + "\(row.intent.quantity.hundredths) \(row.exit?.rawValue ?? "-")")
        }
        for (id, row) in books.reservations {
            let (amount, released) = (row.record.amount.microdollars, row.record.released.microdollars)
            found.insert("reservation \(id) \(amount) \(released) \(row.record.state.rawValue)")
        }
        for (id, row) in books.orders {
            let record = row.record
            found.insert(
                "order \(id) \(record.intent) \(record.attempt) \(record.state.rawValue) \(record.filled.hundredths) "
                    + "\(record.reason ?? "-") \(record.venueOrder?.rawValue ?? "-") \(row.venueAt.microseconds) "
                    + (row.reduces ? "reduces" : "enters"))
        }
        for (id, fill) in books.fills {
            let (price, quantity) = (fill.price.tenThousandths, fill.quantity.hundredths)
            found.insert(
                "fill \(id) \(fill.order) \(price) \(quantity) \(fill.fee.microdollars) \(fill.at.microseconds) "
                    + books.standing(of: id).rawValue)
        }
        for (id, row) in books.positions { found.insert("position \(id) \(Self.text(row))") }
        let (cash, realised) = (books.cash.microdollars, books.realised.microdollars)
        found.insert("account \(cash) \(realised) \(books.fees.microdollars) \(books.saved.microdollars)")
        for (id, row) in books.markets {
            let value = row.value.map { "\($0.tenThousandths)" } ?? "-"
            let status = row.isActive ? "active" : (row.isRefunded ? "voided" : "settled")
            found.insert("market \(id) \(status) \(value)")
        }
        return found
    }

    /// Its name follows from all that it says but its time.
    private static func text(_ alert: SystemAlert) -> String {
        "alert \(alert.id) \(alert.kind) \(alert.fingerprint) \(alert.state.rawValue)"
    }

    private static func text(_ row: SimulatedBooks.PositionRow) -> String {
        let position = row.position
        let money = [position.cost, position.realised, position.fees].map { "\($0.microdollars)" }
        let saved = [row.piggybank.saved, row.piggybank.shared].map { "\($0.microdollars)" }
        return (["\(position.netHundredths)"] + money + [row.state.rawValue, "\(row.openedAt.microseconds)"] + saved)
            .joined(separator: " ")
    }
}
