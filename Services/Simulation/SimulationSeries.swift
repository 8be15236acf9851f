import Crypto

/// Several seeds one after another, and one SHA-256 over all of them.
public struct SimulationSeries: Sendable {
    private var hash = SHA256()
    public private(set) var seeds = 0
    public private(set) var steps = 0
    public private(set) var simulated = Duration.zero
    /// What went wrong, with its seed.
    public private(set) var failures: [SimulationOutcome] = []

    public init() {}

    public mutating func add(_ outcome: SimulationOutcome) {
        hash.update(data: Array(outcome.digest.utf8))
        seeds += 1
        steps += outcome.steps
        simulated += outcome.simulated
        if !outcome.violations.isEmpty { failures.append(outcome) }
    }

    /// Of the digests of all runs, in their order, in hexadecimal.
    public var digest: String {
        let digits = Array("0123456789abcdef".utf8)
        let text = hash.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
        return String(decoding: text, as: UTF8.self)
    }

    /// Runs seeds from `first` on until so many steps are used up.
    ///
    /// - Parameters:
    ///   - first: the seed of the first run.
    ///   - steps: how much may happen in all; the last run is cut short. Nil for one whole run, or no end.
    ///   - untilFailure: whether to go on, without `steps` for ever, and to stop at the first seed that goes wrong.
    ///   - heard: is told of each run.
    /// - Returns: all of them together.
    public static func run(
        from first: UInt64, steps: Int?, untilFailure: Bool, heard: (SimulationOutcome) -> Void
    ) -> SimulationSeries {
        var series = SimulationSeries()
        var seed = first
        while series.steps < steps ?? .max {
            let outcome = SimulationRun.run(seed, steps: steps.map { $0 - series.steps } ?? .max)
            series.add(outcome)
            heard(outcome)
            if untilFailure ? !series.failures.isEmpty : steps == nil { break }
            seed &+= 1
        }
        return series
    }
}
