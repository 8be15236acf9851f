import Domain
import Runtime

/// When a position is sold before its market ends (DOMAIN 2.6); points are cents of a contract's price.
public struct ExitSettings: Sendable {
    public let isEnabled: Bool
    /// In points above the average price paid.
    public let takeProfit: Int
    /// In points below it, by sport.
    public let stopLoss: [Sport: Int]
    public let holdAbove: Price
    /// In parts of ten thousand of the bid.
    public let slippage: Int
    public let minimumHold: Duration
    public let priceLife: Duration
    public let life: Duration
    public let interval: Duration
    /// In percent of each trade's net profit.
    public let savedPercent: Int

    /// What the seed stops a loss at; a sport that it does not know gets 5.
    public static let stopLossBySport: [Sport: Int] = [
        .nba: 3, .ncaab: 3, .nfl: 5, .ncaaf: 5, .nhl: 7, .mlb: 6, .mls: 7, .soccer: 7, .tennis: 4, .mma: 8,
    ]

    public init(_ reader: SettingsReader) {
        isEnabled = reader.flag(
            "EXITS_ENABLED", default: true, "Whether positions are sold before their market ends; else all are held.")
        takeProfit = reader.integer(
            "TAKE_PROFIT_PCT", default: 3, in: 1...99,
            "Points above the average price paid at which a position is sold.")
        var stops: [Sport: Int] = [:]
        for sport in Sport.allCases {
            stops[sport] = reader.integer(
                "STOP_LOSS_PCT_\(sport.rawValue.uppercased())", default: Self.stopLossBySport[sport] ?? 5, in: 1...99,
                "Points below the average price paid at which a position of this sport is sold.")
        }
        stopLoss = stops
        holdAbove = reader.price(
            "HOLD_TO_SETTLEMENT_ABOVE", default: .cents(85), in: 0.5...0.99,
            "A position whose bid is higher is kept until its market is settled, which costs no fee.")
        slippage = Int(
            (reader.number(
                "EXIT_SLIPPAGE_BUFFER_PCT", default: 0.5, in: 0...20,
                "How far below the bid an exit still sells, in percent of the bid.") * 100).rounded())
        minimumHold = reader.seconds(
            "MIN_HOLD_SECONDS", default: .seconds(10), in: .zero...(.seconds(3_600)),
            "How long a position is kept at least, in venue time.")
        priceLife = reader.seconds(
            "PRICE_STALENESS_TTL", default: .seconds(30), in: .milliseconds(100)...(.seconds(3_600)),
            "A book that was not confirmed for longer is not traded on, in venue time.")
        life = reader.seconds(
            "EXIT_LIFE_SECS", default: .seconds(30), in: .seconds(1)...(.seconds(600)),
            "How long an exit waits to be sent, in venue time; then it is asked for again at the price of then.")
        interval = reader.seconds(
            "EXIT_CHECK_INTERVAL_SECS", default: .seconds(1), in: .milliseconds(50)...(.seconds(60)),
            "How often open positions are read again; prices are looked at as they come.")
        savedPercent = reader.integer(
            "PIGGYBANK_PCT", default: 50, in: 0...100,
            "How much of each trade's net profit is put aside and traded with no more, in percent.")
    }
}
