import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Resilience

@testable import ExecutionService
@testable import Simulation

/// What the account may ask of its venue in a random history.
///
/// It is given in hours, in which no history ends: the real clock decides nothing.
extension StoreHistory {
    /// More than a history asks for, with pauses longer than it lasts; or two orders, one for every fifty hours.
    static func budget(isScarce: Bool) -> AccountBudget.Limits {
        // At one token a second.
        let hour: Int64 = 3_600
        do {
            guard isScarce else {
                return try AccountBudget.Limits(
                    tokensPerSecond: 1_000_000, burst: 1_000_000, pause: .seconds(86_400),
                    longestPause: .seconds(86_400))
            }
            return try AccountBudget.Limits(
                tokensPerSecond: 1, burst: 125 * hour, order: 50 * hour, cancel: 5 * hour, reserve: 20 * hour,
                pause: .seconds(hour), longestPause: .seconds(4 * hour))
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// The venue wants no more orders, or takes them again.
    mutating func limitRate() async throws -> [String] {
        let venue = Venue.kalshi
        if books.budget.blockedUntil > 0 {
            try await rig.pool.execute("UPDATE account_budgets SET blocked_until = 0, full_at = 0, refusals = 0")
            books.budget = AccountBudget()
            steps.append("the venue takes orders")
        } else {
            try await rig.pool.transaction("too many") { transaction in
                try await orders.budget?.note(.tooMuch(retryAfter: nil), at: venue, transaction)
            }
            books.refusedAsTooMany(retryAfter: nil, at: .origin)
            steps.append("the venue wants no orders")
        }
        return []
    }

    /// Hours pass for the budget, a cancel takes its part, or the venue says what it thinks of our requests.
    mutating func turnBudget() async throws -> [String] {
        // What little there is of the other comes back in real time.
        guard isScarce, let budget = orders.budget else { return [] }
        switch lot(0...9) {
        case ..<4: return try await passBudgetTime()
        case ..<8:
            let real = try await rig.pool.transaction("cancel") { transaction in
                try await budget.take(.cancel, at: .kalshi, transaction)
            }
            return note("a cancel", Self.text(real), Self.text(books.take(.cancel, at: .origin)))
        case 8:
            let pause: Duration? = lot(0...1) == 0 ? .seconds(7_200) : nil
            try await rig.pool.transaction("too many") { transaction in
                try await budget.note(.tooMuch(retryAfter: pause), at: .kalshi, transaction)
            }
            books.refusedAsTooMany(retryAfter: pause, at: .origin)
            steps.append("the venue says that it was too much")
        default:
            try await rig.pool.transaction("accepted") { transaction in
                try await budget.note(.accepted, at: .kalshi, transaction)
            }
            books.acceptedAgain()
            steps.append("the venue took an order")
        }
        return []
    }

    private mutating func passBudgetTime() async throws -> [String] {
        let hours: [Int64] = [10, 20, 30, 50]
        let passed = hours[lot(0...hours.count - 1)] * Self.hour
        try await rig.pool.execute(
            "UPDATE account_budgets SET full_at = full_at - \(passed), blocked_until = blocked_until - \(passed)")
        let before = books.budget
        books.budget = AccountBudget(
            fullAt: before.fullAt - passed, blockedUntil: before.blockedUntil - passed, refusals: before.refusals)
        steps.append("\(passed / Self.hour) hours pass for the budget")
        return []
    }

    /// What is left of waiting, to the hour: the seconds are those of the machine.
    private static func nearestHour(_ microseconds: Int64) -> Int64 { (max(0, microseconds) + hour / 2) / hour }

    private static func text(_ answer: AccountBudget.Answer) -> String {
        guard case .wait(let pause) = answer else { return "granted" }
        return "waits for \(nearestHour(pause.wholeMicroseconds)) hours"
    }

    private static func text(_ budget: AccountBudget, at now: Int64) -> String {
        "budget \(nearestHour(budget.fullAt - now)) \(nearestHour(budget.blockedUntil - now)) \(budget.refusals)"
    }

    /// The account's budget as a line, as PostgreSQL has it; one that was never asked for is whole.
    func storedBudget() async throws -> String {
        let row = try await rig.pool.first("SELECT full_at, blocked_until, refusals FROM account_budgets")
        let budget = try row.map { row in
            try AccountBudget(
                fullAt: row.int64("full_at"), blockedUntil: row.int64("blocked_until"), refusals: row.int("refusals"))
        }
        return Self.text(budget ?? AccountBudget(), at: try await VenueBalances.now(rig.pool))
    }

    var simulatedBudget: String { Self.text(books.budget, at: 0) }
}
