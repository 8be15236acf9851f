import Logging
import NIOConcurrencyHelpers
import Redis
import Resilience
import Runtime

/// A message that could not be decoded.
public struct DeadLetter: Hashable, Sendable, Codable {
    /// Wall time in microseconds since 1970.
    public let at: Int64
    /// The service that could not decode it, as in envelopes.
    public let reader: String
    public let channel: String
    public let reason: String
    /// The size of the message in bytes.
    public let size: Int
    /// The beginning of the payload, invalid UTF-8 repaired and secrets masked.
    public let payloadPrefix: String
}

/// The latest messages that could not be decoded: counted, kept for a person to read, and never fatal.
///
/// Kept twice: in the process, and as far as a rate allows in a capped stream of the server, where `linesman
/// dead-letters` reads them. Writing there cannot make a dead letter, and nothing waits for it.
final class DeadLetters: Sendable {
    private struct State {
        var kept: [DeadLetter] = []
        var limiter: RateLimiter
    }

    static let prefixLength = 256

    private let limit: Int
    private let source: String
    private let client: RedisClient
    private let clock: MachineClock
    private let wallClock: WallClock
    private let metrics: BusMetrics
    private let log: Logger
    private let heard: @Sendable (DeadLetter) -> Void
    private let state: NIOLockedValueBox<State>

    init(
        client: RedisClient, source: String, settings: BusSettings, clock: MachineClock, wallClock: WallClock,
        log: Logger, metrics: BusMetrics, heard: @escaping @Sendable (DeadLetter) -> Void = { _ in }
    ) {
        self.heard = heard
        self.client = client
        self.source = source
        limit = settings.deadLetterLimit
        self.clock = clock
        self.wallClock = wallClock
        self.log = log
        self.metrics = metrics
        state = NIOLockedValueBox(
            State(limiter: RateLimiter(perSecond: Double(settings.deadLettersPerSecond), burst: 20)))
    }

    var latest: [DeadLetter] { state.withLockedValue { $0.kept } }

    func add(channel: String, reason: String, payload: some Collection<UInt8>) {
        let prefix = String(decoding: Array(payload.prefix(Self.prefixLength)), as: UTF8.self)
        let letter = DeadLetter(
            at: wallClock.microseconds, reader: source, channel: channel,
            reason: SecretMask.masked(String(reason.prefix(Self.prefixLength))), size: payload.count,
            payloadPrefix: SecretMask.masked(prefix))
        let isWithinRate = state.withLockedValue { state in
            if state.kept.count >= limit { state.kept.removeFirst() }
            state.kept.append(letter)
            return state.limiter.take(at: clock.now)
        }
        metrics.deadLetters.increment()
        heard(letter)
        guard isWithinRate else { return metrics.deadLettersUnwritten.increment() }
        log.warning("dead letter", metadata: [Key.channel: "\(channel)", Key.reason: "\(letter.reason)"])
        client.enqueue(DeadLetterStream.append(letter)) { [metrics] result in
            if case .failure = result { metrics.deadLettersUnwritten.increment() }
        }
    }
}

/// The dead letters of all services, in one capped stream of the server.
public struct DeadLetterStream: Sendable {
    /// The newest are kept, about so many.
    public static let length = 1_000
    static let key = "bus:dead-letters"

    private let client: RedisClient

    public init(_ client: RedisClient) { self.client = client }

    /// The newest letters, newest last, and how many there are in all.
    ///
    /// Throws `RedisError`.
    public func read(limit: Int) async throws -> (letters: [DeadLetter], total: Int) {
        let total = try await client.send(["XLEN", .text(Self.key)]).integer ?? 0
        let entries = try await client.newest(of: Self.key, count: max(1, limit))
        return (entries.reversed().map(DeadLetter.init), Int(total))
    }

    /// Removes all of them.
    ///
    /// - Returns: how many there were.
    public func clear() async throws -> Int {
        let total = try await client.send(["XLEN", .text(Self.key)]).integer ?? 0
        try await client.delete(Self.key)
        return Int(total)
    }

    static func append(_ letter: DeadLetter) -> [RedisArgument] {
        [
            "XADD", .text(key), "MAXLEN", "~", RedisArgument(length), "*",
            "at", .integer(letter.at), "reader", .text(letter.reader), "channel", .text(letter.channel),
            "reason", .text(letter.reason), "size", RedisArgument(letter.size), "payload", .text(letter.payloadPrefix),
        ]
    }
}

extension DeadLetter {
    /// A field that is not there is empty: a person reads what there is.
    fileprivate init(_ entry: RedisStreamEntry) {
        func text(_ name: String) -> String { entry[name].map { String(decoding: $0, as: UTF8.self) } ?? "" }
        self.init(
            at: Int64(text("at")) ?? 0, reader: text("reader"), channel: text("channel"), reason: text("reason"),
            size: Int(text("size")) ?? 0, payloadPrefix: text("payload"))
    }
}

/// Hides what looks like a secret in text that a person will read.
enum SecretMask {
    /// Replaces what follows a telling key, and the password of an address.
    static func masked(_ text: String) -> String {
        let secret =
            #/
            ((?i: passw(?:or)?d | secret | token | api_?key | private_?key | authorization ) ["']? \s* [:=] \s* )
            (?: "[^"]*"? | '[^']*'? | (?: (?:Bearer|Basic) \s+ )? [^\s,;&}"']+ )
            /#
        return
            text
            .replacing(secret) { "\($0.output.1)<redacted>" }
            .replacing(#/:\/\/[^\/@\s"]*@/#, with: "://<redacted>@")
    }
}
