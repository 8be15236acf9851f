import Domain
import NIOCore
import Resilience

/// One connection's decoding and bookkeeping: frames in, a batch of events out.
struct KalshiFeedSession {
    var stream: KalshiBookStream
    private let time: VenueTime
    private var decoder = KalshiFrameDecoder()
    private var events: [MarketEvent] = []
    /// Books that changed since the last batch; the newest state of each is handed out once.
    private var changed: [MarketID: VenueInstant] = [:]
    private var confirmed: VenueInstant?
    private var arrived: VenueInstant?
    private var frames = 0
    private var errors: [String: Int] = [:]
    private var counted: [KalshiBookStream.Count: Int] = [:]
    private var countedVenueErrors: [Int64: Int] = [:]

    init(stream: KalshiBookStream, time: VenueTime) {
        self.stream = stream
        self.time = time
    }

    mutating func decode(_ buffer: ByteBuffer, at now: MachineInstant) -> [KalshiBookStream.Effect] {
        frames += 1
        let decoded = buffer.withUnsafeReadableBytes { bytes in
            Result { () throws(KalshiFrameError) in try decoder.decode(bytes) }
        }
        switch decoded {
        case .success(let frame):
            if let at = frame.at {
                time.observe(at)
            }
            return stream.handle(frame, at: now)
        case .failure(let error):
            errors["frame_" + error.code.rawValue, default: 0] += 1
            return stream.undecodable(error, at: now)
        }
    }

    /// A PING of that moment was answered.
    mutating func answered(at instant: VenueInstant) {
        confirm(at: instant)
        arrived = max(arrived ?? instant, instant)
    }

    mutating func confirm(at instant: VenueInstant) {
        confirmed = max(confirmed ?? instant, instant)
    }

    mutating func note(_ effect: KalshiBookStream.Effect) {
        switch effect {
        case .changed(let market, let at):
            let at = at ?? time.now
            changed[market] = max(changed[market] ?? at, at)
        case .invalidated(let markets, let reason):
            for market in markets { changed[market] = nil }
            events.append(.invalidated(markets, reason))
        case .trade(let trade): events.append(.trade(trade))
        case .lifecycle(let lifecycle): events.append(.lifecycle(lifecycle))
        case .send, .reconnect: break
        }
    }

    /// The events since the last call, and how often what went wrong.
    mutating func take() -> (events: [MarketEvent], errors: [String: Int]) {
        var newest: VenueInstant?
        for (market, at) in changed.sorted(by: { $0.key < $1.key }) {
            guard let book = stream.books[market] else { continue }
            events.append(.book(market, book, at: at))
            newest = max(newest ?? at, at)
        }
        // The stream is numbered without a gap, so a change of one market says that nothing else was missed.
        if let newest { confirm(at: newest) }
        if let confirmed, !stream.books.isEmpty { events.append(.confirmed(at: confirmed)) }
        if let arrived { events.append(.arrived(upTo: arrived)) }
        for (what, total) in stream.counts where total > counted[what, default: 0] {
            errors[what.rawValue, default: 0] += total - counted[what, default: 0]
        }
        for (code, total) in stream.venueErrors where total > countedVenueErrors[code, default: 0] {
            errors["venue_\(code)", default: 0] += total - countedVenueErrors[code, default: 0]
        }
        counted = stream.counts
        countedVenueErrors = stream.venueErrors
        defer {
            events = []
            errors = [:]
            changed = [:]
            confirmed = nil
            arrived = nil
        }
        return (events, errors)
    }

    mutating func takeFrames() -> Int {
        defer { frames = 0 }
        return frames
    }
}

extension KalshiFrame {
    /// The venue time that the frame carries.
    var at: VenueInstant? {
        switch self {
        case .delta(_, _, let delta): delta.at
        case .ticker(_, let ticker): ticker.at
        case .trade(_, _, let trade): trade.at
        case .lifecycle(_, let lifecycle): lifecycle.at
        case .fill(_, let fill): fill.at
        case .subscribed, .acknowledged, .unsubscribed, .snapshot, .error, .other: nil
        }
    }
}
