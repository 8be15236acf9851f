import Domain
import Foundation
import Logging
import Redis
import Resilience
import Runtime
import Testing
import Wire

@testable import Bus

@Suite struct EnvelopeTests {
    private struct Anything: WireMessage, Hashable {
        static let type = "anything"
        static let version = 3
        var text: String
        var number: Double?
        var list: [Int] = []
    }

    private static func letters(_ metrics: BusMetrics = BusMetrics(MetricsRegistry())) -> DeadLetters {
        let client = RedisClient(
            settings: RedisSettings(SettingsReader(environment: [:])), name: "none", clock: .real, random: .seeded(1),
            log: LogCapture().logger(), metrics: MetricsRegistry())
        return DeadLetters(
            client: client, source: "test/1", settings: BusSettings(), clock: .real, wallClock: .fixed(5),
            log: LogCapture().logger(), metrics: metrics)
    }

    private static func encoder(_ source: String = "game-shard/shard-01") -> EnvelopeEncoder {
        EnvelopeEncoder(
            identity: BusIdentity(source: source, incarnation: "0b8f"), wallClock: .fixed(1_776_726_799_000_000))
    }

    @Test func `the bytes of an envelope never change`() throws {
        let rules = try Self.encoder().draft(RulesChanged(), trace: "trace-1").payload(sequence: 7)
        #expect(
            String(decoding: rules, as: UTF8.self)
                == #"{"source":"game-shard/shard-01","incarnation":"0b8f","seq":7,"trace":"trace-1","#
                + #""sent_at":1776726799000000,"type":"rules_changed","v":1,"body":{}}"#)
        let mark = try Self.encoder().draft(SequenceMark(lost: 2, age: 9), trace: nil).payload(sequence: .max)
        let text = String(decoding: mark, as: UTF8.self)
        #expect(text.hasPrefix(#"{"source":"game-shard/shard-01","incarnation":"0b8f","seq":9223372036854775807,"#))
        #expect(text.contains(#","sent_at":1776726799000000,"type":"sequence_mark","v":1,"body":{"#))
        #expect(!text.contains("trace"))
    }

    @Test func `a source with any characters is escaped so that Foundation reads it back`() throws {
        for source in ["a\"b\\c", "tab\tline\nnull\u{0}end\u{1F}", "ü–漢🎈", "</script>", "", "\u{2028}\u{7F}"] {
            let payload = try Self.encoder(source).draft(Anything(text: source), trace: nil).payload(sequence: 1)
            let decoded = try JSONDecoder().decode(Envelope<Anything>.self, from: Data(payload))
            #expect(decoded.source == source)
            #expect(decoded.body.text == source)
            #expect(decoded.version == 3)
        }
    }

