import Domain
import GameShardEngine
import Resilience
import Testing

struct ConfirmationPaceTests {
    private func after(_ milliseconds: Int64) -> MachineInstant {
        MachineInstant.origin.advanced(by: .milliseconds(milliseconds))
    }

    @Test func `of a thousand confirmations a second ten pass, and everything else`() throws {
        let confirmed = ShardEvent.booksConfirmed(.kalshi, at: try VenueInstant(microseconds: 1))
        let invalidated = ShardEvent.booksInvalidated(["m"])
        var pace = ConfirmationPace()
        var passed: [ShardEvent] = []
        for millisecond in 0..<Int64(1_000) {
            var events = [invalidated, confirmed]
            pace.thin(&events, at: after(millisecond))
            passed += events
        }
        #expect(passed.count { $0 == confirmed } == 10)
        #expect(passed.count { $0 == invalidated } == 1_000)
    }

    @Test func `a batch without a confirmation is left alone and does not count`() throws {
        let confirmed = ShardEvent.booksConfirmed(.kalshi, at: try VenueInstant(microseconds: 1))
        var pace = ConfirmationPace()
        var events = [ShardEvent.tick]
        pace.thin(&events, at: after(0))
        #expect(events == [.tick])
        events = [confirmed]
        pace.thin(&events, at: after(50))
        #expect(events == [confirmed])
        pace.thin(&events, at: after(149))
        #expect(events == [])
        events = [confirmed, confirmed]
        pace.thin(&events, at: after(150))
        #expect(events == [confirmed, confirmed])
    }
}
