import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime

/// The budget of an account at its venue: one row that every process reads under its lock, in the database's time.
///
/// The row is locked after everything else that a transaction locks, and for no longer than one statement otherwise.
struct BudgetStore: Sendable {
    let account: TradingAccount
    let limits: AccountBudget.Limits

    /// Nil where nobody counts: on paper, unless the settings ask for it.
    init?(_ settings: ExecutionServiceSettings) throws(DomainError) {
        guard let tokens = settings.venueTokens else { return nil }
        self.init(
            account: TradingAccount(settings.host.trading.mode),
            limits: try AccountBudget.Limits(tokensPerSecond: tokens, burst: tokens, reserve: settings.cancelReserve))
    }

    init(account: TradingAccount, limits: AccountBudget.Limits) {
        self.account = account
        self.limits = limits
    }

    /// Takes what a request costs, or says how long it must wait and takes nothing.
    func take(
        _ request: AccountBudget.Request, at venue: Venue, _ transaction: PostgresTransaction
    ) async throws -> AccountBudget.Answer {
        try await change(venue, transaction) { budget, now in budget.take(request, limits, at: now) }
    }

    /// Notes that the venue said it was too much, or that it took a request again.
    func note(_ news: BudgetNews, at venue: Venue, _ transaction: PostgresTransaction) async throws {
        try await change(venue, transaction) { budget, now in
            switch news {
            case .accepted: budget.accepted()
            case .tooMuch(let retryAfter): budget.refused(retryAfter: retryAfter, limits, at: now)
            }
        }
    }

    private func change<R>(
        _ venue: Venue, _ transaction: PostgresTransaction, _ body: (inout AccountBudget, Int64) -> R
    ) async throws -> R {
        var found = try await lock(venue, transaction)
        if found == nil {
            try await transaction.execute(
                """
                INSERT INTO account_budgets (account, venue) VALUES (\(account.name), \(venue.rawValue))
                ON CONFLICT (account, venue) DO NOTHING
                """)
            found = try await lock(venue, transaction)
        }
        // The clock after the lock is there: waiting for it is time that has passed.
        let clock = try await transaction.first(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS now")
        guard let before = found, let now = try clock?.int64("now") else {
            throw PostgresError(.permanent, "no budget of \(account.name)", context: transaction.name)
        }
        var budget = before
        let result = body(&budget, now)
        if budget != before {
            try await transaction.execute(
                """
                UPDATE account_budgets SET full_at = \(budget.fullAt), blocked_until = \(budget.blockedUntil),
                    refusals = \(Int64(budget.refusals))
                WHERE account = \(account.name) AND venue = \(venue.rawValue)
                """)
        }
        return result
    }

    private func lock(_ venue: Venue, _ transaction: PostgresTransaction) async throws -> AccountBudget? {
        try await transaction.first(
            """
            SELECT full_at, blocked_until, refusals FROM account_budgets
            WHERE account = \(account.name) AND venue = \(venue.rawValue) FOR UPDATE
            """
        ).map { row in
            AccountBudget(
                fullAt: try row.int64("full_at"), blockedUntil: try row.int64("blocked_until"),
                refusals: try row.int("refusals"))
        }
    }
}

/// What an answer of a venue says about the budget.
enum BudgetNews: Hashable, Sendable {
    case accepted
    /// 429, with its pause if it named one.
    case tooMuch(retryAfter: Duration?)
}

/// The budget outside the transaction that stores an order: cancels, and what the venue answers.
///
/// Open for cancels, closed for orders: an order takes its tokens in the transaction that stores it, so without a
/// database there is none, while a cancel goes out with or without one.
final class BudgetKeeper: Sendable {
    /// How long the database may hold up a cancel.
    static let patience = Duration.milliseconds(250)

    private let store: BudgetStore
    private let venue: Venue
    private let database: PostgresPool
    private let clock: MachineClock
    private let metrics: MetricsRegistry
    private let log: Logger
    /// Whether this process was refused since it was last accepted: the row need not be written otherwise.
    private let wasRefused = NIOLockedValueBox(false)
    /// What the database has not taken yet, oldest first; the newest are counted only when there are too many.
    private let unwritten = NIOLockedValueBox<[Refusal]>([])
    static let mostUnwritten = 1_000

    /// That it was too much, when, and for how long the venue wants to be left alone.
    private struct Refusal: Sendable {
        let retryAfter: Duration?
        let at: MachineInstant
    }

