import CLibPQ
import Resilience
import Runtime

/// Sizes and times that go together (CHECKLIST R25).
public enum PoolPreset: String, Sendable, CaseIterable {
    case standard
    case highThroughput = "high_throughput"
    case lowLatency = "low_latency"

    /// Most and fewest connections, idle time and acquire time-out.
    var values: (most: Int, fewest: Int, idle: Duration, acquire: Duration) {
        switch self {
        case .standard: (20, 5, .seconds(600), .seconds(30))
        case .highThroughput: (50, 10, .seconds(300), .seconds(30))
        case .lowLatency: (10, 5, .seconds(600), .seconds(5))
        }
    }
}

/// How the database is reached and how patient the pool is; every field is documented with its key.
public struct PostgresSettings: Sendable {
    /// libpq's keywords, without the password.
    var keywords: [String: String]
    var password: Secret?

    /// `DB_POOL_MAX_CONNECTIONS`, 1 to 1000, default 20.
    public var maxConnections = 20
    /// `DB_POOL_MIN_CONNECTIONS`, kept open while `run` runs; default 5.
    public var minConnections = 5
    /// `DB_POOL_MAX_LIFETIME_SECS`, default 1800, less up to a tenth so that they do not all end at once.
    public var maxLifetime = Duration.seconds(1800)
    /// `DB_POOL_IDLE_TIMEOUT_SECS`, default 600; applies above the minimum.
    public var idleTimeout = Duration.seconds(600)
    /// `DB_POOL_ACQUIRE_TIMEOUT_SECS`, default 30.
    public var acquireTimeout = Duration.seconds(30)
    /// `DB_POOL_VALIDATE_IDLE_SECS`, default 30: idle for longer, a connection is asked `SELECT 1` before it is lent.
    public var validateAfterIdle = Duration.seconds(30)
    /// `DB_POOL_KEEPALIVE_SECS`, default 30: idle for longer, a connection is asked `SELECT 1` while `run` runs, so
    /// that neither it nor what lies between forgets the other.
    public var keepAlive = Duration.seconds(30)
    /// `DB_POOL_LEAK_REPORT_SECS`, default 30: held for longer, a connection is reported with its holder's name.
    public var leakReport = Duration.seconds(30)
    /// `DB_CONNECT_TIMEOUT_MS`, default 5000, from the lookup of the name to the login's end.
    public var connectTimeout = Duration.seconds(5)
    /// `DB_QUERY_TIMEOUT_MS`, default 5000: the deadline of a call that names none.
    public var queryTimeout = Duration.seconds(5)
    /// `DB_TRANSACTION_TIMEOUT_MS`, default 10000: the deadline of a transaction that names none.
    public var transactionTimeout = Duration.seconds(10)
    /// `DB_STATEMENT_TIMEOUT_MS`, default 15000: the server's own bound for one statement, above every deadline here.
    public var statementTimeout = Duration.seconds(15)
    /// `DB_LOCK_TIMEOUT_MS`, default 3000: the server's bound for one wait for a lock.
    public var lockTimeout = Duration.seconds(3)
    /// `DB_IDLE_IN_TRANSACTION_TIMEOUT_MS`, default 15000: then the server ends a session that forgot its transaction.
    public var idleInTransactionTimeout = Duration.seconds(15)
    /// `DB_TCP_USER_TIMEOUT_MS`, default 5000: unanswered bytes end the connection.
    public var tcpUserTimeout = Duration.seconds(5)
    /// `DB_CONNECT_BACKOFF_BASE_MS` / `DB_CONNECT_BACKOFF_MAX_MS`, default 100 / 2000.
    public var connectBackoffBase = Duration.milliseconds(100)
    public var connectBackoffCap = Duration.seconds(2)
    /// `DB_BREAKER_FAILURES` failed connects open the breaker, default 5; `DB_BREAKER_COOLDOWN_MS`, default 1000.
    public var breakerFailures = 5
    public var breakerCooldown = Duration.seconds(1)
    /// `DB_HEALTH_CHECK_INTERVAL_SECS`, default 10, at a fixed rate while `run` runs.
    public var healthCheckInterval = Duration.seconds(10)
    /// `DB_HEALTH_CHECK_TIMEOUT_SECS`, default 5: a check without an answer for so long has failed.
    public var healthCheckTimeout = Duration.seconds(5)
    /// `DB_HEALTH_ALERT_THRESHOLD`, default 3 failed checks in a row.
    public var healthAlertThreshold = 3

