import Bus
import BusTestKit
import RedisTestKit
import Resilience
import Testing

@Suite(.timeLimit(.minutes(3))) struct CutsTests {
    @Test func `random cuts lose nothing acknowledged, repeat nothing, and hide no lost hint`() async throws {
        let run = CutRun(
            seed: 20_260_301, messages: 2_000, cuts: Cut.Kind.allCases.count, longest: .seconds(2)
        ) { fastSettings($0) }
        let verdict = CutVerdict(try await run.run())
        let story = (["seed \(run.schedule.seed)"] + run.schedule.cuts.map(\.description) + verdict.lines)
            .joined(separator: "\n")
        #expect(verdict.violations.isEmpty, "\(verdict.violations.joined(separator: "\n"))\n\(story)")
        #expect(verdict.attempted == 2_000 && verdict.received == 2_000, "\(story)")
        #expect(verdict.acknowledged > 0 && verdict.hintsReceived > 0, "\(story)")
    }

    @Test func `the same seed gives the same cuts, of every kind`() {
        let schedules = [1, 1, 2].map {
            CutSchedule(seed: $0, count: 12, messages: 1_200, longest: .seconds(2), parties: 4)
        }
        #expect(schedules[0] == schedules[1])
        #expect(schedules[0] != schedules[2])
        #expect(Set(schedules[0].cuts.map(\.kind)) == Set(Cut.Kind.allCases))
        #expect(schedules[0].cuts.enumerated().allSatisfy { (1...100).contains($1.at - 100 * $0) })
    }

    // MARK: The judge

    /// A run of one publisher, whose messages and hints arrived like this; nil is a gap.
    private func verdict(
        journal: [Int?] = [1, 2, 3], hints: [Int?] = [1, 2, 3], acknowledged: Set<Int> = [1, 2, 3],
        restarts: Int = 1, edit: (inout CutRecord) -> Void = { _ in }
    ) -> CutVerdict {
        func received(_ numbers: [Int?]) -> CutRecord.Subscriber {
            var subscriber = CutRecord.Subscriber()
            for (index, number) in numbers.enumerated() {
                let content: CutRecord.Event.Content =
                    number.map { .message(source: "p", number: $0, isIntact: true) } ?? .gap(Gap(.reconnected))
                // Hint n is sent at 10 n; what comes at index i comes at 10 i + 15.
                let at = MachineInstant.origin.advanced(by: .seconds(index * 10 + 15))
                subscriber.events.append(CutRecord.Event(content, at: at))
            }
            return subscriber
        }
        var record = CutRecord()
        record.publishers["p"] = CutRecord.Publisher()
        record.publishers["p"]?.attempted = 3
        record.publishers["p"]?.acknowledged = acknowledged
        record.publishers["p"]?.hints = (1...3).map { MachineInstant.origin.advanced(by: .seconds($0 * 10)) }
        record.journals["s"] = received(journal)
        record.hints["s"] = received(hints)
        record.restarts = restarts
        edit(&record)
        return CutVerdict(record)
    }

    @Test func `the judge finds what is lost, repeated, out of order, invented and damaged`() {
        #expect(verdict().violations.isEmpty)
        #expect(verdict(journal: [1, 3], acknowledged: [1, 3]).violations.isEmpty)
        let lost = verdict(journal: [1, 3])
        #expect(lost.lost == 1 && lost.violations.count == 1)
        let repeated = verdict(journal: [1, 2, 2, 3])
        #expect(repeated.duplicates == 1 && repeated.violations.count == 1)
        let disordered = verdict(journal: [1, 3, 2])
        #expect(disordered.outOfOrder == 1 && disordered.violations.count == 1)
        #expect(verdict(journal: [1, 2, 3, 4]).violations.count == 1)
        let gaps = verdict(journal: [1, nil, 2, nil, 3])
        #expect(gaps.gaps == 2 && gaps.violations.count == 1)
        let damaged = verdict {
            $0.journals["s"]?.events.append(.init(.message(source: "q", number: 1, isIntact: false), at: .origin))
        }
        #expect(damaged.invented == 1 && damaged.violations.count == 1)
        let otherState = verdict { $0.truth.apply(Numbered(1), from: "p") }
        #expect(otherState.violations.count == 1)
    }

    @Test func `the judge wants a gap for each lost hint, after it was sent and before the next one`() {
        #expect(verdict(hints: [1, nil, 3]).violations.isEmpty)
        #expect(verdict(hints: [1, 2, nil]).violations.isEmpty)
        #expect(verdict(hints: [nil, 1, 2]).hintsLostUnreported == 1, "the gap came before the third was sent")
        #expect(verdict(hints: [1, 3]).hintsLostUnreported == 1)
        #expect(verdict(hints: [1, 3, nil]).hintsLostUnreported == 1, "too late")
        #expect(verdict(hints: [1, 2]).hintsLostUnreported == 1)
        #expect(verdict(hints: [nil, nil, nil]).hintsLostUnreported == 0)
        #expect(verdict(hints: [1, 3, 2]).outOfOrder == 1)
    }
}