    init(
        _ store: BudgetStore, at venue: Venue, database: PostgresPool, clock: MachineClock, metrics: MetricsRegistry,
        log: Logger
    ) {
        self.store = store
        self.venue = venue
        self.database = database
        self.clock = clock
        self.metrics = metrics
        self.log = log
    }

    /// Waits until a cancel may go.
    ///
    /// - Returns: false when that would be past the deadline: the venue has been asked for too much.
    func takeForCancel(deadline: MachineInstant) async -> Bool {
        while true {
            let answer: AccountBudget.Answer
            do {
                answer = try await database.transaction("cancel budget", timeout: Self.patience) { transaction in
                    try await store.take(.cancel, at: venue, transaction)
                }
            } catch {
                count("cancels_without_budget_total", "Cancels sent without asking the budget: no database.")
                return true
            }
            guard case .wait(let pause) = answer else { return true }
            count("cancels_held_back_total", "Waits of cancels for the venue's rate limit.")
            guard clock.now.advanced(by: pause) < deadline,
                (try? await clock.sleep(for: pause)) != nil
            else { return false }
        }
    }

    /// What the venue answered to an order or a cancel; all processes of the account heed it.
    ///
    /// What the database does not take now is written by `writeDown`.
    func note(_ news: BudgetNews) async {
        switch news {
        case .accepted:
            guard wasRefused.withLockedValue({ $0 }) else { return }
            await writeAccepted()
        case .tooMuch(let retryAfter):
            wasRefused.withLockedValue { $0 = true }
            count("venue_rate_limited_total", "Requests that the venue refused as too many.")
            log.warning(
                "venue says that it was too much",
                metadata: ["retry_after": "\(retryAfter.map { "\($0)" } ?? "not said")"])
            await writeNew(Refusal(retryAfter: retryAfter, at: clock.now))
        }
    }

    /// What the database does not take now waits, unless too many do.
    private func writeNew(_ refusal: Refusal) async {
        do {
            try await write(refusal)
        } catch {
            // Without a database no order is stored either.
            log.warning("budget not written", metadata: [Key.reason: "\(error)"])
            let isKept = unwritten.withLockedValue { waiting in
                guard waiting.count < Self.mostUnwritten else { return false }
                waiting.append(refusal)
                return true
            }
            if !isKept { count("venue_rate_limited_unwritten_total", "Of these, not written down and not audited.") }
        }
    }

    /// Writes what the database has not taken yet, with what is left of each pause; each is audited once.
    func writeDown() async {
        while let refusal = unwritten.withLockedValue({ $0.isEmpty ? nil : $0.removeFirst() }) {
            do {
                try await write(refusal)
            } catch {
                log.warning("budget not written", metadata: [Key.reason: "\(error)"])
                unwritten.withLockedValue { $0.insert(refusal, at: 0) }
                return
            }
        }
    }

    /// The same again and again, until cancelled.
    func run() async throws {
        while !Task.isCancelled {
            try await clock.sleep(for: .seconds(1))
            await writeDown()
        }
    }

    /// A pause that is over by now is audited and holds nobody up.
    private func write(_ refusal: Refusal) async throws {
        let elapsed = clock.now.since(refusal.at)
        let left = refusal.retryAfter.map { max(.zero, $0 - elapsed) }
        let isOver = elapsed >= refusal.retryAfter ?? store.limits.pause
        try await database.retryingTransaction("budget news", timeout: .seconds(1)) { transaction in
            if !isOver { try await store.note(.tooMuch(retryAfter: left), at: venue, transaction) }
            try await AuditEntry(
                .rateLimitExceeded,
                details: [
                    "account": store.account.name, "venue": venue.rawValue,
                    "retry_after": refusal.retryAfter.map { "\($0)" } ?? "",
                ]
            ).write(transaction)
        }
    }

    private func writeAccepted() async {
        // What came before the venue took an order again must not come after it.
        await writeDown()
        do {
            try await database.retryingTransaction("budget news", timeout: .seconds(1)) { transaction in
                try await store.note(.accepted, at: venue, transaction)
            }
            wasRefused.withLockedValue { $0 = false }
        } catch {
            // The next answer says it again.
            log.warning("budget not written", metadata: [Key.reason: "\(error)"])
        }
    }

    private func count(_ name: String, _ help: String) { metrics.counter(name, help).increment() }
}