    /// All defaults, with an address such as `postgresql://user:password@host:5432/linesman` or `host=/tmp dbname=x`.
    ///
    /// - Throws: `PostgresError` with `permanent` when libpq cannot read the address.
    public init(url: String) throws(PostgresError) {
        let parsed = try ConnectionAddress.parse(url)
        keywords = parsed.keywords
        password = parsed.password
    }

    /// Reads `DATABASE_URL`, or `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE`, and `DB_*`.
    public init(_ reader: SettingsReader) {
        (keywords, password) = ConnectionAddress.read(reader)

        let preset = reader.choice(
            "DB_POOL_PRESET", default: PoolPreset.standard, "pool sizes and times that go together")
        let defaults = preset.values
        maxConnections = reader.integer(
            "DB_POOL_MAX_CONNECTIONS", default: defaults.most, in: 1...1000, "most connections")
        minConnections = reader.integer(
            "DB_POOL_MIN_CONNECTIONS", default: min(defaults.fewest, maxConnections), in: 0...1000,
            "connections kept open")
        reader.require(
            minConnections <= maxConnections, ["DB_POOL_MIN_CONNECTIONS", "DB_POOL_MAX_CONNECTIONS"],
            "the minimum must not be above the maximum")
        maxLifetime = reader.seconds(
            "DB_POOL_MAX_LIFETIME_SECS", default: .seconds(1800), in: .seconds(1)...(.seconds(86_400)),
            "a connection is replaced after this time")
        idleTimeout = reader.seconds(
            "DB_POOL_IDLE_TIMEOUT_SECS", default: defaults.idle, in: .seconds(1)...(.seconds(86_400)),
            "an idle connection above the minimum is closed after this time")
        acquireTimeout = reader.seconds(
            "DB_POOL_ACQUIRE_TIMEOUT_SECS", default: defaults.acquire, in: .milliseconds(1)...(.seconds(600)),
            "longest wait for a free connection")
        validateAfterIdle = reader.seconds(
            "DB_POOL_VALIDATE_IDLE_SECS", default: .seconds(30), in: .zero...(.seconds(86_400)),
            "a connection idle for longer is checked before use")
        keepAlive = reader.seconds(
            "DB_POOL_KEEPALIVE_SECS", default: .seconds(30), in: .seconds(1)...(.seconds(86_400)),
            "a connection idle for longer is asked whether it still answers")
        leakReport = reader.seconds(
            "DB_POOL_LEAK_REPORT_SECS", default: .seconds(30), in: .milliseconds(1)...(.seconds(86_400)),
            "a connection held for longer is reported with its holder")
        func milliseconds(_ key: String, _ value: Duration, _ help: String) -> Duration {
            reader.milliseconds(key, default: value, in: .milliseconds(1)...(.seconds(600)), help)
        }
        connectTimeout = milliseconds("DB_CONNECT_TIMEOUT_MS", .seconds(5), "longest connect")
        queryTimeout = milliseconds("DB_QUERY_TIMEOUT_MS", .seconds(5), "deadline of a call that names none")
        transactionTimeout = milliseconds(
            "DB_TRANSACTION_TIMEOUT_MS", .seconds(10), "deadline of a transaction that names none")
        statementTimeout = milliseconds(
            "DB_STATEMENT_TIMEOUT_MS", .seconds(15), "the server's bound for one statement")
        lockTimeout = milliseconds("DB_LOCK_TIMEOUT_MS", .seconds(3), "the server's bound for one wait for a lock")
        idleInTransactionTimeout = milliseconds(
            "DB_IDLE_IN_TRANSACTION_TIMEOUT_MS", .seconds(15), "the server ends a session idle in a transaction")
        tcpUserTimeout = milliseconds("DB_TCP_USER_TIMEOUT_MS", .seconds(5), "unanswered bytes end the connection")
        connectBackoffBase = milliseconds(
            "DB_CONNECT_BACKOFF_BASE_MS", .milliseconds(100), "first wait after a failed connect")
        connectBackoffCap = milliseconds(
            "DB_CONNECT_BACKOFF_MAX_MS", .seconds(2), "longest wait after a failed connect")
        reader.require(
            connectBackoffBase <= connectBackoffCap, ["DB_CONNECT_BACKOFF_BASE_MS", "DB_CONNECT_BACKOFF_MAX_MS"],
            "the first wait must not be above the longest")
        breakerFailures = reader.integer(
            "DB_BREAKER_FAILURES", default: 5, in: 1...1000, "failed connects that open the breaker")
        breakerCooldown = milliseconds("DB_BREAKER_COOLDOWN_MS", .seconds(1), "how long the breaker stays open")
        healthCheckInterval = reader.seconds(
            "DB_HEALTH_CHECK_INTERVAL_SECS", default: .seconds(10), in: .milliseconds(50)...(.seconds(3600)),
            "fixed rate of the health check")
        healthCheckTimeout = reader.seconds(
            "DB_HEALTH_CHECK_TIMEOUT_SECS", default: .seconds(5), in: .milliseconds(10)...(.seconds(600)),
            "a health check without an answer for so long has failed")
        healthAlertThreshold = reader.integer(
            "DB_HEALTH_ALERT_THRESHOLD", default: 3, in: 1...1000, "failed checks in a row that raise the alert")
    }

