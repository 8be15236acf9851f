import Simulation
import Testing

@testable import Linesman

@Suite struct SimulateCommandTests {
    @Test func `a run is told in one line`() {
        let line = SimulateCommand.line(SimulationRun.run(1, steps: 500))
        #expect(line.hasPrefix("seed 1: held; 500 steps, "))
        #expect(!line.contains("\n"))
    }

    @Test func `the pace is simulated time by real time`() {
        let pace = SimulateCommand.pace(.seconds(7_200), in: .seconds(2))
        #expect(pace == "3600 simulated hours in an hour of one core (2.0 s)")
    }

    @Test func `steps below one are refused`() {
        #expect(throws: (any Error).self) { try SimulateCommand.parse(["--steps", "0"]) }
        #expect(throws: Never.self) { try SimulateCommand.parse(["--seed", "7", "--steps", "1", "--until-failure"]) }
    }
}
