import Domain
import Foundation
import Resilience
import TestKit
import Testing

@testable import Simulation

/// Schedules of trouble on real engines, each from one seed: what must hold always, and what calm must mend.
///
/// `LINESMAN_SIMULATION_SEEDS` names how many schedules are run, `LINESMAN_SIMULATION_FIRST` the first seed.
@Suite struct FleetSimulationTests {
    private static let environment = ProcessInfo.processInfo.environment
    private static let runs = SeededRuns(
        "LINESMAN_SIMULATION_SEEDS", standard: 60, first: "LINESMAN_SIMULATION_FIRST")

    @Test(arguments: runs.chunks(of: 20))
    func `nothing is traded by two, left alone or watched twice, and calm mends everything`(_ seeds: Range<UInt64>) {
        for seed in seeds {
            let outcome = Self.run(seed)
            #expect(outcome.problems.isEmpty, "seed \(seed): \(outcome.problems.prefix(4).joined(separator: "; "))")
        }
    }

    private static let oldMistakes: [UInt64] = [
        5, 22, 35, 41, 109, 207, 230, 271, 289, 801, 825, 1_300, 3_284, 4_687, 5_946, 6_102, 9_214, 2_363, 5_097, 488,
    ]

    /// Schedules that once ended badly: a lease renewed for a game that was being given away, a game given up by an
    /// orchestrator that was deaf, a term begun again after its end, an owner that came back while its game waited, a
    /// refusal that did not last, a new life or a hidden owner that read what was about to be given away.
    @Test(arguments: oldMistakes)
    func `a schedule that found a mistake finds none any more`(_ seed: UInt64) {
        let outcome = Self.run(seed)
        #expect(outcome.problems.isEmpty, "seed \(seed): \(outcome.problems.prefix(4).joined(separator: "; "))")
    }

    @Test(arguments: [UInt64(3), 17, 40]) func `the same seed gives the same run`(_ seed: UInt64) {
        let (first, second) = (Self.run(seed), Self.run(seed))
        #expect(first.hash == second.hash)
        #expect(first.reservations == second.reservations && first.moves == second.moves)
        #expect(first.hash != Self.run(seed + 1).hash)
    }

    @Test func `who owns a game is looked at when that changes, and not only at the next look`() {
        var simulation = Simulation(seed: 1)
        // Between two looks of every quarter of a second.
        let moment = MachineInstant.origin.advanced(by: .milliseconds(20_130))
        simulation.agenda.plan(.fault(.killShard(0)), at: moment)
        simulation.run(until: moment)
        #expect(simulation.watch.unownedSince.values.contains(moment), "\(simulation.watch.unownedSince)")
    }

    @Test(arguments: Plant.allCases.filter(\.isOfFleet)) func `a mistake made on purpose is found`(_ plant: Plant) {
        let problems = (1...UInt64(10)).lazy.flatMap { Self.run($0, plant: plant).problems }
        #expect(problems.contains { $0.contains(plant.problem) }, "\(plant) stayed unseen in 10 schedules")
    }

    // CHECKLIST N35: who cannot hear makes room for who can.
    @Test(arguments: 1...UInt64(20))
    func `a leader that alone is deaf is followed, and what died meanwhile is watched again`(_ seed: UInt64) throws {
        var simulation = Simulation(seed: seed)
        simulation.run(until: .origin.advanced(by: .seconds(10)))
        let (leader, term) = (simulation.database.holder, simulation.database.term)
        simulation.strike(.cutOrchestratorFromBus(leader))
        simulation.strike(.killShard(Int(seed % 3)))
        simulation.run(until: simulation.now.advanced(by: .seconds(25)))
        #expect(simulation.database.holder != leader && simulation.database.term == term + 1)
        #expect(simulation.orchestrators[leader].told == nil)
        let open = simulation.orchestrators[leader].toldAlerts.filter(\.isLeadersToTell)
        #expect(open.isEmpty)
        let unwatched = simulation.scoreboard.keys.filter { simulation.owner(of: $0) == nil }
        #expect(unwatched.isEmpty)
        #expect(simulation.violations.isEmpty && simulation.database.violations.isEmpty)
    }

    enum Loss: CaseIterable, Sendable {
        case killed, stopped, cutOff, deaf

        func fault(of leader: Int) -> Fault {
            switch self {
            case .killed: .killOrchestrator(leader)
            case .stopped: .pauseOrchestrator(leader)
            case .cutOff: .cutOrchestratorFromDatabase(leader)
            case .deaf: .cutOrchestratorFromBus(leader)
            }
        }
    }

