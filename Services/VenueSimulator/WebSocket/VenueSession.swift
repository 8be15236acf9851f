import Domain

/// The channels that the simulator serves.
enum FrameChannel: String, Hashable, Sendable, CaseIterable {
    case orderbookDelta = "orderbook_delta"
    case ticker
    case trade
    case fill
    case marketLifecycle = "market_lifecycle_v2"

    /// Whether a subscription without markets is an error; else it means all of them.
    var needsMarkets: Bool { self == .orderbookDelta }
    /// Whether its frames carry a sequence number (WIRE 1.5).
    var isSequenced: Bool { self == .orderbookDelta || self == .trade }
}

/// One subscription of a connection: a channel, its markets, and the last sequence number it used.
///
/// Invariant: numbers are contiguous from 1 over everything sent on the sid, acknowledgements included.
struct Subscription: Hashable, Sendable {
    let sid: Int
    let channel: FrameChannel
    /// Nil means every market.
    var markets: Set<MarketID>?
    private(set) var sequence: Int64 = 0

    init(sid: Int, channel: FrameChannel, markets: Set<MarketID>?) {
        self.sid = sid
        self.channel = channel
        self.markets = markets
    }

    func covers(_ market: MarketID) -> Bool { markets?.contains(market) ?? true }

    mutating func next() -> Int64 {
        sequence += 1
        return sequence
    }

    /// Uses up numbers without sending them: an injected gap.
    mutating func skip(_ count: Int64) { sequence += count }
}

/// A frame as it goes out, with what faults and statistics want to know of it.
struct OutgoingFrame: Hashable, Sendable {
    /// The `type` of the frame.
    let kind: String
    let text: String
}

/// What one WebSocket connection has subscribed to: commands in, frames out.
///
/// Pure.
struct VenueSession: Sendable {
    private(set) var subscriptions: [Int: Subscription] = [:]
    private var lastSID = 0

    var sorted: [Subscription] { subscriptions.values.sorted { $0.sid < $1.sid } }

    /// Carries out a command and returns its answers.
    mutating func handle(
        _ command: Result<SocketCommand, SocketError>, in exchange: SimulatedExchange
    ) -> [OutgoingFrame] {
        let accepted: SocketCommand
        switch command {
        case .success(let command): accepted = command
        case .failure(let error): return [KalshiFrames.error(error)]
        }
        let result: Result<[OutgoingFrame], SocketError>
        switch accepted.kind {
        case .subscribe(let channels, let markets): result = subscribe(accepted.id, channels, markets, exchange)
        case .unsubscribe(let sids): result = unsubscribe(accepted.id, sids)
        case .update(let sid, let action, let markets): result = update(accepted.id, sid, action, markets, exchange)
        case .list: result = .success([KalshiFrames.list(accepted.id, sorted)])
        }
        switch result {
        case .success(let frames): return frames
        case .failure(let error): return [KalshiFrames.error(error)]
        }
    }

    /// The frames of this session for what the exchange published.
    mutating func publish(_ event: ExchangeEvent, in exchange: SimulatedExchange) -> [OutgoingFrame] {
        let (channel, market): (FrameChannel, MarketID) =
            switch event {
            case .delta(let market, _, _, _, _): (.orderbookDelta, market)
            case .trade(let trade): (.trade, trade.market)
            case .fill(let fill): (.fill, fill.market)
            case .ticker(let market): (.ticker, market)
            case .lifecycle(let market, _): (.marketLifecycle, market)
            }
        var frames: [OutgoingFrame] = []
        for subscription in sorted where subscription.channel == channel && subscription.covers(market) {
            let sequence = channel.isSequenced ? subscriptions[subscription.sid]?.next() : nil
            frames.append(KalshiFrames.event(event, sid: subscription.sid, sequence: sequence, in: exchange))
        }
        return frames
    }

    /// Leaves out sequence numbers on every sequenced subscription.
    mutating func skipSequence(_ count: Int64) {
        for sid in subscriptions.keys where subscriptions[sid]?.channel.isSequenced ?? false {
            subscriptions[sid]?.skip(count)
        }
    }

