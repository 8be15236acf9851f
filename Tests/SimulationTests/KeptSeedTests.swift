import Foundation
import Testing

@testable import Simulation

extension KeptSeed {
    static let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Seeds.txt")

    static func read(from file: URL) throws -> [KeptSeed] {
        try parse(String(contentsOf: file, encoding: .utf8))
    }
}

@Suite struct KeptSeedTests {
    @Test func `a kept seed is read as it was written`() throws {
        let kept = KeptSeed(seed: 391, reason: "the books differ for good")
        #expect(try KeptSeed.parse("# for people\n\n\(kept.line)\n17\n") == [kept, KeptSeed(seed: 17, reason: "")])
    }

    @Test func `a line that names no seed says which`() {
        #expect(throws: KeptSeedError(line: 2, text: "x 1")) { try KeptSeed.parse("1 a\nx 1") }
    }

    @Test func `a seed gets a line of its own, and one only`() throws {
        let kept = KeptSeed(seed: 7, reason: "why")
        for list in ["", "# for people\n", "1 a\n", "1 a"] {
            let added = try kept.added(to: list)
            #expect(try KeptSeed.parse(added) == KeptSeed.parse(list) + [kept] && added.hasSuffix("7 why\n"))
            #expect(try kept.added(to: added) == added)
        }
        #expect(throws: KeptSeedError(line: 1, text: "x")) { try kept.added(to: "x") }
    }

    @Test func `the list in the repository can be read`() throws {
        _ = try KeptSeed.read(from: KeptSeed.file)
    }

    @Test func `a violation is the same whenever and with whatever figures it happens`() {
        let kind = SimulationRun.kind(of: "60941 ms: 12.50 is reserved of 11.20")
        #expect(kind == "is reserved of")
        #expect(SimulationRun.kind(of: "7 ms: 1.00 is reserved of 0.20") == kind)
    }

    @Test func `a failing seed is shrunk to the troubles that it takes`() throws {
        let failing = try #require(
            (1...UInt64(200)).first { !SimulationRun.run($0, plant: .killFileUnread).violations.isEmpty })
        let shrunk = try #require(SimulationRun.shrink(failing, plant: .killFileUnread))
        #expect(shrunk.violation.contains(Plant.killFileUnread.problem))
        #expect(shrunk.troubles.count < shrunk.of / 4)
        #expect(SimulationRun.shrink(failing, plant: nil) == nil)
    }
}
