import Domain
import Postgres
import Wire

extension DailyStatistics {
    /// The deepest limit that the loss of the day has engaged the kill switch for, in 1/1000000 dollar; above 0, but no
    /// limit, where an older build wrote it.
    ///
    /// A release holds until the next day, or until a deeper limit is reached.
    public static func halted(_ account: TradingAccount) -> String { "\(account.name):halted" }

    /// The trading day of a moment of venue time, as `2026-04-20`.
    public func name(of now: VenueInstant, _ database: some PostgresQuerying) async throws -> String {
        try await database.first("SELECT \(day(now))::text AS day")?.text("day") ?? ""
    }
}
