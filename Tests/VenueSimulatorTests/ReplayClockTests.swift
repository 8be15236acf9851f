import Domain
import Recording
import Resilience
import Testing

@testable import VenueSimulator

struct ReplayClockTests {
    static func clock(speed: Double, longest: Duration = .seconds(5)) throws -> ReplayClock {
        ReplayClock(
            recording: try Fixture.recording(), pace: ReplayPace(speed: speed, longestStep: longest), at: .origin)
    }

    /// Plays to the end on a virtual machine clock, with a reader that has worked off at each read what it read before.
    ///
    /// Returns each venue instant with when it was entered, and the instants at which the reader read.
    static func drive(
        _ clock: inout ReplayClock, readEvery: Duration?, untilRead: Int = .max
    ) -> (entered: [(VenueInstant, MachineInstant)], read: [VenueInstant]) {
        var now = MachineInstant.origin
        var entered: [(VenueInstant, MachineInstant)] = [(clock.venueTime, now)]
        var read: [VenueInstant] = []
        var reads = 0
        var handled: VenueInstant?
        var nextRead = readEvery.map { now.advanced(by: $0) }
        if readEvery != nil { clock.read(by: "shard", handled: nil, at: now) }
        _ = clock.start(at: now)
        while clock.phase == .running {
            while let step = clock.advance(at: now) { entered.append((step.at, now)) }
            guard clock.phase == .running else { break }
            var next: MachineInstant?
            switch clock.wait(at: now) {
            case .until(let instant), .readers(_, let instant): next = instant
            case .nothing, .command: break
            }
            if let due = nextRead, let readEvery, reads < untilRead, due <= next ?? due {
                now = max(now, due)
                while let step = clock.advance(at: now) { entered.append((step.at, now)) }
                guard clock.phase == .running else { break }
                clock.read(by: "shard", handled: handled, at: now)
                handled = clock.venueTime
                reads += 1
                if read.last != clock.venueTime { read.append(clock.venueTime) }
                nextRead = due.advanced(by: readEvery)
            } else if let next {
                now = next
            }
        }
        return (entered, read)
    }

    @Test(arguments: [0.1, 1, 60, 240, 10_000])
    func `the steps are the same at any speed`(speed: Double) throws {
        var clock = try Self.clock(speed: speed)
        let (entered, _) = Self.drive(&clock, readEvery: nil)
        #expect(entered.map(\.0) == clock.steps.map(\.at))
        #expect(clock.phase == .finished)
        let recording = try Fixture.recording()
        #expect(clock.steps.compactMap(\.moment) == recording.moments)
        for (step, next) in zip(clock.steps, clock.steps.dropFirst()) {
            #expect(step.at < next.at)
            #expect(step.at.duration(to: next.at) <= .seconds(5))
        }
    }

    @Test(arguments: [1, 60, 240, 10_000])
    func `a step lasts its venue time over the speed`(speed: Double) throws {
        var clock = try Self.clock(speed: speed)
        let (entered, _) = Self.drive(&clock, readEvery: nil)
        let machine = try #require(entered.last).1
        let lasted = MachineInstant.origin.duration(to: machine)
        // Each step is cut to whole nanoseconds.
        #expect(abs((lasted - Duration.seconds(70) / speed) / .microseconds(1)) < 1)
    }

    @Test(arguments: [1, 60, 240, 10_000])
    func `an active reader reads in every step at any speed`(speed: Double) throws {
        var clock = try Self.clock(speed: speed)
        let (entered, read) = Self.drive(&clock, readEvery: .milliseconds(10))
        // The last step ends the replay; nothing waits in it.
        #expect(Array(entered.map(\.0).dropLast()) == read)
        #expect(clock.expiredHolds == 0)
    }

    @Test func `a step waits until its reader has worked it off, for as long as it is heard of`() throws {
        var clock = try Self.clock(speed: 10_000)
        clock.read(by: "shard", handled: nil, at: .origin)
        _ = clock.start(at: .origin)
        let first = clock.venueTime
        for second in stride(from: 0.5, through: 20, by: 0.5) {
            let now = MachineInstant.origin.advanced(by: .seconds(second))
            clock.read(by: "shard", handled: nil, at: now)
            #expect(clock.advance(at: now) == nil)
        }
        let now = MachineInstant.origin.advanced(by: .seconds(21))
        clock.read(by: "shard", handled: first, at: now)
        #expect(clock.advance(at: now)?.at == clock.steps[1].at)
        #expect(clock.awaited == ["shard"])
        #expect(clock.expiredHolds == 0)
    }

    @Test func `a reader that never gets done holds a step for half a minute`() throws {
        var clock = try Self.clock(speed: 10_000)
        clock.read(by: "shard", handled: nil, at: .origin)
        _ = clock.start(at: .origin)
        var now = MachineInstant.origin
        while clock.advance(at: now) == nil {
            now = now.advanced(by: .milliseconds(500))
            clock.read(by: "shard", handled: nil, at: now)
            try #require(now < .origin.advanced(by: .seconds(60)))
        }
        #expect(now >= .origin.advanced(by: .seconds(30)))
        #expect(clock.expiredHolds == 1)
    }

    @Test func `of two readers the dead one is given up and the slow one waited for`() throws {
        var clock = try Self.clock(speed: 10_000)
        for name in ["dead", "slow"] { clock.read(by: name, handled: nil, at: .origin) }
        _ = clock.start(at: .origin)
        let first = clock.venueTime
        let later = MachineInstant.origin.advanced(by: .seconds(10))
        for second in 1...10 { clock.read(by: "slow", handled: nil, at: .origin.advanced(by: .seconds(second))) }
        #expect(clock.advance(at: later) == nil)
        clock.read(by: "slow", handled: first, at: later)
        #expect(clock.advance(at: later) != nil)
        #expect(clock.readers.active == ["slow"])
    }

    @Test func `a dead reader holds one step for three seconds and no further one`() throws {
        var clock = try Self.clock(speed: 10_000)
        let (entered, _) = Self.drive(&clock, readEvery: .milliseconds(10), untilRead: 3)
        #expect(clock.phase == .finished)
        #expect(clock.expiredHolds == 1)
        let machine = try #require(entered.last).1
        let lasted = MachineInstant.origin.duration(to: machine)
        #expect(lasted >= .seconds(3) && lasted < .seconds(4))
    }

    @Test func `nothing moves before the start and after a stop`() throws {
        var clock = try Self.clock(speed: 1)
        let later = MachineInstant.origin.advanced(by: .seconds(1_000))
        #expect(clock.advance(at: later) == nil)
        #expect(clock.wait(at: later) == .command)
        let starts = [clock.start(at: later), clock.start(at: later)]
        #expect(starts == [true, false])
        #expect(clock.advance(at: later.advanced(by: .seconds(5)))?.at == clock.steps[1].at)
        clock.stop()
        #expect(clock.advance(at: later.advanced(by: .seconds(500))) == nil)
        #expect(clock.phase == .stopped)
    }

    @Test func `the shipped game has every recorded moment as a step`() throws {
        let recording = try ShippedRecording.torAtCle()
        let steps = ReplayClock.steps(of: recording.moments, from: recording.start, longest: .seconds(5))
        #expect(steps.compactMap(\.moment) == recording.moments)
        #expect(steps.count > 1_700)
    }
}
