import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime
import TestKit

struct Broken: Error, CustomStringConvertible {
    var description: String { "broken" }
}

/// A counter that tests share with the code under test.
final class Tally: Sendable {
    private let box = NIOLockedValueBox<[String]>([])

    func note(_ what: String) { box.withLockedValue { $0.append(what) } }
    var all: [String] { box.withLockedValue { $0 } }
    var count: Int { all.count }
}

/// Sleeps until cancelled.
@Sendable func forever() async throws {
    try await MachineClock.manual(ManualTime()).sleep(for: .seconds(1))
}

/// Ignores its cancellation until the promise comes.
func stubborn(_ release: Promise<Bool>) async {
    _ = await release.value()
}

/// Moves a manual clock from deadline to deadline until the body is done.
func running<R: Sendable>(_ time: ManualTime, _ body: @escaping @Sendable () async throws -> R) async throws -> R {
    let done = Tally()
    let task = Task {
        defer { done.note("done") }
        return try await body()
    }
    try await eventually(within: .seconds(30), "the body ends") {
        if done.count > 0 { return true }
        if let next = time.nextDeadline { time.advance(by: time.now.duration(to: next)) }
        return false
    }
    return try await task.value
}

/// A supervisor on a manual clock.
struct Stand: Sendable {
    let time = ManualTime()
    let capture = LogCapture()
    let metrics = MetricsRegistry()
    let supervisor: Supervisor

    init(intensity: RestartIntensity = RestartIntensity(), jitter: Double = 0) {
        supervisor = Supervisor(
            clock: .manual(time), random: .seeded(1), log: capture.logger(), metrics: metrics,
            backoff: Backoff(jitter: jitter), intensity: intensity)
    }

    /// Waits for the next sleeper, lets its time come, and returns how long it slept.
    func nextDelay() async -> Duration {
        await time.untilSleepers(1)
        let delay = time.nextDeadline.map { time.now.duration(to: $0) } ?? .zero
        time.advance(by: delay)
        return delay
    }
}
