import NIOConcurrencyHelpers
import NIOCore
import Testing

@testable import Redis

@Suite struct CommandPipelineTests {
    private let replies = NIOLockedValueBox<[String]>([])

    private func completion(_ name: String) -> CommandPipeline.Completion {
        CommandPipeline.Completion { [replies] result in
            replies.withLockedValue { $0.append("\(name): \(result)") }
        }
    }

    private func deadline(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(0) + .seconds(seconds) }

    @Test func `a late reply is swallowed and the next command gets its own`() throws {
        var pipeline = CommandPipeline(maximumInFlight: 10, maximumInFlightBytes: 1000)
        _ = try pipeline.enqueue(["A"], replies: 1, deadline: deadline(1), completion: completion("a"))
        _ = try pipeline.enqueue(["B"], replies: 1, deadline: deadline(9), completion: completion("b"))
        let (expired, sweep) = pipeline.expire(at: deadline(2))
        #expect(expired.count == 1)
        #expect(sweep == deadline(9))
        let late = try pipeline.complete(.simple("for a"))
        #expect(late == nil)
        let next = try pipeline.complete(.simple("for b"))
        next?(.success(.simple("for b")))
        #expect(replies.withLockedValue { $0 } == ["b: success(Redis.RESPValue.simple(\"for b\"))"])
    }

    @Test func `one flush is scheduled for all that gathers`() throws {
        var pipeline = CommandPipeline(maximumInFlight: 10, maximumInFlightBytes: 1000)
        let first = try pipeline.enqueue(["GET", "x"], replies: 1, deadline: deadline(1), completion: completion("a"))
        let second = try pipeline.enqueue(["PING"], replies: 1, deadline: deadline(1), completion: completion("b"))
        #expect(first.followup.schedulesFlush)
        #expect(!second.followup.schedulesFlush)
        let bytes = pipeline.takeOutgoing()
        #expect(String(buffer: bytes) == "*2\r\n$3\r\nGET\r\n$1\r\nx\r\n*1\r\n$4\r\nPING\r\n")
    }

    @Test func `a command is alone while no other waits for its reply`() throws {
        var pipeline = CommandPipeline(maximumInFlight: 10, maximumInFlightBytes: 1000)
        func enqueue() throws -> CommandPipeline.Followup {
            try pipeline.enqueue(["A"], replies: 1, deadline: deadline(1), completion: completion("a")).followup
        }
        let first = try enqueue()
        #expect(first.isAlone)
        _ = pipeline.takeOutgoing()
        let second = try enqueue()
        #expect(second.schedulesFlush)
        #expect(!second.isAlone)
        _ = try pipeline.complete(.integer(1))
        _ = try pipeline.complete(.integer(1))
        _ = pipeline.takeOutgoing()
        let third = try enqueue()
        #expect(third.isAlone)
    }

    @Test func `every kind of word is written as a bulk string`() throws {
        var pipeline = CommandPipeline(maximumInFlight: 10, maximumInFlightBytes: 1 << 20)
        let long = String(repeating: "ä", count: 500)
        let words: [RedisArgument] = [
            "", .bytes([]), .bytes([0, 13, 10]), 0, -7, .integer(.min), .integer(.max), .text(long),
        ]
        _ = try pipeline.enqueue(words, replies: 1, deadline: deadline(1), completion: completion("a"))
        let expected =
            "*8\r\n$0\r\n\r\n$0\r\n\r\n$3\r\n\0\r\n\r\n$1\r\n0\r\n$2\r\n-7\r\n"
            + "$20\r\n-9223372036854775808\r\n$19\r\n9223372036854775807\r\n$1000\r\n\(long)\r\n"
        #expect(String(buffer: pipeline.takeOutgoing()) == expected)
    }

