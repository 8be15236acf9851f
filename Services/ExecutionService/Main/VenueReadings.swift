import Domain
import Hosting
import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Wire

/// What this process has seen of a venue when it decides about an intent; everything else is in the database.
struct VenueReadings: Sendable {
    enum Balance: Hashable, Sendable {
        /// Our own books are the account.
        case own
        /// It has not been read yet.
        case unread
        /// `asked` is the database's time before the question: what is booked later is not in it.
        case read(Money, age: Duration, asked: Int64)

        var asked: Int64? { if case .read(_, _, let asked) = self { asked } else { nil } }
    }

    var isReconciled: Bool
    var prices: LatestPrices?
    var balance = Balance.own
    /// Whether the database's clock and ours are further apart than the bound.
    var isClockOff = false

    /// What the intent's outcome can be bought for now; nil without a fresh book.
    func ask(of intent: ApprovedIntent, at now: VenueInstant) -> Price? {
        prices?.fresh(intent.market, at: now)?.ask(of: intent.outcome)
    }
}

extension PriceUpdate {
    /// What an outcome can be bought for.
    fileprivate func ask(of outcome: Outcome) -> Price? {
        outcome == .yes ? yesAsk?.price : yesBid?.price.complement
    }
}

/// The last prices that the shards told of, for the slippage guard (CHECKLIST H26).
///
/// They are hints: one that is missed is replaced by the next, and one that is old counts as none. A process that has
/// just begun knows none, and entries wait for them (decision 0055).
final class LatestPrices: Sendable {
    /// More markets than any fleet trades at once; what is beyond is counted and not kept.
    static let limit = 10_000
    /// A price that is older than this says nothing (DOMAIN 2.2, `PRICE_STALENESS_TTL`).
    static let life = Duration.seconds(30)

    private struct State {
        var latest: [MarketID: PriceUpdate] = [:]
        /// What entries wait to hear a price of.
        var awaited: [MarketID: Set<Outcome>] = [:]
    }

    private let state = NIOLockedValueBox(State())
    private let refused: Counter

    init(metrics: MetricsRegistry) {
        refused = metrics.counter("prices_not_kept_total", "Prices of more markets than are kept.")
    }

    /// - Returns: whether an entry waits for it.
    @discardableResult
    func note(_ price: PriceUpdate) -> Bool {
        let (isKept, isAwaited) = state.withLockedValue { state in
            if let known = state.latest[price.market], known.at > price.at { return (true, false) }
            if state.latest[price.market] == nil, state.latest.count >= Self.limit {
                state.latest = state.latest.filter { $0.value.at.duration(to: price.at) <= Self.life }
            }
            guard state.latest[price.market] != nil || state.latest.count < Self.limit else { return (false, false) }
            state.latest[price.market] = price
            guard let outcomes = state.awaited[price.market] else { return (true, false) }
            guard outcomes.contains(where: { price.ask(of: $0) != nil }) else { return (true, false) }
            state.awaited[price.market] = nil
            return (true, true)
        }
        if !isKept { refused.increment() }
        return isAwaited
    }

    /// An entry waits for a price of this: who notes the next one is told so, once.
    ///
    /// - Returns: whether none waited for it yet.
    func expect(_ market: MarketID, _ outcome: Outcome) -> Bool {
        state.withLockedValue { state in
            // What is beyond is found by the sweep.
            guard state.awaited[market] != nil || state.awaited.count < Self.limit else { return false }
            return state.awaited[market, default: []].insert(outcome).inserted
        }
    }

    /// The last price of a market unless it is stale.
    func fresh(_ market: MarketID, at now: VenueInstant) -> PriceUpdate? {
        state.withLockedValue { $0.latest[market] }.flatMap { $0.at.duration(to: now) <= Self.life ? $0 : nil }
    }
}

/// Reads what the account holds at the venue; what cannot be read grows old, and an old balance permits nothing
/// (CHECKLIST R88).
///
/// What is read is stored too, for whoever sizes the next intent (CHECKLIST N20).
final class BalanceReader: Sendable {
    private enum State {
        case unread
        case own
        case read(Money, at: MachineInstant, asked: Int64)
    }

    private let host: ServiceHost
    private let venue: any ExecutionVenue
    private let stored: VenueBalances
    private let state = NIOLockedValueBox(State.unread)

    init(host: ServiceHost, venue: any ExecutionVenue, account: TradingAccount) {
        self.host = host
        self.venue = venue
        stored = VenueBalances(account)
    }

    func run(every interval: Duration) async throws {
        while !Task.isCancelled {
            var pause = interval
            do {
                let began = host.clock.now
                // While the database is away nothing is bought: what the venue says is of use once it is there again.
                let asked = try await VenueBalances.now(host.database)
                let balance = try await venue.balance()
                state.withLockedValue { $0 = balance.map { .read($0, at: began, asked: asked) } ?? .own }
                if let balance { try await stored.record(balance, at: .kalshi, asked: asked, host.database) }
            } catch  where !Task.isCancelled {
                host.log.warning("balance not read", metadata: [Key.reason: "\(error)"])
                pause = min(interval, .seconds(1))
            }
            try await host.clock.sleep(for: pause)
        }
    }

    func reading(at now: MachineInstant) -> VenueReadings.Balance {
        switch state.withLockedValue({ $0 }) {
        case .unread: .unread
        case .own: .own
        case .read(let money, let at, let asked): .read(money, age: now.since(at), asked: asked)
        }
    }
}
