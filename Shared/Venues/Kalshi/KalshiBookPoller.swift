import Domain
import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// Where a whole order book can be read.
public protocol BookSource: Sendable {
    func orderBook(_ market: MarketID) async throws(VenueError) -> (book: OrderBook, at: VenueInstant)
}

extension KalshiREST: BookSource {}

/// Order books by polling: for the venue's public data without a key, where its WebSocket does not answer.
///
/// The events are those of the stream: each successful read is a `.book`, changed or not, so its age counts from the
/// read. Legal states: disconnected until a read succeeds, connected until a whole round fails.
public final class KalshiBookPoller: MarketFeed {
    private struct State {
        var desired: Set<MarketID> = []
        var books: Set<MarketID> = []
        var status = MarketFeedStatus()
    }

    private let source: any BookSource
    private let interval: Duration
    private let concurrency: Int
    private let clock: MachineClock
    private let log: Logger
    private let state = NIOLockedValueBox(State())
    private let queue = MarketEventQueue()

    public init(
        source: any BookSource, interval: Duration = .seconds(2), concurrency: Int = 4, clock: MachineClock, log: Logger
    ) {
        precondition(interval > .zero && concurrency > 0, "a poller needs an interval and a reader")
        self.source = source
        self.interval = interval
        self.concurrency = concurrency
        self.clock = clock
        self.log = log
    }

    public var events: MarketEvents { MarketEvents(queue: queue) }

    public var status: MarketFeedStatus {
        state.withLockedValue { state in
            var status = state.status
            status.markets = state.desired.count
            status.books = state.books.count
            return status
        }
    }

    public func setMarkets(_ markets: Set<MarketID>) {
        state.withLockedValue { state in
            state.desired = markets
            state.books.formIntersection(markets)
        }
    }

    public func run() async throws {
        var next = clock.now
        while true {
            try Task.checkCancellation()
            let markets = state.withLockedValue { $0.desired.sorted() }
            if !markets.isEmpty { await round(markets) }
            next = max(next.advanced(by: interval), clock.now)
            try await clock.sleep(until: next)
        }
    }

    /// Reads each market once, a few at a time.
    private func round(_ markets: [MarketID]) async {
        var successes = 0
        await withTaskGroup(of: Bool.self) { group in
            var waiting = markets[...]
            for _ in 0..<concurrency {
                guard let market = waiting.popFirst() else { break }
                group.addTask { await self.read(market) }
            }
            while let success = await group.next() {
                if success { successes += 1 }
                if let market = waiting.popFirst(), !Task.isCancelled {
                    group.addTask { await self.read(market) }
                }
            }
        }
        guard successes == 0, !Task.isCancelled else { return }
        let isNew = state.withLockedValue { state in
            defer { state.status.isConnected = false }
            state.status.failures += 1
            state.status.lastFailure = .pollFailed
            return state.status.isConnected
        }
        if isNew {
            queue.push([.disconnected(.pollFailed)])
            log.warning("order book polling fails", metadata: [Key.venue: "kalshi"])
        }
    }

    private func read(_ market: MarketID) async -> Bool {
        do {
            let (book, at) = try await source.orderBook(market)
            let events = state.withLockedValue { state -> [MarketEvent] in
                state.status.frames += 1
                guard state.desired.contains(market) else { return [] }
                state.books.insert(market)
                let isNew = !state.status.isConnected
                state.status.isConnected = true
                return (isNew ? [.connected] : []) + [.book(market, book, at: at)]
            }
            queue.push(events)
            return true
        } catch {
            let lost = state.withLockedValue { state in
                state.status.errors[error.code.rawValue, default: 0] += 1
                // A venue that answers, but not with a book, has none; silence leaves the book to grow stale.
                return !error.isTransient && error.code != .cancelled && state.books.remove(market) != nil
            }
            if lost { queue.push([.invalidated([market], .refused)]) }
            return false
        }
    }
}

/// The feed that fits what is known: the WebSocket with a key or at a venue of one's own, polling otherwise.
public enum KalshiFeeds {
    public static func make(
        settings: KalshiSettings, rest: KalshiREST, signer: KalshiSigner?, time: VenueTime, clock: MachineClock,
        random: RandomSource, log: Logger
    ) -> any MarketFeed {
        if signer != nil || !settings.isRealHost, let url = WebSocketURL(settings.webSocketURL) {
            return KalshiMarketFeed(
                url: url, limits: settings.webSocketLimits, reconnection: settings.reconnection, signer: signer,
                time: time, clock: clock, random: random, log: log)
        }
        return KalshiBookPoller(source: rest, interval: settings.pollInterval, clock: clock, log: log)
    }
}
