import Domain
import Postgres
import Wire

extension DailyStatistics {
    /// Above 0 once the loss of the day has engaged the kill switch: a release holds until the next day.
    public static func halted(_ account: TradingAccount) -> String { "\(account.name):halted" }

    /// The trading day of a moment of venue time, as `2026-04-20`.
    public func name(of now: VenueInstant, _ database: some PostgresQuerying) async throws -> String {
        try await database.first("SELECT \(day(now))::text AS day")?.text("day") ?? ""
    }
}
