import Domain
import Resilience
import Runtime
import TestKit

/// One fault of one shard, from the moment it is made until the fleet is as before.
public struct FailoverRun: Sendable {
    /// What became of the victim's games.
    public struct Outcome: Sendable {
        public let fault: FaultyFleet.Fault
        /// From the fault until the orchestrator had said that the shard is dead.
        public var detection: Duration?
        /// From the fault until another shard's heartbeat showed the game, under a higher epoch and with fresh books.
        public var moves: [GameID: Duration] = [:]
        public var lost: [GameID] = []
        /// Stale signals that were sent on purpose.
        public var shouts = 0
    }

    private let fleet: FaultyFleet
    private let shouts: StaleShouts

    public init(fleet: FaultyFleet, shouts: StaleShouts) {
        self.fleet = fleet
        self.shouts = shouts
    }

    /// Hurts the victim `pause` after the fleet was found ready, so that the fault falls anywhere between heartbeats.
    public func run(
        _ fault: FaultyFleet.Fault, of victim: ShardID, after pause: Duration, within limit: Duration = .seconds(30)
    ) async throws -> Outcome {
        let (clock, watch) = (fleet.clock, fleet.watch)
        try await fleet.untilReady(within: .seconds(120))
        try await clock.sleep(for: pause)
        let held = watch.games(of: victim)
        var outcome = Outcome(fault: fault)
        let began = try await fleet.hurt(victim, fault)
        let end = began.advanced(by: limit)
        var open = held
        while !open.isEmpty, clock.now < end {
            try await clock.sleep(for: .milliseconds(20))
            for (game, epoch) in open {
                guard let (showing, at) = watch.taken(game, after: epoch, from: victim) else { continue }
                outcome.moves[game] = began.duration(to: at)
                open[game] = nil
                let present = (showing.shard, showing.epoch)
                if try await shouts.shout(game, as: (victim, epoch), and: present) { outcome.shouts += 1 }
            }
        }
        outcome.lost = open.keys.sorted()
        outcome.detection = watch.death(of: victim, since: began).map { began.duration(to: $0) }
        try await fleet.mend(victim, fault)
        let mended = clock.now
        try await eventually(within: .seconds(60), "\(victim) is back without the games it lost") {
            guard let beat = watch.beats[victim], beat.at > mended else { return false }
            let shown = watch.games(of: victim)
            return held.allSatisfy { game, epoch in shown[game] != epoch }
        }
        return outcome
    }
}
