import Foundation
import Servers
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

    @Test func `a seed is kept in a list that is there or not, and one that is none is left alone`() throws {
        let folder = try TemporaryDirectory("seeds")
        defer { folder.remove() }
        let path = "\(folder.path)/seeds.txt"
        for seed in [UInt64(3), 5, 3] { try SimulateCommand.keep(KeptSeed(seed: seed, reason: "why"), in: path) }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "3 why\n5 why\n")
        let foreign = Data([0xff, 0xfe, 0x00])
        try foreign.write(to: URL(filePath: path))
        #expect(throws: (any Error).self) { try SimulateCommand.keep(KeptSeed(seed: 7, reason: ""), in: path) }
        #expect(FileManager.default.contents(atPath: path) == foreign)
    }

    @Test func `steps below one are refused`() {
        #expect(throws: (any Error).self) { try SimulateCommand.parse(["--steps", "0"]) }
        #expect(throws: Never.self) { try SimulateCommand.parse(["--seed", "7", "--steps", "1", "--until-failure"]) }
    }
}
