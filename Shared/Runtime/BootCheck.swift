import Logging
import NIOConcurrencyHelpers
import Resilience

/// What was still missing when the boot check gave up.
public struct BootCheckFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The last error of each dependency that never answered.
    public let missing: [String: String]
    public let after: Duration

    public var description: String {
        let list = missing.sorted { $0.key < $1.key }.map { "\($0.key) (\($0.value))" }.joined(separator: ", ")
        return "not available after \(after): \(list)"
    }
}

/// Waits until everything a process needs answers, all in parallel, or gives up (CHECKLIST S9, R10).
public enum BootCheck {
    /// Throws when the dependency is not usable yet.
    public typealias Probe = @Sendable () async throws -> Void

    /// - `every`: from the start of one attempt to the start of the next, or more when an attempt takes longer.
    /// - `attemptTimeout`: per attempt; one that never returns is left behind, not waited for.
    /// - `failAfter`: for everything together, attempts under way included.
    /// - Throws: `BootCheckFailure` that names all that is missing.
    public static func run(
        _ probes: [(String, Probe)], every: Duration = .seconds(2), attemptTimeout: Duration = .seconds(2),
        failAfter: Duration = .seconds(60), clock: MachineClock, log: Logger
    ) async throws {
        let start = clock.now
        let end = start.advanced(by: failAfter)
        // Missing until it has answered: with no time for even one attempt nothing is known to be there.
        let unasked = probes.map { ($0.0, "was not asked in time") }
        let missing = NIOLockedValueBox(Dictionary(unasked, uniquingKeysWith: { first, _ in first }))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (name, probe) in probes {
                group.addTask {
                    try await poll(
                        name, probe, every: every, timeout: attemptTimeout, end: end, missing: missing, clock: clock,
                        log: log)
                }
            }
            try await group.waitForAll()
        }
        let left = missing.withLockedValue { $0 }
        if !left.isEmpty { throw BootCheckFailure(missing: left, after: start.duration(to: clock.now)) }
    }

    private static func poll(
        _ name: String, _ probe: @escaping Probe, every: Duration, timeout: Duration, end: MachineInstant,
        missing: NIOLockedValueBox<[String: String]>, clock: MachineClock, log: Logger
    ) async throws {
        var attempt = 0
        while clock.now < end {
            attempt += 1
            let began = clock.now
            do {
                try await withDeadline(min(timeout, began.duration(to: end)), clock: clock, operation: probe)
                missing.withLockedValue { $0[name] = nil }
                log.info("dependency available", metadata: [Key.dependency: "\(name)", Key.attempt: "\(attempt)"])
                return
            } catch {
                try Task.checkCancellation()
                missing.withLockedValue { $0[name] = "\(error)" }
                log.warning(
                    "dependency not available",
                    metadata: [Key.dependency: "\(name)", Key.attempt: "\(attempt)", Key.reason: "\(error)"])
            }
            try await clock.sleep(until: min(end, max(clock.now, began.advanced(by: every))))
        }
    }
}
