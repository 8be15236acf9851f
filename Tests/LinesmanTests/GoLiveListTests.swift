import Domain
import Foundation
import Hosting
import Testing

@testable import Linesman

/// The list that `linesman check live` walks.
@Suite struct GoLiveListTests {
    private static var ready: LiveFacts {
        var venue = LiveFacts.Venue(balance: .dollars(500))
        (venue.isTrading, venue.clockOffset, venue.positions) = (true, 120_000, ["M-1": 300])
        var database = LiveFacts.Database()
        (database.version, database.newestVersion, database.isDurable) = (9, 9, true)
        (database.killSwitch, database.paperOrders, database.positions) = (.released, 40, ["M-1": 300])
        var suite = LiveFacts.Suite()
        suite.services = ["market-discovery": 1, "signal-processor": 1, "execution-service": 1]
        (suite.shards, suite.mode) = (2, "live")
        suite.flags = ["execution-service/1": true, "signal-processor/1": true]
        database.account = "live"
        var facts = LiveFacts(
            killSwitchFile: .released, venue: .value(venue), database: .value(database), redis: .value(true),
            suite: .value(suite))
        facts.settings = LiveFacts.Settings(
            mode: .live, hasKey: true, isRealVenue: true, address: "https://venue", hasSlack: true,
            hasOutsideWatcher: true)
        return facts
    }

    @Test func `a suite that is ready passes without a warning`() {
        let lines = GoLiveList.walk(Self.ready)
        #expect(GoLiveList.permits(lines))
        #expect(lines.map(\.judgement) == Array(repeating: .holds, count: lines.count), "\(lines)")
        #expect(Set(lines.map(\.name)).count == lines.count)
    }

    struct Flaw: Sendable, CustomTestStringConvertible {
        let line: String
        let judgement: GoLiveList.Judgement
        let says: String
        let spoil: @Sendable (inout LiveFacts) -> Void
        var testDescription: String { "\(line): \(says)" }

        init(
            _ line: String, _ judgement: GoLiveList.Judgement, _ says: String,
            _ spoil: @escaping @Sendable (inout LiveFacts) -> Void
        ) {
            (self.line, self.judgement, self.says, self.spoil) = (line, judgement, says, spoil)
        }

        static func venue(
            _ line: String, _ says: String, _ spoil: @escaping @Sendable (inout LiveFacts.Venue) -> Void
        ) -> Flaw {
            Flaw(line, .forbids, says) { facts in
                guard case .value(var venue) = facts.venue else { return }
                spoil(&venue)
                facts.venue = .value(venue)
            }
        }

        static func database(
            _ line: String, _ says: String, as judgement: GoLiveList.Judgement = .forbids,
            _ spoil: @escaping @Sendable (inout LiveFacts.Database) -> Void
        ) -> Flaw {
            Flaw(line, judgement, says) { facts in
                guard case .value(var database) = facts.database else { return }
                spoil(&database)
                facts.database = .value(database)
            }
        }

        static func suite(
            _ line: String, _ says: String, as judgement: GoLiveList.Judgement = .forbids,
            _ spoil: @escaping @Sendable (inout LiveFacts.Suite) -> Void
        ) -> Flaw {
            Flaw(line, judgement, says) { facts in
                guard case .value(var suite) = facts.suite else { return }
                spoil(&suite)
                facts.suite = .value(suite)
            }
        }
    }

    static let flaws: [Flaw] = [
        Flaw("mode", .forbids, "LIVE_TRADING_AUTHORIZED") { $0.settings.mode = .paper },
        Flaw("mode", .forbids, "SHADOW_TRADING") { $0.settings.mode = .shadow },
        Flaw("mode", .forbids, "REPLAY_SPEED") { $0.settings.isReplay = true },
        Flaw("key", .forbids, "KALSHI_API_KEY") { $0.settings.hasKey = false },
        Flaw("address", .forbids, "KALSHI_BASE_URL") { $0.settings.isRealVenue = false },
        Flaw("size", .warns, "LIVE_SIZE_FRACTION") { $0.settings.sizePercent = 100 },
        Flaw("alerts", .forbids, "SLACK_WEBHOOK_URL") { $0.settings.hasSlack = false },
        Flaw("alerts", .forbids, "CRITICAL_ALERTS_ENABLED") { $0.settings.alertsAreOn = false },
        Flaw("outside watcher", .warns, "ALERT_DEADMAN_URL") { $0.settings.hasOutsideWatcher = false },
        Flaw("venue", .forbids, "401") { $0.venue = .failed("401") },
        .venue("venue", "closed") { $0.isTrading = false },
        .venue("clock", "-60.0 s") { $0.clockOffset = -60_000_000 },
        .venue("clock", "2.1 s") { $0.clockOffset = 2_100_000 },
        .venue("clock", "no time") { $0.clockOffset = nil },
        .venue("balance", "does not cover") { $0.balance = .dollars(99) },
        .venue("positions", "M-2") { $0.positions["M-2"] = 1 },
        .database("positions", "M-1") { $0.positions = [:] },
        Flaw("PostgreSQL", .forbids, "refused") { $0.database = .failed("refused") },
        .database("PostgreSQL", "schema 8, this build knows 9") { $0.version = 8 },
        .database("durability", "fsync is off") { ($0.isDurable, $0.durabilityNote) = (false, "fsync is off") },
        .database("kill switch", "engaged by op") { ($0.killSwitch, $0.killSwitchNote) = (.engaged, " by op") },
        .database("kill switch", "unknown") { $0.killSwitch = .unknown },
        Flaw("kill switch", .forbids, "engaged") { $0.killSwitchFile = .engaged },
        .database("unfinished orders", "3 orders") { $0.unfinishedOrders = 3 },
        .database("rehearsal", "paper", as: .warns) { $0.paperOrders = 0 },
        .database("account", "linesman account use live", as: .warns) { $0.account = "paper" },
        Flaw("Redis", .forbids, "away") { $0.redis = .failed("away") },
        Flaw("Redis", .warns, "appendonly") { $0.redis = .value(false) },
        Flaw("suite", .forbids, "nobody") { $0.suite = .failed("nobody") },
        .suite("suite", "execution-service") { $0.services["execution-service"] = nil },
        .suite("suite", "game-shard") { $0.shards = 0 },
        .suite("spare shard", "one shard", as: .warns) { $0.shards = 1 },
        .suite("flags", "1 processes run live and 1 do not (game-shard/shard-01)") {
            $0.flags = ["execution-service/1": true, "game-shard/shard-01": false]
        },
        .suite("health", "firing: redisDown") { $0.firing = ["redisDown"] },
        .suite("health", "postgres") { $0.unhealthy = ["postgres"] },
    ]

    @Test(arguments: flaws) func `each flaw is told in its line, with what to do`(flaw: Flaw) throws {
        var facts = Self.ready
        flaw.spoil(&facts)
        let lines = GoLiveList.walk(facts)
        let line = try #require(lines.first { $0.name == flaw.line })
        #expect(line.judgement == flaw.judgement)
        #expect(line.note.contains(flaw.says), "\(line.note)")
        #expect(GoLiveList.permits(lines) == (flaw.judgement == .warns))
        let table = CheckLive.table(lines)
        #expect(table.contains(flaw.judgement == .warns ? "nothing forbids live trading" : "do not trade live"))
        let read = try JSONDecoder().decode([GoLiveList.Line].self, from: Data(CheckLive.json(lines).utf8))
        #expect(read == lines)
    }
}
