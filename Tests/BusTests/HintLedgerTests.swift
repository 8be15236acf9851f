import Resilience
import Testing

@testable import Bus

@Suite struct HintLedgerTests {
    private static func at(_ seconds: Int) -> MachineInstant { .origin.advanced(by: .seconds(seconds)) }

    private static func listening(since seconds: Int = 100) -> HintLedger {
        HintLedger(sourcesKept: 8, listeningSince: at(seconds))
    }

    private func mark(
        _ ledger: inout HintLedger, _ sequence: Int64, lost: Int = 1, age: Int = 0, at now: Int = 200
    ) -> Int? {
        ledger.mark(
            source: "s", incarnation: "i", sequence: sequence, lost: lost, age: .seconds(age), at: Self.at(now))
    }

    @Test func `what a known publisher lost is missed once, whether the mark or the next hint says it first`() {
        var ledger = Self.listening()
        #expect(ledger.message(source: "s", incarnation: "i", sequence: 10) == .deliver)
        #expect(mark(&ledger, 13, lost: 3) == 3)
        #expect(mark(&ledger, 13, lost: 3) == nil)
        #expect(ledger.message(source: "s", incarnation: "i", sequence: 14) == .deliver)
        #expect(ledger.message(source: "s", incarnation: "i", sequence: 17) == .gap(missed: 2))
        #expect(mark(&ledger, 16, lost: 2) == nil)
        #expect(mark(&ledger, 18) == 1)
        #expect(ledger.message(source: "s", incarnation: "i", sequence: 19) == .deliver)
    }

    @Test func `a reordered hint is late, a repeated one a duplicate`() {
        var ledger = Self.listening()
        let verdicts = [1, 4, 3, 4, 1, 5].map { ledger.message(source: "s", incarnation: "i", sequence: $0) }
        #expect(verdicts == [.deliver, .gap(missed: 2), .late, .duplicate, .duplicate, .deliver])
    }

    @Test func `an unknown publisher's loss counts from when we began to listen`() {
        for (age, expected) in [(0, 4), (100, 4), (101, nil), (1_000, nil)] as [(Int, Int?)] {
            var ledger = Self.listening(since: 100)
            #expect(mark(&ledger, 9, lost: 4, age: age, at: 200) == expected, "\(age) s old")
            #expect(ledger.message(source: "s", incarnation: "i", sequence: 10) == .deliver)
        }
    }

    @Test func `a gap that was handed out covers what was lost before it, and nothing after it`() {
        var ledger = Self.listening(since: 0)
        _ = ledger.message(source: "s", incarnation: "i", sequence: 1)
        ledger.coverAll(at: Self.at(50))
        #expect(mark(&ledger, 6, lost: 5, age: 10, at: 55) == nil, "lost at 45")
        ledger.coverAll(at: Self.at(60))
        #expect(mark(&ledger, 8, lost: 2, age: 10, at: 75) == 2, "lost at 65")
    }

    @Test func `a new life of a known publisher begins at 1`() {
        var ledger = Self.listening()
        _ = ledger.message(source: "s", incarnation: "a", sequence: 70)
        #expect(ledger.message(source: "s", incarnation: "b", sequence: 3) == .gap(missed: 2))
        #expect(
            ledger.mark(source: "s", incarnation: "c", sequence: 2, lost: 2, age: .zero, at: Self.at(1)) == 2)
    }

    @Test func `a mark with absurd figures harms nobody`() {
        var ledger = Self.listening()
        _ = ledger.mark(
            source: "s", incarnation: "i", sequence: .max, lost: .min, age: .microseconds(Int64.min), at: Self.at(1))
        _ = ledger.mark(
            source: "t", incarnation: "i", sequence: 1, lost: .max, age: .microseconds(Int64.max), at: Self.at(1))
        #expect(ledger.message(source: "s", incarnation: "i", sequence: .max) == .duplicate)
    }

    @Test func `a forgotten channel goes on above every sequence it can have had`() {
        var sequences = HintSequences(channelsKept: 2)
        #expect((1...3).map { _ in sequences.next("a") } == [1, 2, 3])
        #expect(sequences.next("b") == 1)
        #expect(sequences.next("c") == 4, "room was made by forgetting a")
        #expect(sequences.next("a") > 3)
    }
}
