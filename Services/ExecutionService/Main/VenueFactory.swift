import Domain
import Hosting
import Postgres
import Runtime
import Venues

/// Everything that the process reads from its settings, and the relations between the parts.
struct ExecutionSettings: Sendable {
    let service: ExecutionServiceSettings
    let kalshi: KalshiSettings

    init(_ reader: SettingsReader) {
        service = ExecutionServiceSettings(reader)
        kalshi = KalshiSettings(reader)
        let isLive = service.host.trading.mode == .live
        reader.require(
            !isLive || kalshi.keyID != nil, ["LIVE_TRADING_AUTHORIZED", "KALSHI_API_KEY"], "live trading needs a key")
        reader.require(
            !isLive || service.paperVenue == nil, ["PAPER_TRADING", "PAPER_VENUE_URL"],
            "a paper venue contradicts live trading")
        reader.require(
            service.paperVenue.map { !KalshiSettings.isReal(address: $0) } ?? true, ["PAPER_VENUE_URL"],
            "is a real venue's address; paper orders go to a simulator or are filled from the live book")
        reader.require(
            !isLive || !service.host.isReplay, ["PAPER_TRADING", "REPLAY_SPEED"], "a replay cannot trade live")
    }
}

/// Chooses where orders go: the venue itself, the simulator, or paper filled from the live book.
enum VenueFactory {
    static func make(_ settings: ExecutionSettings, _ host: ServiceHost) throws -> any ExecutionVenue {
        let time = VenueTime(
            now: { [clock = host.venueClock] in clock.now }, observe: { [clock = host.venueClock] in clock.observe($0) }
        )
        let http = VenueHTTP(limits: settings.kalshi.httpLimits, time: time)
        host.supervisor.onDrain("venue-connections") { await http.shutdown() }
        let isLive = settings.service.host.trading.mode == .live
        let watch = settings.kalshi.watch(isLive: isLive, wall: host.context.wallClock, clock: host.clock) {
            host.venueClock.setOffset(microseconds: $0)
        }
        func rest(_ baseURL: String, _ signer: KalshiSigner?, _ watch: VenueClockWatch?) -> KalshiREST {
            KalshiREST(
                baseURL: baseURL, http: http, signer: signer, time: time, clock: host.clock,
                random: host.context.random, watch: watch)
        }
        let signer = try settings.kalshi.signer(wall: watch?.corrected ?? host.context.wallClock)
        let budget = try BudgetStore(settings.service).map { store in
            BudgetKeeper(
                store, at: .kalshi, database: host.database, clock: host.clock, metrics: host.context.metrics,
                log: host.log)
        }
        if let budget {
            host.supervisor.add("budget-news", .bestEffort) { try await budget.run() }
            host.supervisor.onDrain("budget-news") { await budget.writeDown() }
        }
        let reads = VenueReads(clock: host.clock, metrics: host.context.metrics, log: host.log) { error in
            host.refusals.note(Refusal(.venueAnswer, from: error.code.rawValue), ["reason": "\(error)"])
        }
        if isLive {
            let rest = rest(settings.kalshi.baseURL, signer, watch)
            return GatewayVenue(
                gateway: KalshiGateway(rest: rest, time: time), rest: rest, keepsPositions: true, keepsBalance: true,
                clock: host.clock, reads: reads, watch: watch, budget: budget)
        }
        if let simulator = settings.service.paperVenue {
            // Unsigned: whatever stands at that address, nothing sent there can be an order with money.
            let rest = rest(withPath(simulator), nil, nil)
            return GatewayVenue(
                gateway: KalshiGateway(rest: rest, time: time), rest: rest, keepsPositions: true, keepsBalance: false,
                clock: host.clock, reads: reads, budget: budget)
        }
        let rest = rest(settings.kalshi.baseURL, signer, watch)
        let paper = PaperGateway(
            source: rest, balance: settings.service.order.initialBankroll, clock: host.clock)
        return GatewayVenue(
            gateway: paper, rest: rest, keepsPositions: false, keepsBalance: false, clock: host.clock,
            reads: reads)
    }

    /// The address of a simulator may be given as host and port alone.
    static func withPath(_ address: String) -> String {
        var address = Substring(address)
        while address.hasSuffix("/") { address = address.dropLast() }
        let path = "/trade-api/v2"
        return address.hasSuffix(path) ? String(address) : address + path
    }
}
