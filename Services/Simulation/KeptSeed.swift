/// A seed that once went wrong, and what it was kept for; every test run plays it again.
public struct KeptSeed: Hashable, Sendable {
    public let seed: UInt64
    public let reason: String

    public init(seed: UInt64, reason: String) {
        self.seed = seed
        self.reason = reason
    }

    /// One seed a line, then what it was kept for; lines that begin with `#` are for people.
    ///
    /// - Throws: `KeptSeedError` for a line that names no seed.
    public static func parse(_ text: String) throws(KeptSeedError) -> [KeptSeed] {
        var kept: [KeptSeed] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty || line.hasPrefix("#") { continue }
            let parts = line.split(separator: " ", maxSplits: 1)
            guard let seed = UInt64(parts[0]) else { throw KeptSeedError(line: index + 1, text: String(line)) }
            kept.append(KeptSeed(seed: seed, reason: parts.count > 1 ? String(parts[1]) : ""))
        }
        return kept
    }

    /// The list with this seed as its last; as it was when the seed is in it already.
    ///
    /// - Throws: `KeptSeedError` when the list cannot be read.
    public func added(to list: String) throws(KeptSeedError) -> String {
        guard try !Self.parse(list).contains(where: { $0.seed == seed }) else { return list }
        return list + (list.isEmpty || list.hasSuffix("\n") ? "" : "\n") + line + "\n"
    }

    /// As `parse` reads it.
    public var line: String { "\(seed) \(reason.split(separator: "\n").joined(separator: " "))" }
}

/// A line of the list of kept seeds that cannot be read.
public struct KeptSeedError: Error, Hashable, CustomStringConvertible {
    public let line: Int
    public let text: String

    public var description: String { "line \(line) of the kept seeds begins with no number: \(text)" }
}
