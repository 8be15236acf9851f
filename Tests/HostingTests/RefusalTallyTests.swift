import Resilience
import Testing

@testable import Hosting

/// Few rows of many refusals, and none of them lost.
struct RefusalTallyTests {
    private let letter = Refusal(.deadLetter, from: "signals:new")

    private func at(_ seconds: Int64) -> MachineInstant { .origin.advanced(by: .seconds(seconds)) }

    private func note(
        _ refusal: Refusal, _ times: Int = 1, reason: String = "first", into tally: inout RefusalTally,
        at now: MachineInstant
    ) {
        for _ in 0..<times { _ = tally.note(refusal, ["reason": reason], at: now) }
    }

    @Test func `the first is told at once, and those after it once a minute with their number`() {
        var tally = RefusalTally()
        #expect(tally.due == nil)
        note(letter, into: &tally, at: at(10))
        #expect(tally.due == at(10))
        let first = tally.take(at: at(10))
        #expect(first == [.init(refusal: letter, count: 1, details: ["reason": "first"])])
        note(letter, reason: "second", into: &tally, at: at(11))
        note(letter, 98, reason: "later", into: &tally, at: at(12))
        let early = tally.take(at: at(69))
        #expect(early.isEmpty && tally.due == at(70) && tally.waiting == 99)
        let later = tally.take(at: at(70))
        #expect(later == [.init(refusal: letter, count: 99, details: ["reason": "second"])])
        #expect(tally.due == nil && tally.waiting == 0)
        note(letter, into: &tally, at: at(200))
        #expect(tally.due == at(130), "a minute was quiet: at once again")
        let again = tally.take(at: at(200))
        #expect(again.count == 1)
    }

    @Test func `each kind, source and event has rows of its own`() {
        var tally = RefusalTally()
        let others = [
            Refusal(.deadLetter, from: "arbitrages:new"), Refusal(.signalPutAside, from: "signals:new"),
            Refusal(.deadLetter, from: "signals:new", event: .intentRefused),
        ]
        for refusal in [letter] + others { note(refusal, into: &tally, at: at(0)) }
        let rows = tally.take(at: at(0))
        #expect(Set(rows.map(\.refusal)) == Set([letter] + others) && rows.allSatisfy { $0.count == 1 })
    }

    @Test func `what cannot be written waits, with what comes meanwhile`() {
        var tally = RefusalTally()
        note(letter, 3, into: &tally, at: at(0))
        let rows = tally.take(at: at(0))
        #expect(tally.waiting == 0, "nobody else takes it")
        note(letter, 2, reason: "meanwhile", into: &tally, at: at(1))
        tally.putBack(rows, at: at(5))
        #expect(tally.due == at(5))
        let all = tally.take(at: at(5))
        #expect(all == [.init(refusal: letter, count: 5, details: ["reason": "first"])])
    }

    @Test func `more kinds than are told apart are counted as one, and room is made for those that are quiet`() {
        var tally = RefusalTally()
        for number in 0..<1_000 { note(Refusal(.deadLetter, from: "c\(number)"), into: &tally, at: at(0)) }
        let isToldApart = tally.note(letter, [:], at: at(0))
        #expect(!isToldApart)
        let rows = tally.take(at: at(0))
        #expect(rows.count == RefusalTally.limit + 1)
        #expect(rows.reduce(0) { $0 + $1.count } == 1_001)
        #expect(rows.first { $0.refusal.kind == .others }?.count == 1_001 - RefusalTally.limit)
        let isToldApartNow = tally.note(letter, [:], at: at(61))
        #expect(isToldApartNow)
    }

    @Test func `at the end of a process all is told without waiting`() {
        var tally = RefusalTally()
        note(letter, into: &tally, at: at(0))
        _ = tally.take(at: at(0))
        note(letter, 4, into: &tally, at: at(1))
        let due = tally.take(at: at(2))
        #expect(due.isEmpty)
        let last = tally.take(at: at(2), all: true)
        #expect(last.map(\.count) == [4])
    }
}
