import Foundation

/// The seeds that a test plays, as many as the environment asks for.
public struct SeededRuns: Sendable {
    public let seeds: Range<UInt64>

    /// - Parameters:
    ///   - count: the environment's name for how many there are.
    ///   - standard: how many where it says nothing.
    ///   - first: its name for the first seed; 1 where it says nothing.
    public init(_ count: String, standard: Int, first: String) {
        let environment = ProcessInfo.processInfo.environment
        let number = environment[count].flatMap { UInt64($0) } ?? UInt64(standard)
        let begin = environment[first].flatMap { UInt64($0) } ?? 1
        seeds = begin..<begin + number
    }

    /// In so many parts of about one length, as for tests that need a database each.
    public func parts(_ parts: UInt64) -> [Range<UInt64>] {
        let (begin, count) = (seeds.lowerBound, UInt64(seeds.count))
        return (0..<parts).map { begin + count * $0 / parts..<begin + count * ($0 + 1) / parts }
    }

    /// In parts of a length, so that a case is worth its bookkeeping.
    public func chunks(of length: UInt64) -> [Range<UInt64>] {
        stride(from: seeds.lowerBound, to: seeds.upperBound, by: Int(length)).map { start in
            start..<min(start + length, seeds.upperBound)
        }
    }
}
