import ChaosEngine
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// Where a suite is asked how it is.
struct SuitePlaces: Sendable {
    var database: String
    var redis: String
    /// Status addresses of every orchestrator.
    var orchestrators: [String]
    /// The simulator's `/control`, where there is one.
    var venue: String?
}

/// A running suite that may be hurt.
protocol ChaosTarget: Sendable {
    /// Finds the suite.
    ///
    /// - Throws: `ChaosFailure` when it does not run.
    func places() async throws -> SuitePlaces

    /// Finds the suite again, where something of it may have moved: the places stay as they were told.
    ///
    /// - Throws: `ChaosFailure` when nobody says where it is.
    func findAgain() async throws

    /// Looks at what takes its time, until cancelled.
    func watch() async

    /// Whether a second orchestrator stands by.
    var hasStandby: Bool { get async throws }

    /// Whether it was started for the rehearsal, so that it may be replaced.
    var isOwn: Bool { get }

    /// Whether its shards have something to trade on all the time.
    var isBusy: Bool { get }

    /// Why a fault cannot be made here; nil when it can.
    func obstacle(to fault: Fault) -> String?

    /// Arms the undoing of a fault, and does nothing else yet.
    ///
    /// - Parameters:
    ///   - fault: what is to be done.
    ///   - victims: to whom; shards by their names, anything else by its part.
    ///   - leader: the status address of the orchestrator that leads.
    ///   - limit: by when the fault is undone though nobody asks.
    /// - Returns: the fault, not made yet.
    /// - Throws: `ChaosFailure` when it cannot be made or undone here.
    func arm(
        _ fault: Fault, victims: [String], leader: String?, undoneAfter limit: Duration
    ) async throws -> any ArmedFault

    /// What has gone wrong since the last time with nobody's doing: processes that ended by themselves.
    func troubles() -> [String]

    /// Kinds of alerts that the sink has got since it was asked last; nil where nobody sees the sink.
    func delivered() -> Set<String>?

    /// What every process has written into its alert file since it was asked last; nil where nobody reads them.
    func filed() -> [Sample.Alert]?

    /// Copies what its processes have logged into a folder, which is made; nothing where somebody else keeps it.
    func keepLogs(in folder: String) throws

    /// How long ago an orchestrator has called the outside watcher; nil where nobody sees it.
    func watcherAge() -> Duration?
}

extension ChaosTarget {
    /// One that never moves.
    func findAgain() async throws {}

    /// One of which everything is seen at once.
    func watch() async {}

    /// One whose logs outlive it.
    func keepLogs(in folder: String) throws {}
}

/// A fault whose undoing is certain before it is made.
protocol ArmedFault: Sendable {
    func make() async throws

    /// Returns when the fault is undone; also when it was never made, and again.
    func undo() async throws
}

/// A fault as two pieces of code of this process, which ends with it.
struct OwnFault: ArmedFault {
    let making: @Sendable () async throws -> Void
    let undoing: @Sendable () async throws -> Void

    func make() async throws { try await making() }
    func undo() async throws { try await undoing() }
}

/// A fault that is made again and again while it holds.
final class RepeatedFault: ArmedFault {
    private let every: Duration
    private let once: @Sendable () async throws -> Void
    private let after: any ArmedFault
    private let clock: MachineClock
    private let task = NIOLockedValueBox<Task<Void, any Error>?>(nil)

    /// `after` undoes what the last time may have left.
    init(
        every: Duration, clock: MachineClock, undoing after: any ArmedFault,
        _ once: @escaping @Sendable () async throws -> Void
    ) {
        self.every = every
        self.clock = clock
        self.after = after
        self.once = once
    }

    func make() async throws {
        // The first time says whether it can be done at all.
        try await once()
        let (every, once, clock) = (every, once, clock)
        let repeating = Task {
            while true {
                try await clock.sleep(for: every)
                // A server that is just away cannot be hurt again.
                try? await once()
            }
        }
        task.withLockedValue { $0 = repeating }
    }

    func undo() async throws {
        if let repeating = task.withLockedValue({ $0 }) {
            repeating.cancel()
            // Cancelled is how it ends.
            _ = await repeating.result
        }
        try await after.undo()
    }
}

/// What keeps a rehearsal from being held.
struct ChaosFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