    /// Host, port and database, for logs; never a secret.
    public var target: String {
        "\(keywords["host"] ?? "local socket"):\(keywords["port"] ?? "5432")/\(keywords["dbname"] ?? "")"
    }

    /// What one session is opened with.
    func parameters(application: String) -> [String: String] {
        var parameters = keywords
        parameters["password"] = password?.value
        parameters["application_name"] = application
        parameters["client_encoding"] = "UTF8"
        parameters["tcp_user_timeout"] = "\(tcpUserTimeout.wholeMilliseconds)"
        parameters["keepalives_idle"] = "10"
        parameters["keepalives_interval"] = "5"
        parameters["keepalives_count"] = "3"
        // Asking for Kerberos tickets, libpq's default, blocks the thread that connects.
        if parameters["gssencmode"] == nil { parameters["gssencmode"] = "disable" }
        let session = [
            ("statement_timeout", "\(statementTimeout.wholeMilliseconds)"),
            ("lock_timeout", "\(lockTimeout.wholeMilliseconds)"),
            ("idle_in_transaction_session_timeout", "\(idleInTransactionTimeout.wholeMilliseconds)"),
            // The server's half: a client that vanished holds its locks no longer than this.
            ("tcp_user_timeout", "\(tcpUserTimeout.wholeMilliseconds)"),
            ("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3"),
            // What `Row` decodes.
            ("TimeZone", "UTC"), ("DateStyle", "ISO,YMD"), ("bytea_output", "hex"),
        ]
        let options = session.map { "-c \($0.0)=\($0.1)" }.joined(separator: " ")
        parameters["options"] = [keywords["options"], options].compactMap { $0 }.joined(separator: " ")
        return parameters
    }
}

/// Takes an address apart with libpq's own parser.
enum ConnectionAddress {
    static func parse(_ url: String) throws(PostgresError) -> (keywords: [String: String], password: Secret?) {
        var problem: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(url, &problem) else {
            // libpq quotes the offending part, which may be a password: only its kind is told.
            if let problem { PQfreemem(problem) }
            throw PostgresError(.permanent, "not an address that libpq can read", context: "DATABASE_URL")
        }
        defer { PQconninfoFree(options) }
        var keywords: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val { keywords[String(cString: keyword)] = String(cString: value) }
            option += 1
        }
        let password = keywords.removeValue(forKey: "password").map { Secret($0) }
        return (keywords, password)
    }

    static func read(_ reader: SettingsReader) -> (keywords: [String: String], password: Secret?) {
        let url = reader.secret("DATABASE_URL", "address of the database; wins over PGHOST and the like")
        let names = [
            ("host", "PGHOST"), ("port", "PGPORT"), ("user", "PGUSER"), ("dbname", "PGDATABASE"),
            ("sslmode", "PGSSLMODE"),
        ]
        var keywords: [String: String] = [:]
        for (keyword, key) in names { keywords[keyword] = reader.optionalText(key, "libpq's \(keyword)") }
        let password = reader.secret("PGPASSWORD", "libpq's password")
        guard let url else {
            reader.require(
                keywords["host"] != nil || keywords["dbname"] != nil, ["DATABASE_URL"],
                "needed, or PGHOST and PGDATABASE")
            return (keywords, password)
        }
        do {
            return try parse(url.value)
        } catch {
            reader.require(false, ["DATABASE_URL"], error.message)
            return (keywords, password)
        }
    }
}
