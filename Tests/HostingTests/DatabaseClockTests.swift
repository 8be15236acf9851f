import Hosting
import Testing

/// What one question to the database tells of its clock.
struct DatabaseClockTests {
    @Test func `the offset is known to within the round trip`() throws {
        let offset = try #require(DatabaseClockOffset(asked: 1_000_000, told: 4_000_000, answered: 1_600_000))
        #expect(offset.range == 2_400_000...3_000_000)
        #expect(offset.least == 2_400_000)
        let behind = try #require(DatabaseClockOffset(asked: 4_000_000, told: 1_000_000, answered: 4_600_000))
        #expect(behind.range == -3_600_000 ... -3_000_000)
        #expect(behind.least == -3_000_000)
    }

    @Test func `clocks that may be equal are equal, and a slow answer accuses nobody`() throws {
        let slow = try #require(DatabaseClockOffset(asked: 0, told: 60_000_000, answered: 90_000_000))
        #expect(slow.least == 0 && slow.isWithin(.milliseconds(100)))
        #expect(DatabaseClockOffset(asked: 0, told: 7, answered: 0)?.range == 7...7)
    }

    @Test func `a slow answer acquits nobody either`() throws {
        // Three seconds behind, told after a second and a half: it may be within two seconds, and may not.
        let slow = try #require(DatabaseClockOffset(asked: 0, told: -2_250_000, answered: 1_500_000))
        #expect(slow.isWithin(.seconds(3)) && !slow.decides(on: .seconds(3)))
        #expect(slow.decides(on: .seconds(4)) && slow.isWithin(.seconds(4)))
        #expect(slow.decides(on: .seconds(2)) && !slow.isWithin(.seconds(2)))
    }

    @Test(arguments: [-60_000_000, -2_000_001, -2_000_000, 0, 2_000_000, 2_000_001, 60_000_000] as [Int64])
    func `the bound itself is inside`(offset: Int64) throws {
        let seen = try #require(DatabaseClockOffset(asked: 100, told: 100 + offset, answered: 100))
        #expect(seen.isWithin(.seconds(2)) == (abs(offset) <= 2_000_000))
    }

    @Test func `a clock that was set back meanwhile measures nothing`() {
        #expect(DatabaseClockOffset(asked: 1_000, told: 1_000, answered: 999) == nil)
    }
}
