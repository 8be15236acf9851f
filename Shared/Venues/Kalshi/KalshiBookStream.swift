import Domain
import Resilience

/// Follows the order books of one Kalshi connection: what to subscribe, which books stand, and when they do not.
///
/// Pure: frames and machine instants in, effects out. The venue numbers the frames of a stream (`sid`) over all its
/// markets (WIRE 1.5), so one missing number invalidates every book of the stream, and the way back is a new stream:
/// unsubscribe and subscribe. One update is under way at a time. Legal states of the stream:
/// `none -> subscribing -> live -> none`, and `none` from anywhere on a disconnect.
public struct KalshiBookStream: Sendable {
    public enum Effect: Hashable, Sendable {
        case send(KalshiCommand)
        /// The book of this market changed and stands in `books`; no instant when the frame carried none.
        case changed(MarketID, at: VenueInstant?)
        case invalidated([MarketID], Invalidation)
        case trade(KalshiTrade)
        case lifecycle(KalshiLifecycle)
        /// This connection is of no more use.
        case reconnect(FeedFailure.Code)
    }

    /// What was seen and is worth counting.
    public enum Count: String, Hashable, Sendable, CaseIterable {
        case gap
        case duplicate
        case otherStream = "other_stream"
        case deltaWithoutBook = "delta_without_book"
        case resync
        case unknownType = "unknown_type"
        case tradeGap = "trade_gap"
    }

    enum Stream: Hashable, Sendable {
        case none
        case subscribing(id: Int64, markets: [MarketID], since: MachineInstant)
        /// `next` is the sequence number that must come; nil before the first.
        case live(sid: Int64, next: Int64?)
    }

    enum Update: Hashable, Sendable {
        case add([MarketID])
        case delete([MarketID])
    }

    static let channel = "orderbook_delta"
    /// What was asked for so long ago, and of which later frames come, has lost its first one: the venue answers in
    /// order.
    static let beginning = Duration.seconds(1)

    public private(set) var books: [MarketID: OrderBook] = [:]
    public private(set) var counts: [Count: Int] = [:]
    /// By the venue's code, 0 to 99; anything else counts as -1.
    public private(set) var venueErrors: [Int64: Int] = [:]
    /// Markets that the venue would not serve on this connection.
    public private(set) var refused: Set<MarketID> = []
    /// Whether a book has stood on this connection.
    public private(set) var hasServed = false

    private let notices: [String]
    private let commandTimeout: Duration
    private let snapshotTimeout: Duration
    private var resyncs: RestartIntensity
    private var desired: Set<MarketID> = []
    private var subscribed: Set<MarketID> = []
    private var stream: Stream = .none
    private var pending: (id: Int64, update: Update, since: MachineInstant)?
    private var awaited: [MarketID: MachineInstant] = [:]
    /// Streams of this connection that are of no more use.
    private var left: Set<Int64> = []
    /// Markets whose snapshot did not come once already.
    private var late: Set<MarketID> = []
    private var noticeIDs: [Int64: String] = [:]
    private var noticeStreams: [Int64: Int64?] = [:]
    private var tradeMarkets: Set<MarketID> = []
    private var asksSingly = false
    private var isConnected = false
    private var lastID: Int64 = 0

    /// - Parameters:
    ///   - notices: channels beside the books, `trade` and `market_lifecycle_v2`.
    ///   - commandTimeout: how long an answer to a command may take.
    ///   - snapshotTimeout: how long the snapshot of a subscribed market may take.
    ///   - resyncs: more of them than this, and the connection is given up.
    public init(
        notices: [String] = [], commandTimeout: Duration = .seconds(10), snapshotTimeout: Duration = .seconds(10),
        resyncs: RestartIntensity = RestartIntensity(atMost: 5, within: .seconds(60))
    ) {
        self.notices = notices
        self.commandTimeout = commandTimeout
        self.snapshotTimeout = snapshotTimeout
        self.resyncs = resyncs
    }

    var state: Stream { stream }

    // MARK: Events

    public mutating func setMarkets(_ markets: Set<MarketID>, at now: MachineInstant) -> [Effect] {
        desired = markets
        refused.formIntersection(markets)
        for market in books.keys where !markets.contains(market) { books[market] = nil }
        return reconcile(at: now)
    }

    public mutating func connected(at now: MachineInstant) -> [Effect] {
        forget()
        isConnected = true
        hasServed = false
        refused = []
        late = []
        asksSingly = false
        var effects: [Effect] = []
        for channel in notices where channel != "trade" {
            let id = nextID()
            noticeIDs[id] = channel
            effects.append(.send(.subscribe(id: id, channel: channel, markets: [])))
        }
        return effects + reconcile(at: now)
    }

    public mutating func disconnected() -> [Effect] {
        isConnected = false
        let lost = books.keys.sorted()
        forget()
        return lost.isEmpty ? [] : [.invalidated(lost, .disconnected)]
    }

