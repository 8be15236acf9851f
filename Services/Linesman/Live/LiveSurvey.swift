import Alerting
import Domain
import Foundation
import Hosting
import Postgres
import Resilience
import Runtime
import Venues

/// Looks at everything that the go-live list asks for, all at once and each within a bound; changes nothing.
struct LiveSurvey: Sendable {
    /// How long any one place may take.
    static let patience = Duration.seconds(10)

    private let settings: LiveFacts.Settings
    private let kalshi: KalshiSettings
    private let file: SettingsFile?
    private let killSwitchFile: KillSwitchFile
    private let status: String
    private let clock = MachineClock.real

    /// - Throws: `SettingsError` for settings that no service would start with.
    init(_ suite: SuiteSettings, status: String) throws {
        let signals: SignalProcessorSettings
        let alerts: AlertSettings
        ((signals, alerts, kalshi), file) = try suite.read {
            (SignalProcessorSettings($0), AlertSettings($0), KalshiSettings($0))
        }
        killSwitchFile = KillSwitchFile(path: signals.host.killSwitch.file)
        self.status = status
        settings = LiveFacts.Settings(
            mode: signals.host.trading.mode, isReplay: signals.host.isReplay, hasKey: kalshi.keyID != nil,
            isRealVenue: KalshiSettings.isReal(address: kalshi.baseURL), address: kalshi.baseURL,
            sizePercent: signals.sizePercent, dailyLoss: signals.dailyLoss, orderValue: signals.order.orderValue,
            hasSlack: alerts.slackWebhook != nil, hasWebhook: alerts.customWebhook != nil,
            hasOutsideWatcher: alerts.deadManURL != nil, alertsAreOn: alerts.isEnabled)
    }

    func facts() async -> LiveFacts {
        async let venue = found("the venue") { try await self.venue() }
        async let database = found("PostgreSQL") { try await self.database() }
        async let redis = found("Redis") { try await self.keepsFile() }
        async let suite = found("the orchestrator at \(status)") { try await self.suite() }
        return await LiveFacts(
            settings: settings, killSwitchFile: killSwitchFile.read(), venue: venue, database: database, redis: redis,
            suite: suite)
    }

    private func found<Value: Sendable>(
        _ place: String, _ look: @escaping @Sendable () async throws -> Value
    ) async -> LiveFacts.Found<Value> {
        do {
            return .value(try await withDeadline(Self.patience, clock: clock, operation: look))
        } catch {
            return .failed("\(place) does not answer: \(error)")
        }
    }

    // MARK: Each place

    private func venue() async throws -> LiveFacts.Venue {
        let time = VenueTime(now: { VenueInstant.epoch.advanced(by: .microseconds(WallClock.real.microseconds)) })
        let http = VenueHTTP(limits: kalshi.httpLimits, time: time)
        let watch = VenueClockWatch(wall: .real, clock: clock, bound: kalshi.clockBound)
        do {
            let rest = KalshiREST(
                baseURL: kalshi.baseURL, http: http, signer: try kalshi.signer(wall: watch.corrected), time: time,
                clock: clock, random: .system, watch: watch)
            // First the answer that needs no signature: it tells the time that the others are signed with.
            let status = try await rest.exchangeStatus()
            let balance = try await rest.balance()
            let held = try await rest.positions()
            if let refused = held.refused.first { throw refused }
            await http.shutdown()
            return LiveFacts.Venue(
                isTrading: status.isExchangeActive && status.isTradingActive, clockOffset: watch.measured.least,
                clockBound: kalshi.clockBound, balance: balance,
                positions: Dictionary(
                    held.items.filter { $0.netHundredths != 0 }.map { ($0.market, $0.netHundredths) },
                    uniquingKeysWith: +))
        } catch {
            await http.shutdown()
            throw error
        }
    }

    private func database() async throws -> LiveFacts.Database {
        let pool = try CommandDatabase.open(url: nil, file: file)
        do {
            let found = try await read(pool)
            await pool.close(grace: .milliseconds(100))
            return found
        } catch {
            await pool.close(grace: .milliseconds(100))
            throw error
        }
    }

    private func read(_ pool: PostgresPool) async throws -> LiveFacts.Database {
        var found = LiveFacts.Database()
        found.newestVersion = Migration.all.last?.version ?? 0
        let row = try await pool.first(
            """
            SELECT (SELECT max(version) FROM schema_migrations)::int8 AS version,
                current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
                current_setting('full_page_writes') AS pages,
                (SELECT count(*) FROM orders WHERE state IN ('stored', 'sent', 'unknown', 'resting')) AS unfinished,
                (SELECT count(*) FROM orders WHERE state NOT IN ('stored', 'sent', 'unknown', 'resting')
                    AND coalesce(account, 'paper') = 'paper' AND stored_at > now() - interval '30 days') AS ended,
                (SELECT cash FROM bankroll WHERE account = \(TradingAccount(.live).name)) AS cash
            """)
        if let row {
            found.version = try row.int("version")
            let off = try ["fsync", "commit", "pages"].filter { try row.text($0) == "off" }
            let names = ["fsync": "fsync", "commit": "synchronous_commit", "pages": "full_page_writes"]
            found.isDurable = off.isEmpty
            found.durabilityNote = off.compactMap { names[$0] }.map { "\($0) is off" }.joined(separator: ", ")
            found.unfinishedOrders = try row.int64("unfinished")
            found.paperOrders = try row.int64("ended")
            found.cash = try row.int64OrNil("cash").map { try Money(microdollars: $0) }
        }
        found.account = try await TradingAccount.trading(pool)
        let rows = try await pool.query(
            "SELECT market_id, net_quantity FROM positions WHERE state = 'open' AND net_quantity <> 0")
        for row in rows { found.positions[try MarketID(row.text("market_id"))] = try row.int64("net_quantity") }
        if let record = try await KillSwitchStore.look(pool, timeout: Self.patience) {
            found.killSwitch = record.state
            if record.state.isEngaged { found.killSwitchNote = " by \(record.by): \(record.reason)" }
        }
        return found
    }

    private func keepsFile() async throws -> Bool {
        try await CommandRedis.run(url: nil, file: file, named: "check-live") { client in
            let info = try await client.send(["INFO", "persistence"], timeout: Self.patience)
            return info.text?.contains("aof_enabled:1") == true
        }
    }

    private func suite() async throws -> LiveFacts.Suite {
        let told: SuiteStatus = try await LocalHTTP().get("\(status)/status")
        var found = LiveFacts.Suite()
        for service in told.fleet.services where service.status == "healthy" {
            found.services[service.service, default: 0] += 1
        }
        found.shards = told.fleet.shards.filter { $0.status == "healthy" }.count
        found.unhealthy = told.checks.filter { !$0.value }.map(\.key).sorted()
        found.firing = told.alerting?.firing ?? []
        found.failingSinks = told.alerting?.failingSinks ?? []
        found.mode = told.tradingMode
        for process in told.bus ?? [] {
            found.flags["\(process.service)/\(process.instance)"] = process.isLive
        }
        return found
    }
}
