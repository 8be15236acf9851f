import Domain
import Logging
import Postgres
import Runtime

extension ServiceHost {
    private static let accountKind = "tradingAccountChanged"
    private static let accountInterval = Duration.seconds(1)

    /// Opens the account that the flags of this process name, and ends the process when the database comes to trade
    /// for another.
    ///
    /// - Throws: `SettingsError` when it trades for another already; nothing has been done then.
    public func openAccount(with initial: Money) async throws -> TradingAccount {
        let account = TradingAccount(settings.trading.mode)
        do {
            try await account.open(with: initial, database)
        } catch let error as TradingAccountError {
            throw SettingsError(problems: [
                SettingsProblem(
                    key: "PAPER_TRADING, LIVE_TRADING_AUTHORIZED", value: nil, file: nil, line: nil,
                    message: "\(error)")
            ])
        }
        supervisor.add("trading-account", .important) { try await follow(account) }
        return account
    }

    /// Each transaction looks under the account's lock; this is for the process not to stay there and do nothing.
    private func follow(_ account: TradingAccount) async throws {
        while !Task.isCancelled {
            try await clock.sleep(for: Self.accountInterval)
            do {
                try await account.check(database)
            } catch let error as TradingAccountError {
                log.error("the database trades for another account", metadata: [Key.reason: "\(error)"])
                alerts.fire(
                    Self.accountKind, fingerprint: "\(Self.accountKind):\(source)",
                    "A service has ended: the database trades for another account than its flags say",
                    fields: ["account": account.name, "trading": error.trading ?? "none"], isLasting: false)
                return context.stop("the database trades for another account")
            } catch let error as PostgresError where !Task.isCancelled {
                log.debug("account not looked at", metadata: [Key.reason: "\(error)"])
            }
        }
    }
}
