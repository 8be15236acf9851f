import Domain
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Resilience
import Runtime
import Venues

/// A venue's clock that stands at one instant unless something is shown to it.
final class ShownTime: Sendable {
    static let start: VenueInstant = {
        do { return try VenueInstant(rfc3339: "2026-04-20T23:13:19Z") } catch { return .epoch }
    }()

    private let shown = NIOLockedValueBox(ShownTime.start)

    var latest: VenueInstant { shown.withLockedValue { $0 } }

    var time: VenueTime {
        VenueTime(
            now: { self.latest },
            observe: { instant in self.shown.withLockedValue { $0 = max($0, instant) } })
    }
}

enum Fixture {
    static let log: Logger = {
        var log = Logger(label: "test")
        log.logLevel = .critical
        return log
    }()

    static func http(
        timeout: Duration = .seconds(60), bodyBytes: Int = 1 << 20, time: VenueTime = ShownTime().time,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) -> VenueHTTP {
        VenueHTTP(
            limits: VenueHTTPLimits(connectTimeout: .seconds(30), requestTimeout: timeout, bodyBytes: bodyBytes),
            time: time, group: group)
    }

    static func rest(
        _ server: ScriptedServer, _ http: VenueHTTP, signer: KalshiSigner? = nil, time: VenueTime = ShownTime().time,
        reads: RetryPolicy = RetryPolicy(attempts: 3, delays: [.milliseconds(5)]), watch: VenueClockWatch? = nil
    ) -> KalshiREST {
        KalshiREST(
            baseURL: "http://127.0.0.1:\(server.port)/trade-api/v2", http: http, signer: signer, time: time,
            clock: .real, random: .seeded(1), reads: reads, watch: watch)
    }

    static func order(
        _ action: Action = .buy, _ outcome: Outcome = .yes, at cents: Int64 = 53, _ contracts: Int64 = 10,
        id: OrderID = "order-1", _ timeInForce: TimeInForce = .immediateOrCancel
    ) throws -> OrderRequest {
        try OrderRequest(
            id: id, market: "M-1", outcome: outcome, action: action, limit: .cents(cents),
            quantity: .contracts(contracts), timeInForce: timeInForce)
    }

    static func level(_ cents: Int64, _ contracts: Int64) throws -> BookLevel {
        try BookLevel(price: .cents(cents), quantity: .contracts(contracts))
    }
}
