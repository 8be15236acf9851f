import Hosting
import Postgres

/// A rehearsal breaks what it is held against, so it is not held where real money is traded.
enum RealMoney {
    /// PostgreSQL says which account it trades for, and no process with the flags of the other one runs on it
    /// (decision 0081).
    ///
    /// - Throws: `ChaosFailure` where it trades live, and where nobody can tell: it does not answer, or has no account.
    static func refuse(_ database: String) async throws {
        let pool = try CommandDatabase.open(url: database)
        var trading: String?
        do {
            trading = try await TradingAccount.trading(pool)
        } catch {
            await pool.close(grace: .zero)
            throw ChaosFailure("whether this suite trades real money cannot be read: \(error)")
        }
        await pool.close(grace: .zero)
        guard let trading else {
            throw ChaosFailure("this suite has no account yet and may trade real money: rehearse when it has started")
        }
        guard trading == TradingAccount(.paper).name else {
            throw ChaosFailure("this suite trades real money; rehearse on another one")
        }
    }
}
