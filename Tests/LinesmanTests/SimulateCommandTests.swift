import Simulation
import Testing

@testable import Linesman

@Suite struct SimulateCommandTests {
    @Test func `a run is told in one line`() {
        let line = SimulateCommand.line(SimulationRun.run(1, steps: 500))
        #expect(line.hasPrefix("seed 1: held; 500 steps, "))
        #expect(!line.contains("\n"))
    }

    @Test func `steps below one are refused`() {
        #expect(throws: (any Error).self) { try SimulateCommand.parse(["--steps", "0"]) }
        #expect(throws: Never.self) { try SimulateCommand.parse(["--seed", "7", "--steps", "1", "--until-failure"]) }
    }
}
