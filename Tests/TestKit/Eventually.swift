import Resilience
import Runtime

/// A condition did not come true in time.
public struct NotInTime: Error, CustomStringConvertible {
    public let description: String

    public init(description: String) { self.description = description }
}

/// How much longer everybody waits than a machine of one's own would need.
///
/// Where others take most of the processor, everything takes a multiple of its time. No test is about how long
/// something takes, and only one that fails waits to the end.
private let patience = 3

/// Waits until `condition` is true, asking every few milliseconds; throws `NotInTime` after `within`, times `patience`.
///
/// The one place where tests wait.
public func eventually(
    within limit: Duration = .seconds(10), _ what: String, isolation: isolated (any Actor)? = #isolation,
    condition: () async throws -> Bool
) async throws {
    let clock = MachineClock.real
    let end = clock.now.advanced(by: limit * patience)
    while true {
        if try await condition() { return }
        guard clock.now < end else { throw NotInTime(description: "not within \(limit * patience): \(what)") }
        try await clock.sleep(for: .milliseconds(5))
    }
}
