import Resilience
import Runtime

/// A condition did not come true in time.
public struct NotInTime: Error, CustomStringConvertible {
    public let description: String

    public init(description: String) { self.description = description }
}

/// Waits until `condition` is true, asking every few milliseconds; throws `NotInTime` after `within`.
///
/// The one place where tests wait.
public func eventually(
    within limit: Duration = .seconds(10), _ what: String, isolation: isolated (any Actor)? = #isolation,
    condition: () async throws -> Bool
) async throws {
    let clock = MachineClock.real
    let end = clock.now.advanced(by: limit)
    while true {
        if try await condition() { return }
        guard clock.now < end else { throw NotInTime(description: "not within \(limit): \(what)") }
        try await clock.sleep(for: .milliseconds(5))
    }
}