    private mutating func subscribe(
        _ id: Int64, _ channels: [FrameChannel], _ markets: [MarketID], _ exchange: SimulatedExchange
    ) -> Result<[OutgoingFrame], SocketError> {
        if let unknown = markets.first(where: { exchange.markets[$0] == nil }) {
            return .failure(SocketError(id, .marketNotFound, "Market not found: \(unknown)"))
        }
        if markets.isEmpty, channels.contains(where: \.needsMarkets) {
            return .failure(SocketError(id, .marketTickerRequired))
        }
        var frames: [OutgoingFrame] = []
        for channel in channels {
            if let existing = sorted.first(where: { $0.channel == channel }) {
                frames += add(id, existing.sid, markets, exchange)
                continue
            }
            lastSID += 1
            subscriptions[lastSID] = Subscription(
                sid: lastSID, channel: channel, markets: markets.isEmpty ? nil : Set(markets))
            frames.append(KalshiFrames.subscribed(id, channel, sid: lastSID))
            if channel == .orderbookDelta { frames += snapshots(lastSID, Set(markets).sorted(), exchange) }
        }
        return .success(frames)
    }

    private mutating func unsubscribe(_ id: Int64, _ sids: [Int]) -> Result<[OutgoingFrame], SocketError> {
        if sids.contains(where: { subscriptions[$0] == nil }) {
            return .failure(SocketError(id, .unknownSubscription))
        }
        var frames: [OutgoingFrame] = []
        for sid in sids {
            guard var subscription = subscriptions.removeValue(forKey: sid) else { continue }
            frames.append(KalshiFrames.unsubscribed(id, sid: sid, sequence: subscription.next()))
        }
        return .success(frames)
    }

    private mutating func update(
        _ id: Int64, _ sid: Int, _ action: SocketCommand.Update, _ markets: [MarketID], _ exchange: SimulatedExchange
    ) -> Result<[OutgoingFrame], SocketError> {
        guard let subscription = subscriptions[sid] else { return .failure(SocketError(id, .unknownSubscription)) }
        if let unknown = markets.first(where: { exchange.markets[$0] == nil }) {
            return .failure(SocketError(id, .marketNotFound, "Market not found: \(unknown)"))
        }
        switch action {
        case .addMarkets:
            return .success(add(id, sid, markets, exchange))
        case .deleteMarkets:
            let all = subscription.markets ?? Set(exchange.markets.keys)
            subscriptions[sid]?.markets = all.subtracting(markets)
            return .success([acknowledge(id, sid)])
        case .getSnapshot:
            guard subscription.channel == .orderbookDelta else {
                return .failure(SocketError(id, .unsupportedAction))
            }
            let wanted = markets.isEmpty ? (subscription.markets ?? []).sorted() : markets.filter(subscription.covers)
            return .success([acknowledge(id, sid)] + snapshots(sid, wanted, exchange))
        }
    }

    /// Adds markets; those already there give no snapshot again (WIRE 1.5).
    private mutating func add(
        _ id: Int64, _ sid: Int, _ markets: [MarketID], _ exchange: SimulatedExchange
    ) -> [OutgoingFrame] {
        let known = subscriptions[sid]?.markets
        let added = Set(markets).subtracting(known ?? Set(exchange.markets.keys)).sorted()
        if let known { subscriptions[sid]?.markets = markets.isEmpty ? nil : known.union(markets) }
        var frames = [acknowledge(id, sid)]
        if subscriptions[sid]?.channel == .orderbookDelta { frames += snapshots(sid, added, exchange) }
        return frames
    }

    private mutating func acknowledge(_ id: Int64, _ sid: Int) -> OutgoingFrame {
        KalshiFrames.acknowledged(
            id, sid: sid, sequence: subscriptions[sid]?.next() ?? 0,
            markets: (subscriptions[sid]?.markets ?? []).sorted())
    }

    private mutating func snapshots(
        _ sid: Int, _ markets: [MarketID], _ exchange: SimulatedExchange
    ) -> [OutgoingFrame] {
        markets.map {
            KalshiFrames.snapshot($0, sid: sid, sequence: subscriptions[sid]?.next() ?? 0, in: exchange)
        }
    }
}