    public mutating func handle(_ frame: KalshiFrame, at now: MachineInstant) -> [Effect] {
        switch frame {
        case .subscribed(let id, let channel, let sid):
            return subscribed(id, channel, sid, at: now)
        case .acknowledged(let id, let sid, let sequence, _):
            return advance(sid, sequence, at: now) { $0.acknowledged(id, at: now) }
        case .unsubscribed(_, let sid, let sequence):
            return advance(sid, sequence, at: now) { _ in [] }
        case .snapshot(let sid, let sequence, let market, let book):
            if let again = unanswered(sid, at: now) { return again }
            return advance(sid, sequence, at: now) { $0.snapshot(market, book) }
        case .delta(let sid, let sequence, let delta):
            if let again = unanswered(sid, at: now) { return again }
            return advance(sid, sequence, at: now) { $0.apply(delta, at: now) }
        case .trade(let sid, let sequence, let trade):
            follow(sid, sequence)
            return [.trade(trade)]
        case .lifecycle(_, let lifecycle):
            return desired.contains(lifecycle.market) ? [.lifecycle(lifecycle)] : []
        case .ticker, .fill:
            return []
        case .error(let id, let code, _):
            return venueError(id, code, at: now)
        case .other(_, let sid, let sequence):
            count(.unknownType)
            guard let sid, let sequence else { return [] }
            return advance(sid, sequence, at: now) { _ in [] }
        }
    }

    /// A frame could not be decoded: if it may have belonged to the books, they cannot be trusted any more.
    public mutating func undecodable(_ error: KalshiFrameError, at now: MachineInstant) -> [Effect] {
        switch error.type {
        case "ticker", "trade", "fill", "market_lifecycle_v2": []
        default: resync(.malformedFrame, at: now)
        }
    }

    /// Looks for answers that did not come.
    public mutating func tick(at now: MachineInstant) -> [Effect] {
        guard isConnected else { return [] }
        if case .subscribing(_, _, let since) = stream, now.since(since) >= commandTimeout {
            return [.reconnect(.commandTimeout)]
        }
        if let pending, now.since(pending.since) >= commandTimeout { return [.reconnect(.commandTimeout)] }
        let missing = awaited.filter { now.since($0.value) >= snapshotTimeout }.keys.sorted()
        guard !missing.isEmpty else { return [] }
        let again = missing.filter { late.contains($0) }
        late.formUnion(missing)
        guard again.isEmpty else { return refuse(again, at: now) }
        return resync(.snapshotMissing, at: now)
    }

    // MARK: Subscriptions

    /// Brings what is subscribed closer to what is desired, one command at a time.
    private mutating func reconcile(at now: MachineInstant) -> [Effect] {
        guard isConnected, pending == nil else { return [] }
        let wanted = desired.subtracting(refused)
        var missing = wanted.subtracting(subscribed).sorted()
        if asksSingly { missing = Array(missing.prefix(1)) }
        switch stream {
        case .subscribing:
            return []
        case .none:
            guard !missing.isEmpty else { return [] }
            let id = nextID()
            stream = .subscribing(id: id, markets: missing, since: now)
            return [.send(.subscribe(id: id, channel: Self.channel, markets: missing))] + trades(missing)
        case .live(let sid, _):
            let extra = subscribed.subtracting(wanted).sorted()
            if !missing.isEmpty {
                let id = nextID()
                pending = (id, .add(missing), now)
                return [.send(.addMarkets(id: id, sid: sid, markets: missing))] + trades(missing)
            }
            guard !extra.isEmpty else { return [] }
            if extra.count == subscribed.count { return leave(sid) }
            let id = nextID()
            pending = (id, .delete(extra), now)
            return [.send(.deleteMarkets(id: id, sid: sid, markets: extra))]
        }
    }

    private mutating func leave(_ sid: Int64) -> [Effect] {
        stream = .none
        left.insert(sid)
        subscribed = []
        awaited = [:]
        return [.send(.unsubscribe(id: nextID(), sid: sid))]
    }

    /// Asks for the public trades of markets that were not asked for yet; they only inform, so nothing depends on it.
    private mutating func trades(_ markets: [MarketID]) -> [Effect] {
        guard notices.contains("trade") else { return [] }
        let new = markets.filter { tradeMarkets.insert($0).inserted }
        guard !new.isEmpty else { return [] }
        let id = nextID()
        noticeIDs[id] = "trade"
        return [.send(.subscribe(id: id, channel: "trade", markets: new))]
    }

    private mutating func subscribed(
        _ id: Int64?, _ channel: String, _ sid: Int64, at now: MachineInstant
    ) -> [Effect] {
        guard channel == Self.channel else {
            noticeStreams[sid] = .some(nil)
            return []
        }
        guard case .subscribing(let asked, let markets, _) = stream, id == nil || id == asked else { return [] }
        stream = .live(sid: sid, next: nil)
        subscribed = Set(markets)
        for market in markets { awaited[market] = now }
        return reconcile(at: now)
    }

    private mutating func acknowledged(_ id: Int64?, at now: MachineInstant) -> [Effect] {
        guard let pending, id == pending.id else { return [] }
        self.pending = nil
        switch pending.update {
        case .add(let markets):
            subscribed.formUnion(markets)
            for market in markets where books[market] == nil { awaited[market] = now }
        case .delete(let markets):
            subscribed.subtract(markets)
            for market in markets {
                books[market] = nil
                awaited[market] = nil
            }
        }
        return reconcile(at: now)
    }

