import Domain
import Postgres

extension OrderChain {
    /// The arbitrage that an order is a leg of.
    struct PlanLine: Codable, Equatable {
        let id: String
        let leg: Int
        let number: Int
        let purpose: String
        let state: String
        let ending: String?
        let pairs: String?
        let result: String?

        /// Reads a row of an order with its plan; nil when it belongs to none.
        init?(_ row: Row) throws {
            guard let id = try row.textOrNil("plan_id") else { return nil }
            self.id = id
            leg = try row.int("leg")
            number = try row.int("attempt")
            purpose = try row.text("purpose")
            state = try row.text("plan_state")
            ending = try row.textOrNil("ending")
            pairs = try row.int64OrNil("pairs").map { FixedPoint.format($0, scale: 2) }
            result = try row.int64OrNil("result").map { FixedPoint.format($0, scale: 6) }
        }

        var line: String {
            let end = ending.map { ": \($0), \(pairs ?? "0") pairs, $\(result ?? "0")" } ?? ""
            return "  plan    \(id)  leg \(leg) of 2, order \(number) to \(purpose); \(state)\(end)"
        }
    }
}
