import ArgumentParser
import Domain
import Foundation
import Hosting
import Postgres
import Runtime

/// `linesman account show|use`: which account a database trades for (CHECKLIST R89, decision 0081).
struct AccountCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "account",
        abstract: "Show which account the database trades for, paper or live, or have it trade for the other.",
        discussion: """
            A signal-processor or execution-service with the flags of the other account does not start on this \
            database, and one that runs does nothing and ends when the account is changed under it.
            """,
        subcommands: [Show.self, Use.self], defaultSubcommand: Show.self)

    struct Place: ParsableArguments {
        @Option(help: "The database; the DATABASE_URL of the suite when not given.")
        var database: String?

        @OptionGroup
        var suite: SuiteSettings

        func run<R: Sendable>(_ body: (PostgresPool) async throws -> R) async throws -> R {
            let pool = try suite.openDatabase(database)
            let result: Result<R, any Error>
            do { result = .success(try await body(pool)) } catch { result = .failure(error) }
            await pool.close(grace: .milliseconds(100))
            do {
                return try result.get()
            } catch let error as PostgresError {
                Console.complain("account: PostgreSQL does not answer as it should: \(error)")
                throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the accounts, and what is open.",
            discussion: "Exit codes: 0 shown; 69 PostgreSQL cannot be reached.")

        @OptionGroup
        var place: Place

        func run() async throws {
            let (accounts, open) = try await place.run { pool in
                let rows = try await pool.query(
                    "SELECT account, is_trading, cash, realised, fees FROM bankroll ORDER BY account")
                return (try rows.map { try AccountReport.Row($0) }, try await TradingAccount.open(pool))
            }
            Console.say(AccountReport.text(accounts, open: open))
        }
    }

    struct Use: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the database trade for an account from now on.",
            discussion: """
                Only when nothing is open: no order, intent, plan, reservation, position or provisional fill. An \
                account that is new gets INITIAL_BANKROLL. It is audited. Exit codes: 0 done, or so before; 75 \
                something is open, and nothing has changed; 69 PostgreSQL cannot be reached.
                """)

        @Argument(help: "paper or live.")
        var account: String

        @Option(help: "Why; it is audited.")
        var reason: String

        @OptionGroup
        var place: Place

        func validate() throws {
            guard ["paper", "live"].contains(account) else {
                throw ValidationError("the account is paper or live, got \(account)")
            }
            guard !reason.allSatisfy(\.isWhitespace) else { throw ValidationError("--reason must not be empty") }
        }

        func run() async throws {
            let (account, reason, by) = (TradingAccount(account == "live" ? .live : .paper), reason, NSUserName())
            let initial = try SuiteSettings.complaining {
                try place.suite.read(OrderLimitSettings.init).part.initialBankroll
            }
            let open = try await place.run { pool in
                try await pool.transaction("use account") {
                    try await account.use(initial: initial, reason: reason, by: by, $0)
                }
            }
            guard open.isEmpty else {
                Console.complain(
                    "account: nothing has changed, since there is still something open: \(AccountReport.list(open)); "
                        + "let it come to its end, or start on a database of its own")
                throw ArgumentParser.ExitCode(FleetControl.unfinished)
            }
            Console.say("this database trades for \(account.name); services with other flags will not start on it")
        }
    }
}

/// Accounts for people.
enum AccountReport {
    struct Row: Sendable {
        let account: String
        let isTrading: Bool
        /// In 1/1000000 dollar, as the rest.
        let cash: Int64
        let realised: Int64
        let fees: Int64
    }

    static func text(_ accounts: [Row], open: [String: Int64]) -> String {
        guard !accounts.isEmpty else {
            return "no account yet: the first service that trades opens the one of its flags"
        }
        let lines = accounts.map { row in
            "\(row.account.padded(8)) \((row.isTrading ? "trades" : "-").padded(8)) cash \(money(row.cash))  realised "
                + "\(money(row.realised))  fees \(money(row.fees))"
        }
        return (lines + ["open: \(open.isEmpty ? "nothing" : list(open))"]).joined(separator: "\n")
    }

    static func list(_ open: [String: Int64]) -> String {
        open.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    }

    private static func money(_ microdollars: Int64) -> String { FixedPoint.format(microdollars, scale: 6) }
}

extension AccountReport.Row {
    init(_ row: Postgres.Row) throws {
        account = try row.text("account")
        isTrading = try row.bool("is_trading")
        cash = try row.int64("cash")
        realised = try row.int64("realised")
        fees = try row.int64("fees")
    }
}
