import NIOCore
import Resilience
import Testing

@testable import Redis

/// What a subscribing connection reads: messages by the short way, all else by the long one.
@Suite struct PushedMessageTests {
    /// What was read, in order of its kind.
    private struct Outcome: Equatable {
        var messages: [RedisMessage] = []
        var replies: [RESPValue] = []
    }

    private func read(_ bytes: [UInt8], cutAt cuts: [Int] = []) throws -> Outcome {
        let reader = try #require(RESPReader(maximumReplyBytes: 1 << 20, takesMessages: true))
        var outcome = Outcome()
        for (start, end) in zip([0] + cuts, cuts + [bytes.count]) {
            var buffer = ByteBuffer(bytes: bytes[start..<end])
            try reader.read(&buffer) { outcome.replies.append($0) }
            outcome.messages += reader.takeMessages()
        }
        return outcome
    }

    /// The same by the long way: replies that look like messages.
    private func readAtLength(_ bytes: [UInt8]) throws -> Outcome {
        let reader = try #require(RESPReader(maximumReplyBytes: 1 << 20))
        var outcome = Outcome()
        var buffer = ByteBuffer(bytes: bytes)
        try reader.read(&buffer) { reply in
            guard let message = Self.message(in: reply) else { return outcome.replies.append(reply) }
            outcome.messages.append(message)
        }
        return outcome
    }

    private static func message(in reply: RESPValue) -> RedisMessage? {
        guard let parts = reply.array, parts.allSatisfy({ if case .bulk = $0 { true } else { false } }) else {
            return nil
        }
        let texts = parts.compactMap(\.text)
        switch (parts.count, texts.first) {
        case (3, "message"): return RedisMessage(channel: texts[1], payload: parts[2].bytes ?? [])
        case (4, "pmessage"):
            return RedisMessage(channel: texts[2], pattern: texts[1], payload: parts[3].bytes ?? [])
        default: return nil
        }
    }

    private static func bulk(_ text: String) -> String { "$\(text.utf8.count)\r\n\(text)\r\n" }

    private static func array(_ parts: String...) -> String { "*\(parts.count)\r\n" + parts.joined() }

    private static let stream =
        array(bulk("message"), bulk("a"), bulk("one")) + array(bulk("pmessage"), bulk("*"), bulk("b"), bulk(""))
        + array(bulk("subscribe"), bulk("a"), ":1\r\n") + "+PONG\r\n" + array(bulk("message"), bulk(""), bulk("two"))

    @Test func `messages and replies are told apart`() throws {
        let outcome = try read(Array(Self.stream.utf8))
        #expect(outcome.messages.map(\.channel) == ["a", "b", ""])
        #expect(outcome.messages.map(\.pattern) == [nil, "*", nil])
        #expect(outcome.messages.map(\.text) == ["one", "", "two"])
        #expect(
            outcome.replies == [
                .array([.bulk(Array("subscribe".utf8)), .bulk(Array("a".utf8)), .integer(1)]), .simple("PONG"),
            ])
    }

    @Test func `a read may end at any byte`() throws {
        let bytes = Array(Self.stream.utf8)
        let whole = try read(bytes)
        for cut in 1..<bytes.count {
            let outcome = try read(bytes, cutAt: [cut])
            #expect(outcome == whole, "cut at \(cut)")
        }
        let single = try read(bytes, cutAt: Array(1..<bytes.count))
        #expect(single == whole)
    }

    @Test(arguments: [
        array(bulk("message"), bulk("a"), ":1\r\n"),
        array(bulk("message"), ":1\r\n", bulk("x")),
        array(bulk("message"), bulk("a"), array(bulk("x"))),
        array(bulk("message"), bulk("a"), "$-1\r\n"),
        array(bulk("message"), bulk("a"), "+x\r\n"),
        array("+message\r\n", bulk("a"), bulk("x")),
        array(bulk("message"), bulk("a"), bulk("b"), bulk("x")),
        array(bulk("pmessage"), bulk("a"), bulk("x")),
        array(bulk("pmessage"), bulk("*"), bulk("a"), "-ERR x\r\n"),
        array(bulk("pmessage"), bulk("*"), array(), bulk("x")),
        array(bulk("pmessage"), ":1\r\n", bulk("a"), bulk("x")),
        array(array(bulk("message"), bulk("a"), bulk("x"))),
        array(bulk("messages"), bulk("a"), bulk("x")),
        array(":1\r\n", ":2\r\n", ":3\r\n"),
    ])
    func `what only resembles a message stays a reply`(text: String) throws {
        let message = Self.array(Self.bulk("message"), Self.bulk("a"), Self.bulk("next"))
        let bytes = Array((text + message).utf8)
        let outcome = try read(bytes)
        #expect(outcome.replies.count == 1)
        #expect(outcome.messages.map(\.text) == ["next"])
        #expect(try outcome == readAtLength(bytes))
    }

    @Test func `on a connection for commands nothing is a message`() throws {
        let reader = try #require(RESPReader(maximumReplyBytes: 1 << 20))
        var replies = 0
        var buffer = ByteBuffer(string: Self.stream)
        try reader.read(&buffer) { _ in replies += 1 }
        #expect(replies == 5)
        #expect(reader.takeMessages().isEmpty)
    }

    @Test(arguments: 1...20) func `the short way reads what the long one does`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var text = ""
        for _ in 0..<200 { text += Self.anything(depth: 0, &random) }
        let bytes = Array(text.utf8)
        let cuts = Set((0..<100).map { _ in Int.random(in: 1..<bytes.count, using: &random) }).sorted()
        let outcome = try read(bytes, cutAt: cuts)
        #expect(try outcome == readAtLength(bytes))
        #expect(!outcome.messages.isEmpty && !outcome.replies.isEmpty)
    }

    /// Half messages, half something else, often made of the same words.
    private static func anything(depth: Int, _ random: inout SeededGenerator) -> String {
        let words = ["message", "pmessage", "a", "b", "long-channel-name", "", "*"]
        let word = bulk(words.randomElement(using: &random) ?? "")
        let payload = bulk(String(repeating: "x", count: Int.random(in: 0...300, using: &random)))
        switch Int.random(in: 0..<16, using: &random) {
        case 0...3: return array(bulk("message"), word, payload)
        case 4...7: return array(bulk("pmessage"), bulk("*"), word, payload)
        case 8: return ":\(Int.random(in: -9...9, using: &random))\r\n"
        case 9: return "+OK\r\n"
        case 10: return "-ERR no\r\n"
        case 11: return Bool.random(using: &random) ? "$-1\r\n" : "*-1\r\n"
        case 12: return word
        default:
            guard depth < 5 else { return payload }
            let parts = (0..<Int.random(in: 0...4, using: &random)).map { _ in anything(depth: depth + 1, &random) }
            return "*\(parts.count)\r\n" + parts.joined()
        }
    }

    @Test func `more names than the table holds are all told right`() throws {
        let names = (0..<OriginTable.capacity + 100).map { "channel-\($0)" } + ["channel-0"]
        let text = names.map { Self.array(Self.bulk("pmessage"), Self.bulk("*"), Self.bulk($0), Self.bulk($0)) }
        let outcome = try read(Array(text.joined().utf8))
        #expect(outcome.messages.map(\.channel) == names)
        #expect(outcome.messages.map(\.text) == names)
    }
}
