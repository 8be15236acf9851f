import Domain
import Hosting
import Runtime
import Testing

@Suite struct VenueClockTests {
    private func at(_ seconds: Int) -> VenueInstant { .epoch.advanced(by: .seconds(seconds)) }

    @Test func `a replay's clock is the largest time that was shown, and never runs by itself`() {
        let clock = VenueClock.replay()
        #expect(clock.isReplay && clock.now == .epoch)
        clock.observe(at(10))
        clock.observe(at(7))
        #expect(clock.now == at(10))
        clock.observe(microseconds: -1)
        clock.observe(microseconds: .max)
        #expect(clock.now == at(10))
        clock.setOffset(microseconds: 5_000_000)
        #expect(clock.now == at(10))
    }

    @Test func `a live clock is the wall's, moved by the offset to the venue`() {
        let clock = VenueClock.live(.fixed(1_000_000))
        clock.observe(at(500))
        #expect(clock.now == at(1) && !clock.isReplay)
        clock.setOffset(microseconds: -250_000)
        #expect(clock.now == .epoch.advanced(by: .milliseconds(750)))
    }

    @Test func `what is dated ahead is told by a clock that is off, but in a replay`() {
        let clock = VenueClock.live(.fixed(1_000_000))
        #expect(!clock.isAhead(at(6)) && clock.isAhead(at(7)) && !clock.isAhead(at(0)))
        #expect(!VenueClock.replay().isAhead(at(7)))
    }
}
