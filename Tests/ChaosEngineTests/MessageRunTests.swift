import ChaosEngine
import Resilience
import Testing

/// What a round says of journaled messages and of gaps.
@Suite struct MessageRunTests {
    private static func well(
        _ messages: Sample.Messages? = nil, _ streams: [String: Sample.Streams] = [:]
    ) -> Sample {
        var sample = Sample.steady
        sample.messages = messages
        sample.streams = streams
        return sample
    }

    /// One round: `before` until the fault is made, then each sample for its time, then `end` to the verdict.
    private static func verdict(
        _ name: String, control: Finding? = nil, before: Sample, then samples: [(Sample, Duration)] = [], end: Sample
    ) throws -> Verdict {
        var round = HeldRound(try #require(Scenario.named(name)), control: control)
        func show(_ sample: Sample, for length: Duration, untilMade: Bool = false) {
            let end = round.now.advanced(by: length)
            while round.now < end, round.verdict == nil, !untilMade || round.madeAt == nil {
                round.see { _, _ in sample }
            }
        }
        show(before, for: .seconds(10), untilMade: true)
        for (sample, length) in samples { show(sample, for: length) }
        show(end, for: .seconds(300))
        return try #require(round.verdict)
    }

    private static func messages(_ heard: Int, missing: Int = 0, waiting: Set<Int> = []) -> Sample.Messages {
        Sample.Messages(heard: heard, missing: missing, waiting: waiting, owed: heard)
    }

    @Test(arguments: [
        (messages(20), 0), (messages(20, missing: 1), 0), (messages(20, missing: 2), 1),
        // Heard in time, and never taken in.
        (messages(20, missing: 1, waiting: [12, 19]), 2),
    ])
    func `a message that never came or was never taken in is lost`(_ end: Sample.Messages, _ lost: Int) throws {
        let verdict = try Self.verdict(
            "redis-restart", before: Self.well(Self.messages(10, missing: 1)), end: Self.well(end))
        #expect(verdict.messages == 10 && verdict.messagesLost == lost)
        #expect(verdict.problems == (lost == 0 ? [] : ["\(lost) journaled messages are lost"]))
    }

    @Test func `a round waits for what is on its way, and not for what came when all was well again`() throws {
        let late = Self.well(Self.messages(12, waiting: [11]))
        let verdict = try Self.verdict(
            "redis-restart", before: Self.well(Self.messages(10)), then: [(late, .seconds(20))],
            end: Self.well(Self.messages(14, waiting: [13])))
        #expect(verdict.messagesLost == 0 && verdict.passed, "\(verdict.problems)")
    }

    @Test(arguments: [Set<Int>(), [11, 12]])
    func `a control of the messages passes when some are found to be lost`(_ waiting: Set<Int>) throws {
        let verdict = try Self.verdict(
            "redis-kill", control: .lostMessages, before: Self.well(Self.messages(10)),
            end: Self.well(Self.messages(20, waiting: waiting)))
        #expect(verdict.passed == !waiting.isEmpty && verdict.messagesLost == waiting.count, "\(verdict)")
    }

    private static func streams(_ first: Int, _ second: Int, other: [String: Sample.Streams] = [:]) -> Sample {
        let all = ["shard (a)": Sample.Streams(open: 5, gaps: first), "desk (b)": .init(open: 2, gaps: second)]
        return well(nil, all.merging(other) { $1 })
    }

    @Test func `every stream is handed one gap, and steady is who was handed it`() throws {
        let verdict = try Self.verdict(
            "redis-flush", before: Self.streams(3, 0),
            then: [(Self.streams(3, 0), .seconds(1)), (Self.streams(8, 1), .milliseconds(500))],
            end: Self.streams(8, 2, other: ["desk (c)": .init(open: 9, gaps: 0)]))
        #expect(verdict.passed, "\(verdict.problems)")
        #expect(verdict.recovered == .milliseconds(1_500) && verdict.gaps == 7 && verdict.streams == 7)
        #expect(verdict.waits.first?.trouble == "desk (b) was handed no gap on some stream", "\(verdict.waits)")
    }

    @Test(arguments: [(8, 3, "desk (b) was handed 3 gaps on 2 streams"), (7, 2, "shard (a) was handed 4 gaps on 5")])
    func `a gap too many and one too few are failures`(_ first: Int, _ second: Int, _ problem: String) throws {
        let verdict = try Self.verdict(
            "redis-flush", before: Self.streams(3, 0), end: Self.streams(first, second))
        #expect(verdict.problems.contains { $0.hasPrefix(problem) }, "\(verdict.problems)")
    }

    @Test func `nobody that says how many gaps it was handed is a failure`() throws {
        let verdict = try Self.verdict("redis-flush", before: Self.well(), end: Self.well())
        #expect(verdict.problems == ["nobody says how many gaps it was handed"])
    }

    @Test(arguments: [(8, 2, false), (13, 4, true)])
    func `a control of the gaps passes when there are more than one`(
        _ first: Int, _ second: Int, _ passed: Bool
    ) throws {
        let verdict = try Self.verdict(
            "redis-flush", control: .moreGaps, before: Self.streams(3, 0), end: Self.streams(first, second))
        #expect(verdict.passed == passed, "\(verdict)")
    }
}