    // CHECKLIST N35: in the system tests the machine decides how long it takes, here nothing but the protocol.
    @Test(arguments: Loss.allCases)
    func `however a leader fails, the other leads within 5 s under the next term`(_ loss: Loss) {
        for seed in 1...UInt64(20) {
            var simulation = Simulation(seed: seed)
            // Anywhere within a renewal.
            simulation.run(until: .origin.advanced(by: .seconds(10) + .milliseconds(50) * Int(seed)))
            let (leader, term) = (simulation.database.holder, simulation.database.term)
            simulation.strike(loss.fault(of: leader))
            simulation.run(until: simulation.now.advanced(by: .seconds(5)))
            let other = simulation.orchestrators[1 - leader].engine
            #expect(simulation.database.holder == 1 - leader && simulation.database.term == term + 1, "seed \(seed)")
            #expect(other.isLeading && other.term == term + 1, "seed \(seed)")
        }
    }

    @Test(arguments: 1...UInt64(10))
    func `a leader that is stopped with nobody there to follow goes on under its term and moves nothing`(
        _ seed: UInt64
    ) {
        var simulation = Simulation(seed: seed)
        // Who joined late has its share by then.
        simulation.run(until: .origin.advanced(by: .seconds(25)))
        let (leader, term, moves) = (simulation.database.holder, simulation.database.term, simulation.database.moves)
        simulation.strike(.killOrchestrator(1 - leader))
        simulation.strike(.pauseOrchestrator(leader))
        simulation.run(until: simulation.now.advanced(by: .seconds(8)))
        simulation.strike(.resumeOrchestrator(leader))
        simulation.run(until: simulation.now.advanced(by: .seconds(15)))
        #expect(simulation.database.holder == leader && simulation.database.term == term)
        #expect(simulation.orchestrators[leader].engine.term == term && simulation.database.moves == moves)
        #expect(simulation.violations.isEmpty)
    }

    @Test(arguments: 1...UInt64(10))
    func `with the bus away for all the leader leads on under its term, also when it is back`(_ seed: UInt64) {
        var simulation = Simulation(seed: seed)
        // Who joined late has its share by then.
        simulation.run(until: .origin.advanced(by: .seconds(25)))
        let (leader, term, moves) = (simulation.database.holder, simulation.database.term, simulation.database.moves)
        simulation.strike(.stopBus)
        simulation.run(until: simulation.now.advanced(by: .seconds(30)))
        simulation.strike(.startBus)
        simulation.run(until: simulation.now.advanced(by: .seconds(15)))
        #expect(simulation.database.holder == leader && simulation.database.term == term)
        #expect(simulation.orchestrators[leader].engine.isLeading && simulation.database.moves == moves)
        #expect(simulation.violations.isEmpty)
    }

    struct Outcome {
        let problems: [String]
        let history: [String]
        let hash: String
        let reservations: Int
        let moves: Int
        let longestUnowned: Duration
        let longestZombie: Duration
    }

    /// What happened in the schedule `LINESMAN_SIMULATION_HISTORY`, line by line into the file of that name.
    @Test(.enabled(if: environment["LINESMAN_SIMULATION_HISTORY"] != nil))
    func `one schedule is told in full`() throws {
        let seed = try #require(Self.environment["LINESMAN_SIMULATION_HISTORY"].flatMap { UInt64($0) })
        let outcome = Self.run(seed, isTold: true)
        let text = (outcome.history + outcome.problems).joined(separator: "\n")
        try text.write(toFile: "simulation-\(seed).log", atomically: true, encoding: .utf8)
        #expect(outcome.problems.isEmpty)
    }

    static func run(_ seed: UInt64, isTold: Bool = false, plant: Plant? = nil) -> Outcome {
        var simulation = Simulation(seed: seed, plant: plant)
        if isTold { simulation.history = [] }
        simulation.run(until: .origin.advanced(by: .seconds(6)))
        simulation.planTrouble(from: simulation.now, for: .seconds(30))
        simulation.run(until: simulation.now.advanced(by: .seconds(39)))
        simulation.calm()
        simulation.run(until: simulation.now.advanced(by: .seconds(40)))
        var problems = simulation.violations + simulation.database.violations
        if simulation.database.reservations == 0 || simulation.database.moves == 0 {
            problems.append("nothing happened")
        }
        for (game, status) in simulation.scoreboard.sorted(by: { $0.key < $1.key }) {
            let watchers = simulation.shards.filter { shard in shard.engine.watched.contains { $0.game == game } }
                .map(\.id.rawValue)
            let isRight = status.isEnd || status == .postponed ? watchers.isEmpty : watchers.count == 1
            if !isRight { problems.append("in the end \(game), \(status), is watched by \(watchers)") }
            if status == .live, simulation.owner(of: game) == nil { problems.append("in the end \(game) has no owner") }
        }
        for orchestrator in simulation.orchestrators where !orchestrator.engine.isLeading {
            let open = orchestrator.toldAlerts.filter(\.isLeadersToTell)
            if !open.isEmpty { problems.append("in the end a standby still tells \(open)") }
        }
        return Outcome(
            problems: problems, history: simulation.history ?? [], hash: simulation.log.digest,
            reservations: simulation.database.reservations,
            moves: simulation.database.moves, longestUnowned: simulation.watch.longestUnowned,
            longestZombie: simulation.watch.longestZombie)
    }
}
