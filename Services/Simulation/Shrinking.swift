import Domain

/// The least of a schedule that still goes wrong.
public struct ShrunkSeed: Sendable {
    public let seed: UInt64
    /// What goes wrong first.
    public let violation: String
    /// The troubles that it takes, in words.
    public let troubles: [String]
    /// How many the seed's schedule has.
    public let of: Int
    /// How many runs it took to find out.
    public let runs: Int
}

extension SimulationRun {
    /// Leaves out troubles, half of them first and at last one by one, as long as something goes wrong in the same way.
    ///
    /// Nil when nothing goes wrong with the seed.
    public static func shrink(_ seed: UInt64, atMost limit: Int = 400) -> ShrunkSeed? {
        shrink(seed, atMost: limit, plant: nil)
    }

    static func shrink(_ seed: UInt64, atMost limit: Int = 400, plant: Plant?) -> ShrunkSeed? {
        let whole = run(seed, plant: plant)
        guard let first = whole.violations.first else { return nil }
        let kind = kind(of: first)
        var kept = Array(0..<whole.troubles)
        var runs = 1
        func fails(_ indices: [Int]) -> Bool {
            runs += 1
            let violations = run(seed, plant: plant, keeping: Set(indices)).violations
            return violations.contains { Self.kind(of: $0) == kind }
        }
        var size = max(1, kept.count / 2)
        while true {
            var start = 0
            var isSmaller = false
            while start < kept.count, runs < limit {
                var fewer = kept
                fewer.removeSubrange(start..<min(start + size, kept.count))
                if fails(fewer) {
                    kept = fewer
                    isSmaller = true
                } else {
                    start += size
                }
            }
            if runs >= limit || (size == 1 && !isSmaller) { break }
            size = max(1, size / 2)
        }
        let last = run(seed, plant: plant, keeping: Set(kept))
        var simulation = Simulation(seed: seed, profile: .suite(seed: seed), plant: plant)
        let schedule = simulation.schedule(.whole)
        return ShrunkSeed(
            seed: seed, violation: last.violations.first { Self.kind(of: $0) == kind } ?? first,
            troubles: kept.map { schedule[$0].description }, of: whole.troubles, runs: runs + 1)
    }

    /// A violation without its time and its figures: two of the same kind are the same mistake.
    static func kind(of violation: String) -> String {
        let words = violation.split(separator: " ").drop { $0.hasSuffix("ms:") || $0.allSatisfy(\.isNumber) }
        return words.filter { word in !word.contains(where: \.isNumber) }.joined(separator: " ")
    }
}

extension PlannedTrouble: CustomStringConvertible {
    var description: String {
        func milliseconds(_ instant: Int64) -> String { "\(instant / 1_000_000) ms" }
        let start = "\(milliseconds(at.nanoseconds)): \(begin)"
        return end.map { "\(start), until \(milliseconds($0.at.nanoseconds))" } ?? start
    }
}

extension PlannedTrouble.Breakage: CustomStringConvertible {
    var description: String {
        switch self {
        case .fleet(let fault): "\(fault)"
        case .path(let fault): "\(fault)"
        }
    }
}
