import Domain
import GameShardEngine
import Hosting
import Logging
import Resilience
import Runtime
import Venues

/// The connections to the venue: books by WebSocket, or by polling where there is no key for it.
struct VenueFeeds: Sendable {
    let host: ServiceHost
    let settings: GameShardSettings
    let http: VenueHTTP
    let books: any MarketFeed
    let scores: ScoreboardClient
    /// Reads the venue's clock, which the WebSocket does not tell; nil for a simulator.
    private let venueClock: KalshiREST?

    init(_ settings: GameShardSettings, _ host: ServiceHost) throws {
        self.host = host
        self.settings = settings
        let clock = host.venueClock
        let time = VenueTime(now: { clock.now }, observe: { clock.observe($0) })
        let http = VenueHTTP(limits: settings.kalshi.httpLimits, time: time)
        self.http = http
        let watch = settings.kalshi.watch(wall: host.context.wallClock, clock: host.clock) {
            clock.setOffset(microseconds: $0)
        }
        venueClock = watch.map {
            KalshiREST(
                baseURL: settings.kalshi.baseURL, http: http, signer: nil, time: time, clock: host.clock,
                random: host.context.random, watch: $0)
        }
        let signer = try settings.kalshi.signer(wall: watch?.corrected ?? host.context.wallClock)
        books = Self.feed(settings.kalshi, http, signer, time, host)
        scores = ScoreboardClient(
            baseURL: settings.scoreboard.baseURL, http: http, time: time, timeout: settings.scoreboard.requestTimeout,
            reader: host.settings.isReplay ? host.source : nil)
        host.supervisor.onDrain("venues") { await http.shutdown() }
    }

    private static func feed(
        _ kalshi: KalshiSettings, _ http: VenueHTTP, _ signer: KalshiSigner?, _ time: VenueTime, _ host: ServiceHost
    ) -> any MarketFeed {
        guard signer != nil || !kalshi.isRealHost, let url = WebSocketURL(kalshi.webSocketURL) else {
            let source = KalshiREST(
                baseURL: kalshi.baseURL, http: http, signer: nil, time: time, clock: host.clock,
                random: host.context.random)
            return KalshiBookPoller(source: source, interval: kalshi.pollInterval, clock: host.clock, log: host.log)
        }
        var limits = kalshi.webSocketLimits
        if host.settings.isReplay {
            // Books are confirmed by PONGs and age in venue time, which runs faster here.
            limits.pingInterval = max(.milliseconds(10), limits.pingInterval / host.settings.replaySpeed)
        }
        return KalshiMarketFeed(
            url: url, limits: limits, reconnection: kalshi.reconnection, signer: signer, time: time, clock: host.clock,
            random: host.context.random, log: host.log)
    }

    /// Runs the feeds and hands what they say to the watcher.
    func start(telling watcher: GameWatcher, polling poller: ScorePoller) {
        host.supervisor.add("books", .important) { try await books.run() }
        host.supervisor.add("book-events", .critical) {
            // From a price to its announcement on the loop that writes it.
            await withTaskExecutorPreference(host.redis.taskExecutor) {
                var pace = ConfirmationPace()
                for await batch in books.events {
                    let arrived = batch.compactMap { event -> VenueInstant? in
                        if case .arrived(let instant) = event { instant } else { nil }
                    }
                    var events = batch.compactMap(Self.event)
                    // In a replay venue time runs faster than the pace, and a step takes the newest anyway.
                    if !host.settings.isReplay { pace.thin(&events, at: host.clock.now) }
                    await watcher.take(events, arrivedUpTo: arrived.max())
                }
            }
        }
        if let venueClock {
            host.supervisor.add("venue-clock", .important) { try await Self.follow(venueClock, host) }
        }
        for sport in ScoreboardPath.sports {
            host.supervisor.add("scores-\(sport.rawValue)", .important) { try await poller.run(sport) }
        }
    }

    /// Asks the venue something small now and then, for the time that its answer shows.
    private static func follow(_ venue: KalshiREST, _ host: ServiceHost) async throws {
        while !Task.isCancelled {
            let failure = await failure { () async throws(VenueError) in _ = try await venue.exchangeStatus() }
            if let failure {
                host.log.warning("the venue's clock was not read", metadata: [Key.reason: "\(failure)"])
            }
            try await host.clock.sleep(for: .seconds(failure == nil ? 60 : 5))
        }
    }

    private static func failure(_ body: () async throws(VenueError) -> Void) async -> VenueError? {
        do {
            try await body()
            return nil
        } catch {
            return error
        }
    }

    private static func event(_ event: MarketEvent) -> ShardEvent? {
        switch event {
        case .book(let market, let book, let at): .bookUpdated(market, book, confirmedAt: at)
        case .invalidated(let markets, _): .booksInvalidated(Set(markets))
        case .confirmed(let at): .booksConfirmed(.kalshi, at: at)
        case .arrived, .trade, .lifecycle, .connected, .disconnected: nil
        }
    }

    /// Whether the socket is alive (its PONG has a deadline), and whether the scores are read.
    func probes(_ poller: ScorePoller) -> [HealthProbe] {
        let figures = FeedFigures(metrics: host.context.metrics)
        return [
            HealthProbe("venue", timeout: .seconds(1)) {
                let status = books.status
                figures.show(status)
                guard status.isConnected || status.markets == 0 else { throw FeedAway(code: status.lastFailure) }
            },
            HealthProbe("scores", timeout: .seconds(1)) {
                try await poller.check(within: max(.seconds(5), settings.pollInterval * 10))
            },
        ]
    }
}

struct FeedAway: Error, CustomStringConvertible {
    let code: FeedFailure.Code?

    var description: String { "the market feed is away: \(code?.rawValue ?? "not connected yet")" }
}

/// A feed's own figures as metrics, brought up to date with each health probe.
struct FeedFigures: Sendable {
    let metrics: MetricsRegistry

    func show(_ status: MarketFeedStatus) {
        metrics.gauge("feed_connected", "Whether the market feed is connected.").set(status.isConnected ? 1 : 0)
        metrics.gauge("feed_frames", "Frames since the start.").set(Double(status.frames))
        metrics.gauge("feed_markets", "Markets that are followed.").set(Double(status.markets))
        metrics.gauge("feed_books", "Markets with a book that stands.").set(Double(status.books))
        metrics.gauge("feed_reconnects", "Connects after the first.").set(Double(status.reconnects))
        for (code, count) in status.errors {
            metrics.gauge("feed_errors", "Errors since the start, by code.", labels: ["code": code]).set(Double(count))
        }
    }
}
