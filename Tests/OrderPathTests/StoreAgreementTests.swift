import Foundation
import TestKit
import Testing

@testable import Simulation

/// The simulated store proves itself: random histories answer and end as they do on a real PostgreSQL.
///
/// `LINESMAN_STORE_HISTORIES` names how many there are, `LINESMAN_STORE_FIRST` the first seed.
@Suite struct StoreAgreementTests {
    private static let runs = SeededRuns("LINESMAN_STORE_HISTORIES", standard: 200, first: "LINESMAN_STORE_FIRST")

    // Each part on a database of its own.
    @Test(arguments: runs.parts(4))
    func `a random history ends in equal states on the simulated store and on PostgreSQL`(
        _ seeds: Range<UInt64>
    ) async throws {
        let rig = try await Rig()
        var steps = 0
        for seed in seeds {
            var history = StoreHistory(seed: seed, rig: rig)
            let found = try await history.differences()
            let shown = found.prefix(3).joined(separator: "; ")
            #expect(found.isEmpty, "history \(seed): \(found.count) differences: \(shown)")
            steps += history.steps.count
        }
        #expect(steps > seeds.count * 5, "nothing happened")
        await rig.pool.close(grace: .milliseconds(100))
    }

    /// Histories that once ended differently: parts of a contract, entered where parts are held.
    ///
    /// They are from before the clocks were drawn.
    @Test func `a history that ended differently once does not again`() async throws {
        let rig = try await Rig()
        for seed in [1_430, 3_934, 7_568] as [UInt64] {
            var history = StoreHistory(seed: seed, rig: rig, isTimed: false)
            let found = try await history.differences()
            #expect(found.isEmpty, "history \(seed): \(found.prefix(3).joined(separator: "; "))")
        }
        await rig.pool.close(grace: .milliseconds(100))
    }

    @Test(arguments: [
        Plant.exposureUnread, .reservationLeaked, .killSwitchUnread, .settlementForgotten, .reversalHalved,
        .lossUnread, .refusalForgotten, .planReservationEnds, .reserveSpent, .alertForgotten,
    ])
    func `a simulated store that is another one is found out`(_ plant: Plant) async throws {
        let isFound = try await isFound { StoreHistory(seed: $0, rig: $1, plant: plant) }
        #expect(isFound, "\(plant) stayed unseen in 1,000 histories")
    }

    @Test(arguments: SimulatedBooks.Slip.allCases)
    func `a simulated store that misreads clocks, balances or days is found out`(
        _ slip: SimulatedBooks.Slip
    ) async throws {
        let isFound = try await isFound { StoreHistory(seed: $0, rig: $1, slip: slip) }
        #expect(isFound, "\(slip) stayed unseen in 1,000 histories")
    }

    private func isFound(_ make: (UInt64, Rig) -> StoreHistory) async throws -> Bool {
        let rig = try await Rig()
        var isFound = false
        for seed in 1...UInt64(1_000) where !isFound {
            var history = make(seed, rig)
            // An order that only one of them has is an error of the other: found, too.
            isFound = (try? await history.differences().isEmpty) != true
        }
        await rig.pool.close(grace: .milliseconds(100))
        return isFound
    }
}
