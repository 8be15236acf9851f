import Domain
import FleetTestKit
import Foundation
import Postgres
import TestKit
import Testing

/// A shard of the real suite fails in every way there is; how fast it is replaced is measured by `make
/// bench-fleet-faults`, and decides nothing here.
@Suite(.processes) struct FailoverTests {
    /// What says that the fleet as a whole is not well; that a book is old or an order late may be true on a slow
    /// machine.
    private static let fleetKinds: Set = [
        "AllShardsUnhealthy", "RedisConnectivityIssue", "DatabaseConnectivityIssue", "NoMarketDiscoveryServices",
        "CapacityExhausted",
    ]

    private static func aboutFleet(_ log: AlertLog) -> [AlertLog.Entry] {
        log.firings.filter { fleetKinds.contains($0.kind) && !$0.isHeld }
    }

    // CHECKLIST R39, R40, R60, N4.
    @Test(.timeLimit(.minutes(10)))
    func `whatever happens to a shard, its games go on elsewhere and its stale signals reserve nothing`() async throws {
        try await FaultyFleet.run(executables: Executable.folder.path, games: 6) { fleet in
            let log = AlertLog(path: fleet.alertFile)
            // A slow machine may have been alarmed before the first shard was up.
            let before = Self.aboutFleet(log).count
            let reading = Task { await log.run() }
            defer { reading.cancel() }
            let shouts = StaleShouts(fleet: fleet)
            try await shouts.watch()
            let run = FailoverRun(fleet: fleet, shouts: shouts)
            for (index, fault) in FaultyFleet.Fault.allCases.enumerated() {
                let victim = FaultyFleet.shards[index % FaultyFleet.shards.count]
                let outcome = try await run.run(fault, of: victim, after: .zero, within: .seconds(60))
                #expect(outcome.lost.isEmpty && outcome.moves.count == 3, "\(outcome)")
                #expect(outcome.detection != nil, "\(fault)")
            }
            try await fleet.untilReady(within: .seconds(120))
            try await eventually(within: .seconds(60), "each shout has its verdict") {
                try await shouts.judged() == 2 * shouts.count
            }
            let verdicts = try await shouts.verdicts()
            #expect(shouts.count > 0 && verdicts.stale == shouts.count && verdicts.staleRefused == verdicts.stale)
            #expect(verdicts.twinsApproved > 0, "\(verdicts.all)")
            #expect(verdicts.accepted == 0 && verdicts.reservations > 0 && verdicts.isSighted)
            #expect(try await fleet.unowned() == 0)
            #expect(Self.aboutFleet(log).count == before, "\(log.firings.map { "\($0.kind): \($0.summary)" })")
            #expect(fleet.isComplete)
        }
    }

    // CHECKLIST R42, R43: one row for each move, that says whence, where to and why.
    @Test(.timeLimit(.minutes(5)))
    func `a shard that is asked to stop lets its games go, and each is watched elsewhere under the next epoch`()
        async throws
    {
        try await FaultyFleet.run(executables: Executable.folder.path, games: 6) { fleet in
            let held = fleet.watch.games(of: "shard-01")
            #expect(held.count == 3)
            let end = await fleet.process("shard-01")?.terminate()
            #expect(end?.isSuccess == true, "\(String(describing: end))")
            try await eventually(within: .seconds(10), "its last heartbeat shows no game") {
                fleet.watch.beats["shard-01"].map {
                    $0.heartbeat.status == .stopping && $0.heartbeat.games.isEmpty
                } == true
            }
            try await eventually(within: .seconds(60), "the other sees all of its games") {
                held.allSatisfy { game, epoch in
                    fleet.watch.taken(game, after: epoch, from: "shard-01")?.0.epoch == epoch.next
                }
            }
            #expect(try await fleet.unowned() == 0)
            for (game, epoch) in held {
                let moves = try await fleet.database.query(
                    """
                    SELECT from_shard, to_shard, epoch, reason FROM assignment_log
                    WHERE game_id = \(game.rawValue) AND epoch > \(epoch.number)
                    """
                ).map {
                    try "\($0.text("from_shard")) \($0.text("to_shard")) \($0.int64("epoch")) \($0.text("reason"))"
                }
                #expect(moves == ["shard-01 shard-02 \(epoch.next.number) drained"])
            }
        }
    }
}
