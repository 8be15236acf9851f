import Domain

/// What is asked of the Kalshi WebSocket (WIRE 1.5).
public enum KalshiCommand: Hashable, Sendable {
    case subscribe(id: Int64, channel: String, markets: [MarketID])
    case unsubscribe(id: Int64, sid: Int64)
    case addMarkets(id: Int64, sid: Int64, markets: [MarketID])
    case deleteMarkets(id: Int64, sid: Int64, markets: [MarketID])

    /// As the venue reads it.
    public var json: [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            switch self {
            case .subscribe(let id, let channel, let markets):
                writer.field("id", id)
                writer.field("cmd", "subscribe")
                writer.key("params")
                writer.object { params in
                    params.field("channels", [channel])
                    if !markets.isEmpty { params.field("market_tickers", markets.map(\.rawValue)) }
                }
            case .unsubscribe(let id, let sid):
                writer.field("id", id)
                writer.field("cmd", "unsubscribe")
                writer.key("params")
                writer.object { Self.sids(sid, &$0) }
            case .addMarkets(let id, let sid, let markets):
                Self.update(id, sid, markets, "add_markets", &writer)
            case .deleteMarkets(let id, let sid, let markets):
                Self.update(id, sid, markets, "delete_markets", &writer)
            }
        }
        return writer.bytes
    }

    private static func update(
        _ id: Int64, _ sid: Int64, _ markets: [MarketID], _ action: String, _ writer: inout JSONWriter
    ) {
        writer.field("id", id)
        writer.field("cmd", "update_subscription")
        writer.key("params")
        writer.object { params in
            sids(sid, &params)
            params.field("market_tickers", markets.map(\.rawValue))
            params.field("action", action)
        }
    }

    private static func sids(_ sid: Int64, _ writer: inout JSONWriter) {
        writer.key("sids")
        writer.array { $0.integer(sid) }
    }
}
