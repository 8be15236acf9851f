import Domain
import Postgres
import Wire

/// What is kept for explanation: append only.
public struct AuditEntry: Hashable, Sendable {
    public var event: String
    public var intent: IntentID?
    public var order: OrderID?
    public var market: MarketID?
    public var game: GameID?
    public var details: [String: String]

    public init(
        _ event: String, intent: IntentID? = nil, order: OrderID? = nil, market: MarketID? = nil, game: GameID? = nil,
        details: [String: String] = [:]
    ) {
        self.event = event
        self.intent = intent
        self.order = order
        self.market = market
        self.game = game
        self.details = details
    }

    /// Travels with what the transaction sends next.
    public func write(_ transaction: PostgresTransaction) async throws {
        try transaction.enqueue("\(Self.insert) \(row)")
    }

    /// Two that follow one another, in one statement; they travel with what the transaction sends next.
    public static func write(_ first: AuditEntry, _ second: AuditEntry, _ transaction: PostgresTransaction) throws {
        try transaction.enqueue("\(insert) \(first.row), \(second.row)")
    }

    private static let insert: SQL =
        "INSERT INTO audit_log (event, intent_id, order_id, market_id, game_id, details) VALUES"

    private var row: SQL {
        """
        (\(event), \(intent?.rawValue as String?), \(order?.rawValue as String?), \(market?.rawValue as String?),
            \(game?.rawValue as String?), \(.jsonText(details.json)))
        """
    }
}

extension [String: String] {
    /// As JSON, written by hand: every order is explained several times on its way.
    var json: String {
        var text: [UInt8] = [UInt8(ascii: "{")]
        for (key, value) in self {
            if text.count > 1 { text.append(UInt8(ascii: ",")) }
            text.appendJSON(key)
            text.append(UInt8(ascii: ":"))
            text.appendJSON(value)
        }
        text.append(UInt8(ascii: "}"))
        return String(decoding: text, as: UTF8.self)
    }
}

/// Counters and sums per trading day, written in the transaction of what they count (CHECKLIST H7).
public struct DailyStatistics: Hashable, Sendable {
    /// The name of a time zone.
    public let timeZone: String

    public init(timeZone: String) { self.timeZone = timeZone }

    /// The trading day of a moment of venue time, as a fragment of SQL.
    func day(_ now: VenueInstant) -> SQL {
        "(to_timestamp(\(now.microseconds)::float8 / 1000000) AT TIME ZONE \(timeZone)::text)::date"
    }

    /// Travels with what the transaction sends next.
    public func add(_ changes: [String: Int64], at now: VenueInstant, _ transaction: PostgresTransaction) async throws {
        // Sorted, so that two transactions lock the rows in one order.
        let changes = changes.filter { $0.value != 0 }.sorted { $0.key < $1.key }
        guard !changes.isEmpty else { return }
        try transaction.enqueue(
            """
            INSERT INTO daily_stats (day, key, value)
            SELECT \(day(now)), key, value FROM unnest(\(changes.map(\.key))::text[], \(changes.map(\.value)))
                AS change (key, value)
            ON CONFLICT (day, key) DO UPDATE SET value = daily_stats.value + excluded.value
            """)
    }

    /// The value of a key on the trading day of `now`.
    public func sum(of keys: [String], at now: VenueInstant, _ database: some PostgresQuerying) async throws -> Int64 {
        try await database.ask(sum(of: keys, at: now))
    }

    /// What was realised on the trading day of `now` with fees deducted, in 1/1000000 dollar.
    public func net(_ account: TradingAccount, at now: VenueInstant) -> PostgresQuestion<Int64> {
        .first("SELECT \(netSum(account, at: now)) AS value") { try $0?.int64("value") ?? 0 }
    }

    /// The same as an expression.
    public func netSum(_ account: TradingAccount, at now: VenueInstant) -> SQL {
        """
        (SELECT coalesce(sum(CASE WHEN key = \(Self.fees(account)) THEN -value ELSE value END), 0)::int8
            FROM daily_stats
            WHERE day = \(day(now)) AND key IN (\(Self.realised(account)), \(Self.fees(account))))
        """
    }

    /// The same, to be asked among others.
    public func sum(of keys: [String], at now: VenueInstant) -> PostgresQuestion<Int64> {
        .first(
            """
            SELECT coalesce(sum(value), 0)::int8 AS value FROM daily_stats
            WHERE day = \(day(now)) AND key = ANY(\(keys)::text[])
            """
        ) { try $0?.int64("value") ?? 0 }
    }
}

extension DailyStatistics {
    /// Realised before fees, in 1/1000000 dollar.
    public static func realised(_ account: TradingAccount) -> String { "\(account.name):realised" }
    /// Fees paid, in 1/1000000 dollar.
    public static func fees(_ account: TradingAccount) -> String { "\(account.name):fees" }
    /// Orders that the account sent to a venue.
    public static func orders(_ account: TradingAccount, at venue: Venue) -> String {
        "\(account.name):orders:\(venue.rawValue)"
    }

    /// How many of them there are on the trading day of `now`, as an expression; `venue` is one too.
    public func orders(_ account: TradingAccount, at venue: SQL, _ now: VenueInstant) -> SQL {
        """
        (SELECT coalesce(sum(value), 0)::int8 FROM daily_stats
            WHERE day = \(day(now)) AND key = \("\(account.name):orders:")::text || \(venue))
        """
    }
}
