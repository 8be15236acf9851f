import Bus
import Domain
import Hosting
import Logging
import OrchestratorEngine
import Runtime
import Wire

/// Tells everybody who watches a game now, once that is stored (CHECKLIST R57).
///
/// Never delays what stores it: who misses an announcement asks for the startup state (decision 0030).
struct Announcements: Sendable {
    /// Announcements that may wait for the bus; further ones are dropped and counted.
    static let limit = 50_000

    private let host: ServiceHost
    private let waiting: AsyncStream<MarketAssignment>
    private let toWaiting: AsyncStream<MarketAssignment>.Continuation
    private let dropped: Counter

    init(host: ServiceHost) {
        self.host = host
        (waiting, toWaiting) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.limit))
        dropped = host.context.metrics.counter(
            "announcements_dropped_total", "Changes of a game's owner that nobody was told of.")
    }

    func tell(_ changes: [AssignmentChange]) {
        for change in changes {
            tell(
                MarketAssignment(
                    game: change.game, markets: change.markets, shard: change.to.shard, epoch: change.to.epoch,
                    reason: change.reason.rawValue))
        }
    }

    func tell(_ assignment: MarketAssignment) {
        if case .dropped = toWaiting.yield(assignment) { dropped.increment() }
    }

    func run() async {
        for await assignment in waiting {
            do {
                _ = try await host.bus.publish(assignment, on: Channels.marketAssignments, trace: host.newTrace())
            } catch {
                dropped.increment()
                host.log.warning(
                    "assignment not announced",
                    metadata: [Key.game: "\(assignment.game.id)", Key.reason: "\(error)"])
            }
        }
    }
}