    @Test func `what cannot be JSON is refused by name`() {
        let error = #expect(throws: BusError.self) {
            try Self.encoder().draft(Anything(text: "", number: .nan), trace: nil)
        }
        #expect(error?.code == .notEncodable)
    }

    @Test func `our own layout is read by hand, any other by Foundation, with one result`() throws {
        let message = Anything(text: "}{\"\\,\"body\":", number: 0.5, list: [1, -2])
        let payload = try Self.encoder().draft(message, trace: "t").payload(sequence: 42)
        let layout = try #require(EnvelopeLayout(Data(payload)))
        #expect(layout.sequence == 42 && layout.trace == "t" && layout.type == "anything" && layout.version == 3)
        // A slice does not begin at 0.
        let slice = (Data([1, 2, 3]) + Data(payload)).dropFirst(3)
        #expect(EnvelopeLayout(slice)?.body == (layout.body.lowerBound + 3)..<(layout.body.upperBound + 3))
        let other = JSONEncoder()
        other.outputFormatting = [.prettyPrinted, .sortedKeys]
        let envelope = try JSONDecoder().decode(Envelope<Anything>.self, from: Data(payload))
        let pretty = [UInt8](try other.encode(envelope))
        #expect(EnvelopeLayout(Data(pretty)) == nil)
        let decoder = EnvelopeDecoder<Anything>(deadLetters: Self.letters())
        for bytes in [payload, pretty] {
            guard case .message(let read)? = decoder.decode(bytes, channel: "c") else {
                Issue.record("not decoded: \(String(decoding: bytes, as: UTF8.self))")
                continue
            }
            #expect(read.body == message && read.sequence == 42 && read.source == "game-shard/shard-01")
            #expect(read.trace == "t" && read.sentAt == 1_776_726_799_000_000 && read.incarnation == "0b8f")
        }
    }

    @Test func `whatever the bytes, the decoder agrees with Foundation`() throws {
        try Self.agree(on: Anything(text: "x", number: 1, list: [3]))
    }

    @Test func `whatever the bytes, what is read by hand agrees with Foundation`() throws {
        let at = VenueInstant.epoch.advanced(by: .seconds(1_776_726_799))
        let level = try BookLevel(price: .cents(79), quantity: .contracts(40))
        try Self.agree(on: PriceUpdate(game: "g1", market: "KX-1", yesBid: level, yesAsk: level, at: at))
        try Self.agree(
            on: SignalMessage(
                signal: try Signal(
                    id: "0b8f-1", kind: .modelEdgeYes, game: "g1", sport: .nba, market: "KX-1", venue: .kalshi,
                    epoch: Epoch(3), shard: "shard-01", outcome: .yes, probability: Probability(0.86),
                    price: .cents(80), available: .contracts(40), edgeBasisPoints: 488, play: "p-1", createdAt: at,
                    expiresAt: at.advanced(by: .seconds(60)))))
        try Self.agree(
            on: IntentHint(
                intent: try ApprovedIntent(
                    id: "9ab2", signal: "0b8f-1", reservation: "9ab2", game: "g1", sport: .nba, market: "KX-1",
                    venue: .kalshi, epoch: Epoch(3), outcome: .yes, action: .buy, limit: .cents(80),
                    quantity: .contracts(12), expiresAt: at)))
        try Self.agree(
            on: OrderUpdate(
                order: "3f1c", intent: "9ab2", game: "g1", market: "KX-1", outcome: .yes, action: .buy,
                limit: .cents(80), quantity: .contracts(12), filled: .contracts(12), averagePrice: .cents(80),
                fees: Money(dollars: "0.134400"), state: .filled, reason: "none"))
    }

    /// Damages good envelopes and compares with what Foundation makes of the same bytes.
    private static func agree<M: WireMessage & Equatable>(on message: M) throws {
        var random = SeededGenerator(seed: 20_260)
        let metrics = BusMetrics(MetricsRegistry())
        let decoder = EnvelopeDecoder<M>(deadLetters: Self.letters(metrics))
        var good = 0
        var dead = 0
        for round in 0..<6_000 {
            let trace: TraceID? = round.isMultiple(of: 3) ? "t" : nil
            var bytes = try Self.encoder().draft(message, trace: trace).payload(sequence: Int64(round % 7 + 1))
            for _ in 0..<Int.random(in: 0...2, using: &random) { Self.damage(&bytes, &random) }
            let expected = try? JSONDecoder().decode(Envelope<M>.self, from: Data(bytes))
            switch (decoder.decode(bytes, channel: "c"), expected) {
            case (.message(let found)?, let expected?):
                good += 1
                let isEqual =
                    found.source == expected.source && found.incarnation == expected.incarnation
                    && found.sequence == expected.sequence && found.trace == expected.trace
                    && found.sentAt == expected.sentAt && found.version == expected.version
                    && found.body == expected.body
                #expect(isEqual, "round \(round): \(String(decoding: bytes, as: UTF8.self))")
            case (nil, nil): dead += 1
            default: Issue.record("round \(round) differs: \(String(decoding: bytes, as: UTF8.self))")
            }
        }
        #expect(good > 1_000 && dead > 1_000, "\(good) good, \(dead) dead")
        #expect(metrics.deadLetters.value == dead)
    }

    private static func damage(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        let snippets = [
            "\"", "\\", "{", "}", ",", "0", "-", "9999999999", ".5", "e3", " ", "\n", "null", "\u{0}", "é",
            ",\"seq\":5", ",\"v\":2", "\"body\":{}", "\\u0041",
        ]
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: at)
        case 2: bytes.insert(UInt8.random(in: 32...126, using: &random), at: at)
        case 3: bytes.removeLast(min(at, bytes.count - 1))
        case 4: bytes.append(contentsOf: snippets[at % snippets.count].utf8)
        default: bytes.insert(contentsOf: snippets[at % snippets.count].utf8, at: at)
        }
    }

    @Test func `a message of another type, a newer version or a bad sequence is a dead letter that says so`() throws {
        let letters = Self.letters()
        let decoder = EnvelopeDecoder<Anything>(deadLetters: letters)
        let good = String(
            decoding: try Self.encoder().draft(Anything(text: "x"), trace: nil).payload(sequence: 1), as: UTF8.self)
        let cases = [
            ("\"type\":\"anything\"", "\"type\":\"nothing\"", "type \"nothing\" where \"anything\" is expected"),
            ("\"v\":3", "\"v\":4", "version 4 of anything, known up to 3"),
            ("\"v\":3", "\"v\":0", "version 0"),
            ("\"seq\":1", "\"seq\":0", "sequence 0"),
            ("\"text\":\"x\"", "\"text\":7", "body.text"),
            ("\"text\":\"x\"", "\"txet\":\"x\"", "no \"text\""),
            ("\"incarnation\":\"0b8f\"", "\"incarnation\":\"\"", "visible ASCII"),
        ]
        for (from, to, reason) in cases {
            let text = good.replacingOccurrences(of: from, with: to)
            #expect(decoder.decode(Array(text.utf8), channel: "c") == nil)
            let found = letters.latest.last?.reason ?? ""
            #expect(found.contains(reason), "\(to): \(found)")
        }
        // An older version is decoded, and unknown fields are passed over.
        let older = good.replacingOccurrences(of: "\"v\":3", with: "\"v\":2,\"new\":[1,{}]")
        guard case .message(let envelope)? = decoder.decode(Array(older.utf8), channel: "c") else {
            Issue.record("an older version was refused")
            return
        }
        #expect(envelope.version == 2 && envelope.body.text == "x")
    }
}
