import Runtime

/// Where market discovery looks and how long it may use what it saw.
public struct MarketDiscoverySettings: Sendable {
    public let host: HostSettings
    public let cacheFor: Duration
    public let requestTimeout: Duration

    public init(_ reader: SettingsReader) {
        host = HostSettings(reader)
        cacheFor = reader.seconds(
            "MARKET_CACHE_SECS", default: .seconds(60), in: .zero...(.seconds(3_600)),
            "How long a series' list of markets may be used.")
        requestTimeout = reader.seconds(
            "MARKET_SEARCH_TIMEOUT_SECS", default: .seconds(20), in: .milliseconds(500)...(.seconds(600)),
            "How long all pages of one series may take.")
    }
}
