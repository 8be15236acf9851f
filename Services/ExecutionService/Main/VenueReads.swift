import ExecutionServiceEngine
import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Venues

/// Reads of an account, none of which is made while its venue wants to be left alone (decision 0046).
///
/// What is not asked is an error like any other read that failed: nothing is concluded from it, and who wanted to know
/// asks again in its own time. Orders and cancels have a budget of their own at the venue and here.
final class VenueReads: Sendable {
    private let clock: MachineClock
    private let metrics: MetricsRegistry
    private let log: Logger
    private let refused: @Sendable (VenueError) -> Void
    private let pause = NIOLockedValueBox(ReadPause())
    /// There before the first, or nobody who asks for its increase sees it.
    private let refusals: Counter

    /// `refused` hears of every answer that makes no sense.
    init(
        clock: MachineClock, metrics: MetricsRegistry, log: Logger,
        refused: @escaping @Sendable (VenueError) -> Void = { _ in }
    ) {
        self.refused = refused
        self.clock = clock
        self.metrics = metrics
        self.log = log
        refusals = metrics.counter("venue_rate_limited_total", "Requests that the venue refused as too many.")
    }

    func callAsFunction<R: Sendable>(_ read: () async throws -> R) async throws -> R {
        let left = pause.withLockedValue { $0.left(at: clock.now) }
        if let left {
            metrics.counter("venue_reads_held_back_total", "Reads not made: the venue wants to be left alone.")
                .increment()
            throw VenueError(.rateLimited, message: "not asked: the venue wants to be left alone", retryAfter: left)
        }
        do {
            let result = try await read()
            pause.withLockedValue { $0.answered(at: clock.now) }
            return result
        } catch let error as VenueError where error.code == .rateLimited {
            pause.withLockedValue { $0.refused(retryAfter: error.retryAfter, at: clock.now) }
            refusals.increment()
            log.warning(
                "venue says that it was too much",
                metadata: ["retry_after": "\(error.retryAfter.map { "\($0)" } ?? "not said")", "request": "read"])
            throw error
        } catch let error as VenueError where error.code.isNonsense {
            refused(error)
            throw error
        }
    }
}

extension VenueError.Code {
    /// The venue answered, and what it said cannot be true or cannot be read.
    var isNonsense: Bool {
        switch self {
        case .unreadableBody, .bodyTooLarge, .missingField, .invalidField, .repeatedCursor, .conflict: true
        default: false
        }
    }
}
