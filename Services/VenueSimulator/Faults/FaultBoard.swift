import Domain
import Resilience

/// What the simulator can do wrong on request.
enum FaultKind: String, Hashable, Sendable, Codable, CaseIterable {
    // Frames; the target is part of "type ticker", for example "orderbook_delta" or "KX…-CLE".
    /// The frame is not sent; its sequence number is gone.
    case drop
    /// The frame comes `delay_ms` later; one behind it that is not hit overtakes it.
    case delay
    /// Connections stay open and say nothing: no frame, no ping, no pong.
    case mute
    case duplicate
    /// The frame comes after the one behind it.
    case reorder
    /// A sequence number is left out without a frame being lost.
    case sequenceGap
    /// A frame that is not JSON comes first.
    case garbageFrame
    // Connections and requests; the target is part of "METHOD /path", or "websocket".
    /// WebSocket connections are closed at once (target "websocket" or none), or requests are cut off unanswered.
    case reset
    // Orders; the target is part of "POST /path".
    /// The order is not taken: 503.
    case refuse
    /// Nothing is done: 429, with `Retry-After` when `delay_ms` is given (whole seconds, rounded up).
    case rateLimit
    /// Nothing is done, and the answer is an error body with status 200.
    case wrongStatus
    /// The order is taken, and the connection closed instead of an answer.
    case lostAcknowledgement
    /// Nothing is done and no answer comes.
    case hang
    /// The scoreboard answers 503.
    case scoreFeedDown
    /// The answer comes `delay_ms` later.
    case slowHTTP
    /// Every `field` of the answer, which is right otherwise, has the text `value`.
    case spoil

    /// Whether it lasts until it expires or is deleted, when no count was given.
    var isLasting: Bool { self == .mute || self == .scoreFeedDown }
}

/// A fault as it was asked for, in JSON with underscores: `for_venue_seconds`, `delay_ms`.
struct FaultOrder: Hashable, Sendable, Codable {
    var kind: FaultKind
    /// A part of the subject; nil or empty hits all.
    var target: String?
    /// How often it strikes; with neither this, a probability nor a time, once.
    var count: Int?
    /// The chance of each strike, 0 to 1.
    var probability: Double?
    /// How long it lasts, venue time.
    var forVenueSeconds: Double?
    var seed: UInt64?
    /// For `spoil`: a key anywhere in the answer, and what stands there instead.
    var field: String?
    var value: String?
    /// Machine time, for `delay` and `slowHTTP` (default 200), and what `rateLimit` asks for; 0 to 60,000.
    var delayMs: Int?

    /// Why it makes no sense, or nil.
    var problem: String? {
        if let count, count < 1 { return "count must be 1 or more" }
        if let probability, !(probability > 0 && probability <= 1) { return "probability must be above 0, up to 1" }
        if let seconds = forVenueSeconds, !(seconds > 0 && seconds <= 1e6) {
            return "for_venue_seconds must be above 0, up to 1000000"
        }
        if let delay = delayMs, !(0...60_000).contains(delay) { return "delay_ms must be 0 to 60000" }
        if kind == .spoil, (field ?? "").isEmpty || value == nil { return "spoil needs a field and a value" }
        return nil
    }
}

/// What a test makes the account differ by from what its client knows.
struct PlantOrder: Hashable, Sendable, Codable {
    var market: String?
    /// Of YES; with a sign.
    var contracts: String?
    /// In dollars; with a sign.
    var cash: String?
}

/// The faults that are armed, and how often each kind has struck.
///
/// Pure: chance comes from the fault's own seed.
struct FaultBoard: Sendable {
    struct Armed: Sendable {
        let id: Int
        let order: FaultOrder
        let expires: VenueInstant?
        var left: Int?
        var struck = 0
        var generator: SeededGenerator
    }

    private(set) var armed: [Armed] = []
    private(set) var struck: [FaultKind: Int] = [:]
    private var lastID = 0

    mutating func arm(_ order: FaultOrder, at now: VenueInstant) -> Int {
        lastID += 1
        let isUnbounded = order.count == nil && order.probability == nil && order.forVenueSeconds == nil
        armed.append(
            Armed(
                id: lastID, order: order,
                expires: order.forVenueSeconds.map { now.advanced(by: .microseconds(Int64($0 * 1e6))) },
                left: order.count ?? (isUnbounded && !order.kind.isLasting ? 1 : nil),
                generator: SeededGenerator(seed: order.seed ?? UInt64(lastID))))
        return lastID
    }

    /// - Returns: whether there was such a fault.
    mutating func disarm(_ id: Int) -> Bool {
        let before = armed.count
        armed.removeAll { $0.id == id }
        return armed.count < before
    }

    mutating func disarmAll() { armed = [] }

    /// Looks whether a fault of this kind hits the subject now, and counts it.
    ///
    /// - Returns: what was asked for; nil when nothing hits.
    mutating func strike(_ kind: FaultKind, _ subject: String, at now: VenueInstant) -> FaultOrder? {
        if armed.isEmpty { return nil }
        armed.removeAll { $0.left == 0 || ($0.expires.map { $0 <= now } ?? false) }
        for index in armed.indices where armed[index].order.kind == kind {
            if let target = armed[index].order.target, !target.isEmpty, !subject.contains(target) { continue }
            if let probability = armed[index].order.probability,
                Double.random(in: 0..<1, using: &armed[index].generator) >= probability
            {
                continue
            }
            armed[index].struck += 1
            if let left = armed[index].left { armed[index].left = left - 1 }
            struck[kind, default: 0] += 1
            return armed[index].order
        }
        return nil
    }
}
