import Runtime

/// How far the suite may go (glossary: shadow, paper, live).
public enum TradingMode: String, Sendable, CaseIterable {
    /// Everything but the send.
    case shadow
    /// Orders are filled from the live book, or by a simulator.
    case paper
    /// Real orders. Needs both flags.
    case live
}

/// The authorisation to trade with money, checked in every executable (CHECKLIST R89).
public struct TradingSettings: Sendable {
    public let mode: TradingMode

    public init(_ reader: SettingsReader) {
        let isPaper = reader.flag(
            "PAPER_TRADING", default: true, "Paper money. Live trading needs false here and LIVE_TRADING_AUTHORIZED.")
        let isAuthorised = reader.flag(
            "LIVE_TRADING_AUTHORIZED", default: false, "The second of the two flags that live trading needs.")
        let isShadow = reader.flag("SHADOW_TRADING", default: false, "Decide everything, send nothing.")
        reader.require(
            isPaper || isAuthorised, ["PAPER_TRADING", "LIVE_TRADING_AUTHORIZED"],
            "PAPER_TRADING=false is live trading, which also needs LIVE_TRADING_AUTHORIZED=true")
        mode = isShadow ? .shadow : (isPaper ? .paper : .live)
    }
}
