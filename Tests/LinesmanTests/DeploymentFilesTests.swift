import Foundation
import Hosting
import Testing

@testable import Linesman

/// The files of the deployment beside the code that they speak of.
@Suite struct DeploymentFilesTests {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// Keys and values of `.env.example`, whether in effect or commented out, in their order.
    private static func example() throws -> [(key: String, value: String)] {
        try text(".env.example").split(separator: "\n").compactMap { line in
            guard let match = line.wholeMatch(of: /#?([A-Z][A-Z0-9_]*)=(.*)/) else { return nil }
            return (String(match.1), String(match.2))
        }
    }

    private static let composeFiles = [
        "docker-compose.yml", "deploy/compose.shards.yml", "deploy/compose.published.yml", "deploy/compose.replica.yml",
    ]

    /// What the compose files take from the environment.
    private static func interpolated() throws -> Set<String> {
        var found: Set<String> = []
        for file in composeFiles {
            for match in try text(file).matches(of: /\$\{([A-Z_]+)/) { found.insert(String(match.1)) }
        }
        return found
    }

    @Test func `.env.example has every setting once, with its default`() throws {
        let example = try Self.example()
        var values: [String: String] = [:]
        for (key, value) in example {
            #expect(values[key] == nil, "\(key) is there twice")
            values[key] = value
        }
        for setting in ConfigCommand.byService.flatMap(\.settings) {
            guard let value = values[setting.key] else {
                Issue.record("\(setting.key) is missing; `linesman config --env` prints its lines")
                continue
            }
            #expect(value == setting.standard ?? "", "\(setting.key)")
        }
    }

    @Test func `.env.example has no key that nobody reads`() throws {
        let known = SettingsCatalogue.keys.union(try Self.interpolated())
        for (key, _) in try Self.example() { #expect(known.contains(key), "\(key)") }
    }

    @Test func `the compose files take nothing that .env.example does not name`() throws {
        let named = Set(try Self.example().map(\.key))
        for key in try Self.interpolated() { #expect(named.contains(key), "\(key)") }
    }

    @Test func `the settings that docker-compose.yml gives are settings`() throws {
        let compose = try Self.text("docker-compose.yml")
        let given = compose.matches(of: /(?m)^\s+([A-Z][A-Z0-9_]+)(?::| =)[ ]/).map { String($0.1) }
        #expect(given.count > 40)
        for key in given where !key.hasPrefix("SIMULATOR_") && !key.hasPrefix("GF_") && !key.hasPrefix("POSTGRES_") {
            #expect(SettingsCatalogue.keys.contains(key) || key == "FILE", "\(key)")
        }
    }

    /// What every service of a compose file is given, as it stands there.
    private static func given(in file: String) throws -> [String: String] {
        let whole = try text(file)
        let begin = try #require(whole.range(of: "environment: &environment\n"))
        let rest = whole[begin.upperBound...]
        let end = rest.range(of: "\n  volumes:")?.lowerBound ?? rest.endIndex
        var found: [String: String] = [:]
        for match in rest[..<end].matches(of: /(?m)^    ([A-Z_]+): (.+)$/) { found[String(match.1)] = String(match.2) }
        return found
    }

    @Test func `a shard on another host is given what one beside the others is`() throws {
        let (here, there) = (
            try Self.given(in: "docker-compose.yml"), try Self.given(in: "deploy/compose.shards.yml")
        )
        // Where the servers are, which the first host's settings file says, and what is the orchestrator's.
        let own: Set<String> = [
            "LINESMAN_CONFIG", "REDIS_URL", "PGHOST", "PGDATABASE", "PGPASSWORD", "STATUS_HOST", "STATUS_PORT",
            "SYSTEM_MONITOR_INTERVAL_SECS",
        ]
        #expect(here.count > 15)
        for (key, value) in here.sorted(by: { $0.key < $1.key }) where !own.contains(key) {
            #expect(there[key] == value, "\(key)")
        }
        for key in there.keys.sorted() { #expect(SettingsCatalogue.keys.contains(key), "\(key)") }
    }

    @Test func `every setting known from elsewhere is one here, or it is said what stands for it`() throws {
        let text = try Self.text(".env.example")
        let begin = try #require(text.range(of: "# ---- Names that other deployments know;"))
        let explained = Set(text[begin.upperBound...].matches(of: /[A-Z][A-Z0-9_]+/).map { String($0.0) })
        let settings = Set(try Self.example().map(\.key))
        for (service, names) in Self.known {
            for name in names.split(whereSeparator: \.isWhitespace).map(String.init) {
                #expect(settings.contains(name) || explained.contains(name), "\(name) of the \(service)")
            }
        }
        // Whole families: whatever begins so.
        for family in ["POLYMARKET_", "ZMQ_", "LIQUIDITY_MIN_THRESHOLD_", "LIQUIDITY_MAX_POSITION_PCT_"] {
            #expect(explained.contains { $0.hasPrefix(family) }, "\(family)")
        }
    }

    /// What the suites that operators come from are set by, service by service.
    private static let known: KeyValuePairs = [
        "orchestrator": """
        REDIS_URL DATABASE_URL DISCOVERY_INTERVAL_SECS HEALTH_CHECK_INTERVAL_SECS SHARD_TIMEOUT_SECS
        SCHEDULED_SYNC_INTERVAL_SECS PREGAME_DISCOVERY_WINDOW_HOURS MARKET_DISCOVERY_MODE RESYNC_DEBOUNCE_SECS
        RESYNC_RATE_LIMIT_GAMES_PER_SEC ASSIGNMENT_CIRCUIT_FAILURE_THRESHOLD
        ASSIGNMENT_CIRCUIT_HALF_OPEN_TIMEOUT_SECS ASSIGNMENT_CIRCUIT_SUCCESS_THRESHOLD ENABLE_CRYPTO_MARKETS
        ENABLE_ECONOMICS_MARKETS ENABLE_POLITICS_MARKETS MULTI_MARKET_DISCOVERY_INTERVAL_SECS
        KALSHI_REQUEST_DELAY_MS
        """,
        "core": """
        REDIS_RECONNECT_MAX_FAILURES REDIS_RECONNECT_BASE_DELAY_MS REDIS_RECONNECT_MAX_DELAY_MS
        REDIS_RECONNECT_JITTER_PCT DB_POOL_MAX_CONNECTIONS DB_POOL_MIN_CONNECTIONS DB_POOL_MAX_LIFETIME_SECS
        DB_POOL_IDLE_TIMEOUT_SECS DB_POOL_ACQUIRE_TIMEOUT_SECS DB_POOL_ENABLE_LOGGING DB_HEALTH_CHECK_ENABLED
        DB_HEALTH_CHECK_INTERVAL_SECS DB_HEALTH_ALERT_THRESHOLD CRITICAL_ALERTS_ENABLED SLACK_WEBHOOK_URL
        CUSTOM_WEBHOOK_URL ALERT_LOG_PATH ALERT_RATE_LIMIT_SECS SYSTEM_MONITOR_INTERVAL_SECS
        """,
        "game shard": """
        SHARD_ID SHARD_TYPE POLL_INTERVAL HEARTBEAT_INTERVAL_SECS MAX_GAMES MIN_EDGE_PCT SIGNAL_DEBOUNCE_SECS
        PRICE_STALENESS_TTL GAME_STATE_STALENESS_TTL BATCH_PROBABILITY LATENCY_SIGNALS_ENABLED
        MODEL_SIGNALS_ENABLED ESPN_CB_FAILURE_THRESHOLD ESPN_CB_RECOVERY_TIMEOUT_SECS EVENT_POLL_INTERVAL_SECS
        ZMQ_TRANSPORT_MODE BUILD_VERSION
        """,
        "signal processor": """
        MIN_EDGE_PCT KELLY_FRACTION MAX_POSITION_PCT MAX_BUY_PROB MIN_SELL_PROB ALLOW_HEDGING MAX_DAILY_LOSS
        MAX_GAME_EXPOSURE MAX_SPORT_EXPOSURE MAX_LATENCY_MS WIN_COOLDOWN_SECONDS LOSS_COOLDOWN_SECONDS
        INITIAL_BANKROLL TEAM_MATCH_MIN_CONFIDENCE PRICE_STALENESS_TTL LIQUIDITY_MIN_THRESHOLD
        LIQUIDITY_MAX_POSITION_PCT EXECUTION_INLINE PAPER_TRADING
        """,
        "execution service": """
        PAPER_TRADING LIVE_TRADING_AUTHORIZED MAX_ORDER_SIZE MAX_ORDER_CONTRACTS MAX_POSITION_PER_MARKET
        MAX_ORDERS_PER_MINUTE MAX_ORDERS_PER_HOUR MIN_SAFE_PRICE MAX_SAFE_PRICE BALANCE_REFRESH_INTERVAL_SECS
        BALANCE_LOW_THRESHOLD MAX_DAILY_LOSS AUDIT_LOG_ENABLED KALSHI_API_KEY KALSHI_PRIVATE_KEY
        KALSHI_PRIVATE_KEY_PATH KALSHI_ENV KALSHI_BASE_URL POLYMARKET_PRIVATE_KEY POLYMARKET_FUNDER_ADDRESS
        POLYMARKET_CHAIN_ID POLYMARKET_CLOB_HOST POLYMARKET_API_NONCE POLYMARKET_NEG_RISK_CACHE
        POLYMARKET_PROXY_URL
        """,
        "position tracker": """
        TAKE_PROFIT_PCT DEFAULT_STOP_LOSS_PCT EXIT_CHECK_INTERVAL_SECS MIN_HOLD_SECONDS PRICE_STALENESS_TTL
        REQUIRE_VALID_BOOK DEBOUNCE_EXIT_CHECKS EXIT_TEAM_MATCH_MIN_CONFIDENCE PIGGYBANK_PCT
        EXIT_SLIPPAGE_BUFFER_PCT INITIAL_BANKROLL
        """,
        "crypto shard": """
        CRYPTO_MIN_EDGE_PCT CRYPTO_MAX_POSITION_SIZE CRYPTO_MAX_ASSET_EXPOSURE CRYPTO_MAX_TOTAL_EXPOSURE
        CRYPTO_VOLATILITY_SCALING CRYPTO_MIN_LIQUIDITY CRYPTO_MODEL_VOLATILITY_WINDOW_DAYS
        CRYPTO_MODEL_TIME_DECAY CRYPTO_MODEL_MIN_CONFIDENCE CRYPTO_POLL_INTERVAL_SECS
        CRYPTO_PRICE_STALENESS_SECS CRYPTO_HEARTBEAT_INTERVAL_SECS CRYPTO_EVENT_DRIVEN_EVALUATION
        """,
        "market discovery": "DISCOVERY_POLL_ESPN",
        "notification service": "PNL_THRESHOLD_NOTIFY TRADE_BURST_THRESHOLD WIN_STREAK_THRESHOLD",
        "supervisor": """
        HEARTBEAT_TTL_SECS HEARTBEAT_MISS_THRESHOLD SUPERVISOR_ENABLED MAX_RESTART_ATTEMPTS RESTART_BACKOFF_SECS
        RESTART_COOLDOWN_SECS SUPERVISOR_CHECK_INTERVAL_SECS
        """,
    ]
}
