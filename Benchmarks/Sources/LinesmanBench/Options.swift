import Foundation

/// A group of figures with a results file of its own.
enum Suite: String, CaseIterable {
    case engine
    case bus

    /// The name of its results file without `.json`; suites may share one.
    var resultName: String { rawValue }

    func run(_ options: Options) async throws -> Report {
        switch self {
        case .engine: try EngineSuite.run(options)
        case .bus: try await BusSuite.run(options)
        }
    }
}

/// What the command line asks for.
struct Options {
    /// What to run, in this order.
    var suites = Suite.allCases
    /// Where the figures are written, relative to the current folder.
    var results = "Benchmarks/results"
    /// How many slices each contender gets, 3 or more; odd, so that the median is one of them.
    var rounds = 21
    /// What of the bus to measure; all when empty.
    var parts: Set<BusSuite.Part> = []
    /// Where `scripts/bench.sh` puts the C peers, and redis-py if it could be had.
    var peers = "Benchmarks/.build/peers"
    var python = "Benchmarks/.venv/bin/python"
    var pythonPeer = "Benchmarks/Peers/subscribe.py"
    /// Where recordings lie that are not part of the repository.
    var recordings: String

    init(_ arguments: some Sequence<String>, environment: [String: String]) throws(BenchError) {
        let named = environment["LINESMAN_SHARED_DATA"] ?? ""
        recordings = named.isEmpty ? "../shared/data" : named
        var rest = Array(arguments)[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "all":
                suites = Suite.allCases
            case "--results":
                guard let folder = rest.popFirst() else { throw BenchError(.usage, "--results needs a folder") }
                results = folder
            case "--only":
                guard let part = rest.popFirst().flatMap(BusSuite.Part.init) else {
                    let known = BusSuite.Part.allCases.map(\.rawValue).joined(separator: " | ")
                    throw BenchError(.usage, "--only needs one of \(known)")
                }
                parts.insert(part)
            case "--rounds":
                guard let count = rest.popFirst().flatMap({ Int($0) }), (3...1_001).contains(count) else {
                    throw BenchError(.usage, "--rounds needs a number from 3 to 1001")
                }
                rounds = count | 1
            default:
                guard let suite = Suite(rawValue: argument) else {
                    let known = Suite.allCases.map(\.rawValue).joined(separator: " | ")
                    throw BenchError(.usage, "unknown argument '\(argument)', expected \(known) | all")
                }
                suites = [suite]
            }
        }
    }
}

/// Why a measurement cannot be made, or must not be believed.
struct BenchError: Error, CustomStringConvertible {
    enum Code {
        /// The command line is wrong.
        case usage
        /// The contenders did not do the same work, so their times say nothing.
        case disagreement
        /// The clock or a file failed.
        case failure
    }

    let code: Code
    let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    var exitCode: Int32 { code == .usage ? 64 : 1 }
}
