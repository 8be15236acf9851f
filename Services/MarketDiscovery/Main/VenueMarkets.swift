import Domain
import Hosting
import Logging
import MarketDiscoveryEngine
import Runtime
import Venues

/// The venue's lists of markets as the engine wants them.
struct VenueMarkets: Sendable {
    private let host: ServiceHost
    private let kalshi: KalshiREST

    /// - Throws: when the key of the settings cannot be used.
    init(_ settings: KalshiSettings, host: ServiceHost) throws {
        self.host = host
        let time = VenueTime(now: { host.venueClock.now }, observe: { host.venueClock.observe($0) })
        let http = VenueHTTP(limits: settings.httpLimits, time: time)
        let watch = settings.watch(wall: host.context.wallClock, clock: host.clock) {
            host.venueClock.setOffset(microseconds: $0)
        }
        let signer = try settings.signer(wall: watch?.corrected ?? host.context.wallClock)
        kalshi = KalshiREST(
            baseURL: settings.baseURL, http: http, signer: signer, time: time, clock: host.clock,
            random: host.context.random, watch: watch)
        host.supervisor.onDrain("kalshi") { await http.shutdown() }
    }

    /// Everything open in a series; what could not be read is counted and left out.
    func open(in series: String) async throws -> [Candidate] {
        let page = try await kalshi.markets(series: series, status: "open")
        for error in page.refused {
            host.context.metrics
                .counter(
                    "listed_markets_refused_total", "Unreadable markets in the venue's lists.",
                    labels: ["code": error.code.rawValue]
                ).increment()
            host.log.debug("listed market not read", metadata: [Key.reason: "\(error)"])
        }
        return page.items.map { market in
            Candidate(
                ticker: market.ticker.rawValue, eventTicker: market.eventTicker, title: market.title,
                yesSubTitle: market.yesSubtitle, isOpen: market.status == .active, priceStep: market.priceStep)
        }
    }

    /// Does the venue answer at all.
    var probe: HealthProbe {
        HealthProbe("kalshi", timeout: .seconds(2)) { _ = try await kalshi.exchangeStatus() }
    }
}
