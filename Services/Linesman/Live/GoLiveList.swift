import Domain
import Hosting
import Runtime

/// What stands between a suite and real orders, as it was found; nil is what could not be found out.
struct LiveFacts: Sendable {
    enum Found<Value: Sendable>: Sendable {
        case value(Value)
        case failed(String)
    }

    struct Settings: Sendable {
        var mode = TradingMode.paper
        var isReplay = false
        var hasKey = false
        var isRealVenue = false
        var address = ""
        var sizePercent = 10
        var dailyLoss = Money.dollars(100)
        var orderValue = Money.dollars(100)
        var hasSlack = false
        var hasWebhook = false
        var hasOutsideWatcher = false
        var alertsAreOn = true
    }

    struct Venue: Sendable {
        var isTrading = false
        /// In microseconds, the venue's time less ours; nil when its answers carry no time.
        var clockOffset: Int64?
        /// What may certainly not be passed.
        var clockBound = Duration.seconds(2)
        var balance: Money
        /// Net YES in 1/100 contract.
        var positions: [MarketID: Int64] = [:]
    }

    struct Database: Sendable {
        var version = 0
        var newestVersion = 0
        var isDurable = false
        /// The settings that make it lose commits.
        var durabilityNote = ""
        var killSwitch = KillSwitchState.unknown
        var killSwitchNote = ""
        var unfinishedOrders: Int64 = 0
        var positions: [MarketID: Int64] = [:]
        /// The live account's; nil when it was never opened.
        var cash: Money?
        /// The account that the database trades for; nil for none yet.
        var account: String?
        /// Orders on paper that came to their end in the last 30 days.
        var paperOrders: Int64 = 0
    }

    struct Suite: Sendable {
        var services: [String: Int] = [:]
        var shards = 0
        var unhealthy: [String] = []
        var firing: [String] = []
        var failingSinks: [String] = []
        var mode = ""
        /// Whether both flags of live trading are set, by process; without those that do not say.
        var flags: [String: Bool] = [:]
    }

    var settings = Settings()
    var killSwitchFile = KillSwitchState.unknown
    var venue: Found<Venue>
    var database: Found<Database>
    /// Whether Redis keeps what it is given.
    var redis: Found<Bool>
    var suite: Found<Suite>
}

/// The list to walk before the first real order: each line holds, warns or forbids.
enum GoLiveList {
    enum Judgement: String, Codable, Sendable {
        case holds = "ok"
        case warns = "warning"
        case forbids = "FAILED"
    }

    struct Line: Codable, Hashable, Sendable {
        let name: String
        let judgement: Judgement
        let note: String

        fileprivate static func holds(_ name: String, _ note: String) -> Line {
            Line(name: name, judgement: .holds, note: note)
        }
        fileprivate static func warns(_ name: String, _ note: String) -> Line {
            Line(name: name, judgement: .warns, note: note)
        }
        fileprivate static func forbids(_ name: String, _ note: String) -> Line {
            Line(name: name, judgement: .forbids, note: note)
        }
        /// Holds, or forbids with what to do.
        fileprivate static func must(_ name: String, _ holds: Bool, _ note: String, else advice: String) -> Line {
            holds ? .holds(name, note) : .forbids(name, advice)
        }
    }

    static func walk(_ facts: LiveFacts) -> [Line] {
        settings(facts.settings) + alerts(facts.settings) + venue(facts) + database(facts) + redis(facts.redis)
            + suite(facts.suite)
    }

    /// Whether nothing forbids it; warnings are the operator's to weigh.
    static func permits(_ lines: [Line]) -> Bool { !lines.contains { $0.judgement == .forbids } }

    private static func settings(_ settings: LiveFacts.Settings) -> [Line] {
        let size = "\(settings.sizePercent) % of every size, at most \(settings.orderValue) in an order"
        return [
            .must(
                "mode", settings.mode == .live && !settings.isReplay, "live: both flags are set",
                else: settings.isReplay
                    ? "REPLAY_SPEED is set: a replay cannot trade live"
                    : "\(settings.mode.rawValue): live needs PAPER_TRADING=false, LIVE_TRADING_AUTHORIZED=true and no "
                        + "SHADOW_TRADING"),
            .must(
                "key", settings.hasKey, "a key for \(settings.address)",
                else: "KALSHI_API_KEY and KALSHI_PRIVATE_KEY or KALSHI_PRIVATE_KEY_PATH are not set"),
            .must(
                "address", settings.isRealVenue, settings.address,
                else: "\(settings.address) is not the venue: empty KALSHI_BASE_URL, or set KALSHI_ENV"),
            settings.sizePercent > 10
                ? .warns("size", "\(size): the first step of the ladder is LIVE_SIZE_FRACTION=0.1")
                : .holds("size", size),
            .holds("daily loss", "halts at \(settings.dailyLoss)"),
        ]
    }

    private static func alerts(_ settings: LiveFacts.Settings) -> [Line] {
        let sinks = [settings.hasSlack ? "Slack" : nil, settings.hasWebhook ? "a webhook" : nil].compactMap { $0 }
        return [
            .must(
                "alerts", settings.alertsAreOn && !sinks.isEmpty,
                "to the file and \(sinks.joined(separator: " and ")); try them by `linesman check alerts`",
                else: settings.alertsAreOn
                    ? "nobody is told: set SLACK_WEBHOOK_URL or CUSTOM_WEBHOOK_URL"
                    : "alerting is switched off: CRITICAL_ALERTS_ENABLED=true"),
            settings.hasOutsideWatcher
                ? .holds("outside watcher", "is pinged while the suite lives")
                : .warns("outside watcher", "nobody notices when this whole host dies: set ALERT_DEADMAN_URL"),
        ]
    }

