import Foundation
import Postgres
import TestKit
import Testing

@testable import Simulation

/// The simulated tables of the fleet prove themselves: random histories answer and end as they do on a real PostgreSQL.
///
/// `LINESMAN_STORE_HISTORIES` names how many there are, `LINESMAN_STORE_FIRST` the first seed.
@Suite struct FleetAgreementTests {
    private static let runs = SeededRuns("LINESMAN_STORE_HISTORIES", standard: 200, first: "LINESMAN_STORE_FIRST")

    // Each part on a database of its own.
    @Test(arguments: runs.parts(2))
    func `a random history of the fleet ends in equal rows in the simulated tables and in PostgreSQL`(
        _ seeds: Range<UInt64>
    ) async throws {
        let rig = try await Rig()
        var moves = 0
        for seed in seeds {
            let (history, found) = try await Self.play(seed, rig)
            let told = history.steps.joined(separator: "\n")
            #expect(found.isEmpty, "history \(seed): \(found.prefix(3).joined(separator: "; ")), after\n\(told)")
            moves += history.moves
        }
        #expect(moves >= seeds.count / 2, "hardly anything happened")
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test(arguments: FleetPlant.allCases)
    func `simulated tables that are others are found out`(_ plant: FleetPlant) async throws {
        let rig = try await Rig()
        var isFound = false
        for seed in 1...UInt64(1_000) where !isFound { isFound = try await !Self.play(seed, rig, plant).found.isEmpty }
        #expect(isFound, "\(plant) stayed unseen in 1,000 histories")
        await rig.pool.close(grace: .milliseconds(100))
    }

    /// The leadership's statements have a second each: one that a busy machine does not answer says nothing, and the
    /// history begins again.
    private static func play(
        _ seed: UInt64, _ rig: Rig, _ plant: FleetPlant? = nil
    ) async throws -> (history: FleetHistory, found: [String]) {
        var attempt = 1
        while true {
            var history = FleetHistory(seed: seed, rig: rig, plant: plant)
            do {
                let found = try await history.differences()
                return (history, found)
            } catch let error as PostgresError where error.mayPass && attempt < 3 {
                attempt += 1
            }
        }
    }
}