    private mutating func venueError(_ id: Int64?, _ code: Int64, at now: MachineInstant) -> [Effect] {
        venueErrors[(0...99).contains(code) ? code : -1, default: 0] += 1
        if let id, noticeIDs.removeValue(forKey: id) != nil { return [] }
        if code == 9 { return [.reconnect(.authentication)] }
        let asked: [MarketID]
        if case .subscribing(let subscribing, let markets, _) = stream, id == subscribing {
            stream = .none
            asked = markets
        } else if let pending, id == pending.id {
            self.pending = nil
            guard case .add(let markets) = pending.update else { return [.reconnect(.commandRefused)] }
            asked = markets
        } else {
            return []
        }
        switch code {
        case 7: return resync(.unknownStream, at: now)
        case 2, 3, 11, 14, 16:
            if asked.count == 1 { return refuse(asked, at: now) }
            asksSingly = true
            return reconcile(at: now)
        default: return [.reconnect(.commandRefused)]
        }
    }

    /// Gives markets up for this connection, or until they are no longer asked for.
    private mutating func refuse(_ markets: [MarketID], at now: MachineInstant) -> [Effect] {
        refused.formUnion(markets)
        for market in markets {
            books[market] = nil
            awaited[market] = nil
        }
        return [.invalidated(markets, .refused)] + reconcile(at: now)
    }

    /// A stream that we asked for and whose beginning was lost is asked for anew, rather than waited for.
    ///
    /// - Returns: nil for any other frame.
    private mutating func unanswered(_ sid: Int64, at now: MachineInstant) -> [Effect]? {
        guard case .subscribing(_, _, let since) = stream, now.since(since) >= Self.beginning,
            noticeStreams[sid] == nil, left.insert(sid).inserted
        else { return nil }
        count(.otherStream)
        return [.send(.unsubscribe(id: nextID(), sid: sid))] + resync(.snapshotMissing, at: now)
    }

    // MARK: Books

    /// Checks the number of a frame of the books' stream, then does what the frame says.
    private mutating func advance(
        _ sid: Int64, _ sequence: Int64?, at now: MachineInstant,
        _ body: (inout KalshiBookStream) -> [Effect]
    ) -> [Effect] {
        guard case .live(sid, let next) = stream else {
            if noticeStreams[sid] == nil { count(.otherStream) } else { follow(sid, sequence) }
            return []
        }
        if let sequence {
            if let next, sequence < next {
                count(.duplicate)
                return []
            }
            if let next, sequence > next {
                count(.gap)
                return resync(.sequenceGap, at: now)
            }
            stream = .live(sid: sid, next: sequence < .max ? sequence + 1 : sequence)
        }
        return body(&self)
    }

    private mutating func snapshot(_ market: MarketID, _ book: OrderBook) -> [Effect] {
        guard desired.contains(market) else { return [] }
        books[market] = book
        hasServed = true
        awaited[market] = nil
        late.remove(market)
        return [.changed(market, at: nil)]
    }

    private mutating func apply(_ delta: KalshiDelta, at now: MachineInstant) -> [Effect] {
        do {
            let known: Void? = try books[delta.market]?.apply(
                delta.hundredths, to: delta.outcome, at: delta.price)
            guard known != nil else {
                count(.deltaWithoutBook)
                let isLost = awaited[delta.market].map { now.since($0) >= Self.beginning } ?? false
                return isLost ? resync(.snapshotMissing, at: now) : []
            }
        } catch {
            return resync(.corruptBook, at: now)
        }
        return [.changed(delta.market, at: delta.at)]
    }

    /// Drops every book of the stream and asks for new ones on a new stream.
    private mutating func resync(_ reason: Invalidation, at now: MachineInstant) -> [Effect] {
        count(.resync)
        var effects: [Effect] = []
        let lost = books.keys.sorted()
        if !lost.isEmpty { effects.append(.invalidated(lost, reason)) }
        books = [:]
        if case .live(let sid, _) = stream { effects += leave(sid) }
        stream = .none
        subscribed = []
        awaited = [:]
        pending = nil
        guard resyncs.permits(at: now) else { return effects + [.reconnect(.resyncStorm)] }
        return effects + reconcile(at: now)
    }

    /// Notices a gap in a stream of notices; nothing is done about it but counting.
    private mutating func follow(_ sid: Int64, _ sequence: Int64?) {
        guard let sequence, let expected = noticeStreams[sid] else { return }
        if let expected, sequence > expected { count(.tradeGap) }
        noticeStreams[sid] = .some(sequence < .max ? sequence + 1 : sequence)
    }

    private mutating func forget() {
        books = [:]
        stream = .none
        subscribed = []
        awaited = [:]
        pending = nil
        left = []
        noticeIDs = [:]
        noticeStreams = [:]
        tradeMarkets = []
    }

    private mutating func nextID() -> Int64 {
        lastID += 1
        return lastID
    }

    private mutating func count(_ what: Count) {
        counts[what, default: 0] += 1
    }
}
