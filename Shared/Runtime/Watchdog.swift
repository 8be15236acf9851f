import NIOConcurrencyHelpers
import Resilience

/// Nothing was done for too long: the process is alive but does not work.
public struct Stall: Error, Hashable, Sendable, CustomStringConvertible {
    public let what: String
    public let limit: Duration

    public var description: String { "\(what): no progress for \(limit)" }
}

/// Ends a process that lives without working, also one that never began (DESIGN section 7).
///
/// Run it as a critical part: it throws `Stall` when `progress` was not called for `limit`.
public final class Watchdog: Sendable {
    private let what: String
    private let limit: Duration
    private let clock: MachineClock
    private let last: NIOLockedValueBox<MachineInstant>

    public init(_ what: String, limit: Duration = .seconds(90), clock: MachineClock) {
        precondition(limit > .zero, "a watchdog's limit must be positive, got \(limit)")
        self.what = what
        self.limit = limit
        self.clock = clock
        last = NIOLockedValueBox(clock.now)
    }

    public func progress() {
        let now = clock.now
        last.withLockedValue { $0 = max($0, now) }
    }

    public func run() async throws {
        while true {
            let due = last.withLockedValue { $0 }.advanced(by: limit)
            if clock.now >= due { throw Stall(what: what, limit: limit) }
            try await clock.sleep(until: due)
        }
    }
}
