import Domain
import Hosting
import NIOConcurrencyHelpers
import Runtime
import Testing

@testable import ExecutionService
@testable import SignalProcessor

/// No entry while the database's clock and a process' own are too far apart (DESIGN rule 8).
struct DatabaseClockTests {
    /// A wall clock that can be set.
    private final class Shift: Sendable {
        private struct State {
            var seconds: Int64
            var jumps = false
            var looks = 0
        }

        private let state: NIOLockedValueBox<State>

        init(_ seconds: Int64) { state = NIOLockedValueBox(State(seconds: seconds)) }

        func set(_ shift: Int64) { state.withLockedValue { $0.seconds = shift } }

        /// From now on it is behind at two looks and ahead at the third: of three questions one is uncertain by twice
        /// the shift, as one that was answered late is.
        func jump() { state.withLockedValue { $0.jumps = true } }
        var looks: Int { state.withLockedValue { $0.looks } }

        var wall: WallClock {
            WallClock { [self] in
                let shift = state.withLockedValue { state in
                    state.looks += 1
                    return state.jumps && state.looks % 3 != 0 ? -state.seconds : state.seconds
                }
                return WallClock.real.microseconds + shift * 1_000_000
            }
        }
    }

    private func told(_ event: AuditEvent, _ key: String, _ rig: Rig) async throws -> String? {
        try await rig.text(
            "SELECT details->>\(key)::text AS t FROM audit_log WHERE event = \(event.rawValue) ORDER BY id LIMIT 1")
    }

    @Test(arguments: [-60, 60] as [Int64])
    func `a signal-processor whose clock is off approves nothing, says so, and goes on when it is right`(
        seconds: Int64
    ) async throws {
        try await withOrderPath { path in
            let shift = Shift(seconds)
            path.startSignalProcessor(wall: shift.wall)
            try await path.publish(path.rig.signal("s1"))
            try await eventually("decided") { try await path.rig.number("SELECT count(*) AS n FROM signals") == 1 }
            #expect(try await path.rig.text("SELECT verdict AS t FROM signals") == "database_clock")
            try await path.untilCounted(1, "signals_total", ["verdict": "database_clock"], by: "signal-processor")
            #expect(try await told(.signalRefused, "verdict", path.rig) == "database_clock")
            let offset = path.gauge("db_clock_offset_seconds", of: "signal-processor")
            #expect(abs(offset) > 2 && (offset < 0) == (seconds > 0), "\(offset)")
            try await path.untilAlert("databaseClockOffset:signal-processor/1")
            shift.set(0)
            try await eventually("it is right") { path.gauge("db_clock_offset_seconds", of: "signal-processor") == 0 }
            try await path.publish(path.rig.signal("s2"))
            try await eventually("approved") { try await path.rig.number("SELECT count(*) AS n FROM intents") == 1 }
            try await eventually("its end is told") {
                try path.alerts("databaseClockOffset:signal-processor/1") == 2
            }
        }
    }

    @Test func `an answer that comes too late to be certain ends nothing`() async throws {
        try await withOrderPath { path in
            let shift = Shift(60)
            path.startSignalProcessor(wall: shift.wall)
            try await path.untilAlert("databaseClockOffset:signal-processor/1")
            shift.jump()
            let looks = shift.looks
            try await eventually("it was asked in each of three ways") { shift.looks > looks + 24 }
            try await path.publish(path.rig.signal("s1"))
            try await eventually("decided") { try await path.rig.number("SELECT count(*) AS n FROM signals") == 1 }
            #expect(try await path.rig.text("SELECT verdict AS t FROM signals") == "database_clock")
            #expect(try path.alerts("databaseClockOffset:signal-processor/1") == 1)
        }
    }

    @Test func `an execution-service whose clock is off buys nothing, still sells, and goes on when it is right`()
        async throws
    {
        try await withOrderPath { path in
            let shift = Shift(0)
            path.startExecution(wall: shift.wall)
            try await path.rig.approve(10, name: "held")
            try await path.untilOrder(.filled)
            shift.set(60)
            try await path.untilAlert("databaseClockOffset:execution-service/1")
            try await path.rig.addGame("game-2")
            try await path.rig.approve(10, in: "game-2", name: "late")
            try await eventually("refused") {
                try await path.rig.text("SELECT state AS t FROM intents WHERE intent_id = 'late'") == "refused"
            }
            #expect(try await told(.intentRefused, "reason", path.rig) == "database_clock")
            try await path.untilCounted(1, "intents_total", ["decision": "database_clock"], by: "execution-service")
            #expect(
                try await path.rig.text("SELECT state AS t FROM reservations WHERE reservation_id = 'late'")
                    == "released")
            try await path.rig.addExit("exit-1", contracts: 10)
            try await path.untilOrder(.filled, 2)
            shift.set(0)
            try await eventually("its end is told") { try path.alerts("databaseClockOffset:execution-service/1") == 2 }
            try await path.rig.addGame("game-3")
            try await path.rig.approve(10, in: "game-3", name: "right")
            try await path.untilOrder(.filled, 3)
        }
    }
}