    @Test func `what was handed out to be written stays as it is while more gathers`() throws {
        var pipeline = CommandPipeline(maximumInFlight: 1000, maximumInFlightBytes: 1 << 20)
        var written: [ByteBuffer] = []
        for number in 0..<20 {
            _ = try pipeline.enqueue(
                [.integer(Int64(number))], replies: 1, deadline: deadline(1), completion: completion("a"))
            let bytes = pipeline.takeOutgoing()
            // Some are written at once, some wait.
            if number.isMultiple(of: 3) { written.append(bytes) }
        }
        let texts = written.map { String(buffer: $0).split(separator: "\r\n").last.map(String.init) }
        #expect(texts == (0..<20).filter { $0.isMultiple(of: 3) }.map { "\($0)" })
    }

    @Test func `the replies of one read go to their commands until one that nobody asked for`() throws {
        var pipeline = CommandPipeline(maximumInFlight: 10, maximumInFlightBytes: 1000)
        _ = try pipeline.enqueue(["A"], replies: 1, deadline: deadline(1), completion: completion("a"))
        let (gone, _) = try pipeline.enqueue(["B"], replies: 1, deadline: deadline(1), completion: completion("b"))
        _ = pipeline.abandon(gone)
        var answers: [CommandPipeline.Answer] = []
        #expect(throws: RedisError.self) {
            try pipeline.complete([.integer(1), .integer(2), .integer(3)], into: &answers)
        }
        #expect(answers.map(\.reply) == [.integer(1), .integer(2)])
        #expect(answers.map { $0.completion != nil } == [true, false])
    }

    @Test func `a command of several names waits for all replies or the first error`() throws {
        var pipeline = CommandPipeline(maximumInFlight: 10, maximumInFlightBytes: 1000)
        _ = try pipeline.enqueue(["S"], replies: 2, deadline: deadline(1), completion: completion("a"))
        _ = try pipeline.enqueue(["T"], replies: 2, deadline: deadline(1), completion: completion("b"))
        let early = try pipeline.complete(.integer(1))
        let last = try pipeline.complete(.integer(2))
        let refused = try pipeline.complete(.error(RedisError(.permissionDenied, "no")))
        #expect(early == nil)
        #expect(last != nil)
        #expect(refused != nil)
        #expect(pipeline.inFlight == 0)
    }

    @Test func `commands and bytes in flight are bounded`() throws {
        var few = CommandPipeline(maximumInFlight: 1, maximumInFlightBytes: 1000)
        _ = try few.enqueue(["A"], replies: 1, deadline: deadline(1), completion: completion("a"))
        #expect(throws: RedisError.self) {
            try few.enqueue(["B"], replies: 1, deadline: deadline(1), completion: completion("b"))
        }
        var small = CommandPipeline(maximumInFlight: 10, maximumInFlightBytes: 10)
        _ = try small.enqueue(["AAAAAAAAAA"], replies: 1, deadline: deadline(1), completion: completion("a"))
        _ = small.takeOutgoing()
        #expect(throws: RedisError.self) {
            try small.enqueue(["B"], replies: 1, deadline: deadline(1), completion: completion("b"))
        }
    }

    @Test func `a reply without a command ends the connection with the server's own words`() {
        var pipeline = CommandPipeline(maximumInFlight: 1, maximumInFlightBytes: 1000)
        #expect(throws: RedisError(reply: "ERR max number of clients reached")) {
            try pipeline.complete(.error(RedisError(reply: "ERR max number of clients reached")))
        }
    }

    @Test func `closing hands back every caller that still waits, once`() throws {
        var pipeline = CommandPipeline(maximumInFlight: 10, maximumInFlightBytes: 1000)
        let (id, _) = try pipeline.enqueue(["A"], replies: 1, deadline: deadline(1), completion: completion("a"))
        _ = try pipeline.enqueue(["B"], replies: 1, deadline: deadline(1), completion: completion("b"))
        let abandoned = pipeline.abandon(id)
        let left = pipeline.close(RedisError(.connectionLost, "gone"))
        let again = pipeline.close(RedisError(.connectionLost, "gone"))
        #expect(abandoned != nil)
        #expect(left.count == 1)
        #expect(again.isEmpty)
        #expect(throws: RedisError(.notConnected, "gone")) {
            try pipeline.enqueue(["C"], replies: 1, deadline: deadline(1), completion: completion("c"))
        }
    }
}