    private static func venue(_ facts: LiveFacts) -> [Line] {
        let venue: LiveFacts.Venue
        switch facts.venue {
        case .failed(let reason): return [.forbids("venue", reason)]
        case .value(let found): venue = found
        }
        var lines: [Line] = [
            .must("venue", venue.isTrading, "answers, signed; trading is open", else: "trading is closed at the venue")
        ]
        if let offset = venue.clockOffset {
            let seconds = (Double(offset) / 1_000_000).formatted(decimals: 1)
            lines.append(
                .must(
                    "clock", .microseconds(abs(offset)) <= venue.clockBound, "\(seconds) s from the venue's",
                    else: "\(seconds) s from the venue's: set this machine's clock, by NTP for instance"))
        } else {
            lines.append(.forbids("clock", "the venue's answers carry no time to compare with"))
        }
        lines.append(
            .must(
                "balance", venue.balance >= facts.settings.orderValue, "\(venue.balance)",
                else: "\(venue.balance) does not cover one order of \(facts.settings.orderValue)"))
        guard case .value(let database) = facts.database else { return lines }
        let markets = Set(venue.positions.keys).union(database.positions.keys)
        let different = markets.filter { venue.positions[$0, default: 0] != database.positions[$0, default: 0] }
            .sorted()
        let named = different.prefix(3).map(\.rawValue).joined(separator: ", ")
        lines.append(
            .must(
                "positions", different.isEmpty, "\(database.positions.count), as at the venue",
                else: "\(different.count) differ from the venue's (\(named)): a database that traded on paper is no "
                    + "live database; see `linesman reconcile`"))
        return lines
    }

    private static func database(_ facts: LiveFacts) -> [Line] {
        let database: LiveFacts.Database
        switch facts.database {
        case .failed(let reason): return [.forbids("PostgreSQL", reason)]
        case .value(let found): database = found
        }
        let engaged = database.killSwitch.combined(with: facts.killSwitchFile)
        return [
            .must(
                "PostgreSQL", database.version == database.newestVersion, "schema \(database.version)",
                else: "schema \(database.version), this build knows \(database.newestVersion)"),
            .must(
                "durability", database.isDurable, "commits are on disk before they are told",
                else: "\(database.durabilityNote): an order could be forgotten"),
            .must(
                "kill switch", engaged == .released, "released",
                else: "\(engaged.rawValue)\(database.killSwitchNote): see `linesman kill-switch status`"),
            .must(
                "unfinished orders", database.unfinishedOrders == 0, "none",
                else: "\(database.unfinishedOrders) orders have not ended; let the execution-service end them"),
            account(database),
            database.paperOrders > 0
                ? .holds("rehearsal", "\(database.paperOrders) orders came to their end in the last 30 days")
                : .warns("rehearsal", "no order came to its end here in the last 30 days: trade on paper first"),
        ]
    }

    private static func account(_ database: LiveFacts.Database) -> Line {
        let live = TradingAccount(.live).name
        if let other = database.account, other != live {
            return .warns(
                "account",
                "this database trades for \(other), and live services will not start on it: stop the suite, then "
                    + "`linesman account use \(live) --reason …`")
        }
        return .holds(
            "account",
            database.cash.map { "\($0) by our books" } ?? "is opened with INITIAL_BANKROLL at the first start")
    }

    private static func redis(_ redis: LiveFacts.Found<Bool>) -> [Line] {
        switch redis {
        case .failed(let reason): [.forbids("Redis", reason)]
        case .value(true): [.holds("Redis", "keeps an append-only file")]
        case .value(false): [.warns("Redis", "keeps no append-only file: a crash loses the journals (appendonly yes)")]
        }
    }

    private static func suite(_ suite: LiveFacts.Found<LiveFacts.Suite>) -> [Line] {
        let found: LiveFacts.Suite
        switch suite {
        case .failed(let reason): return [.forbids("suite", reason)]
        case .value(let value): found = value
        }
        let needed = ["market-discovery", "signal-processor", "execution-service"]
        let missing = needed.filter { found.services[$0, default: 0] == 0 }
        let ill = found.unhealthy + found.firing.map { "firing: \($0)" } + found.failingSinks.map { "sink \($0)" }
        return [
            .must(
                "suite", missing.isEmpty && found.shards > 0, "\(found.shards) shards, trading \(found.mode)",
                else: "not heard of: "
                    + (missing + (found.shards == 0 ? ["game-shard"] : [])).joined(separator: ", ")),
            flags(found.flags),
            .must("health", ill.isEmpty, "nothing is amiss", else: ill.joined(separator: "; ")),
            found.shards == 1
                ? .warns("spare shard", "one shard: its games wait while it restarts")
                : .must("spare shard", found.shards > 1, "\(found.shards - 1)", else: "no shard"),
        ]
    }

    /// Live needs both flags in every executable (CHECKLIST R89): one that says something else is no part of it.
    private static func flags(_ flags: [String: Bool]) -> Line {
        let (live, others) = (flags.filter(\.value), flags.filter { !$0.value })
        let named = others.keys.sorted().prefix(3).joined(separator: ", ")
        return .must(
            "flags", live.isEmpty || others.isEmpty,
            others.isEmpty ? "both in every process" : "none runs live yet",
            else: "\(live.count) processes run live and \(others.count) do not (\(named)): give all the same flags")
    }
}
