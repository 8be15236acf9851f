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

    /// What the settings file of a deployment names need not be where its processes are, so they are asked as well.
    ///
    /// - Throws: `ChaosFailure` where an orchestrator trades live.
    static func refuse(pages: [String]) async throws {
        struct Page: Decodable { let tradingMode: String }
        for page in pages {
            // One that does not answer keeps the suite from being steady.
            guard let told: Page = try? await LocalHTTP().get("\(page)/status") else { continue }
            guard told.tradingMode != TradingMode.live.rawValue else {
                throw ChaosFailure("the orchestrator at \(page) trades real money; rehearse on another suite")
            }
        }
    }
}
