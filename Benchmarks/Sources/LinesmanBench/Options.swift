import Foundation

/// A group of figures with a results file of its own.
enum Suite: String, CaseIterable {
    case engine
    case bus
    case postgres
    case fleet
    /// Takes half an hour, so it runs only when it is named.
    case busFaults = "bus-faults"
    /// Takes a few minutes, so it runs only when it is named.
    case postgresFaults = "postgres-faults"
    /// Takes the better part of an hour, so it runs only when it is named.
    case fleetFaults = "fleet-faults"
    /// Wants the machine for itself, so it runs only when it is named.
    case path
    /// Likewise.
    case load
    /// Takes the better part of an hour, so it runs only when it is named.
    case orderFaults = "order-faults"
    /// Takes a quarter of an hour, so it runs only when it is named.
    case killSwitch = "kill-switch"

    static let usual: [Suite] = [.engine, .bus, .postgres, .fleet]

    /// The name of its results file without `.json`; suites may share one.
    var resultName: String {
        switch self {
        case .engine, .bus, .postgres, .fleet: rawValue
        case .busFaults: "bus"
        case .postgresFaults: "postgres"
        case .fleetFaults, .path, .load: rawValue
        case .orderFaults: "orders"
        case .killSwitch: "killswitch"
        }
    }

    func run(_ options: Options) async throws -> Report {
        switch self {
        case .engine: try EngineSuite.run(options)
        case .bus: try await BusSuite.run(options)
        case .postgres: try await PostgresSuite.run(options)
        case .fleet: try FleetSuite.run(options)
        case .busFaults: try await BusFaults.run(options)
        case .postgresFaults: try await PostgresFaults.run(options)
        case .fleetFaults: try await FleetFaults.run(options)
        case .path: try await PathSuite.run(options)
        case .load: try await LoadSuite.run(options)
        case .orderFaults: try await OrderFaults.run(options)
        case .killSwitch: try await KillSwitchBench.run(options)
        }
    }
}

/// What the command line asks for.
struct Options {
    /// What to run, in this order.
    var suites = Suite.usual
    /// Where the figures are written, relative to the current folder.
    var results = "Benchmarks/results"
    /// How many slices each contender gets, 3 or more; odd, so that the median is one of them.
    var rounds = 21
    /// What of the bus to measure; all when empty.
    var parts: Set<BusSuite.Part> = []
    /// What of the database client to measure; all when empty.
    var postgresParts: Set<PostgresSuite.Part> = []
    /// Which faults of the bus to make; all when empty.
    var faultParts: Set<BusFaults.Part> = []
    /// Which faults of the fleet to make; all when empty.
    var fleetParts: Set<FleetFaults.Part> = []
    /// What of the load to measure; all when empty.
    var loadParts: Set<LoadSuite.Part> = []
    /// How many times a shard fails.
    var fleetRounds = 50
    /// How many games the fleet watches.
    var games = 20
    /// Orders that are sent to a venue on a bad day.
    var submits = 100_000
    /// How often each fault is made.
    var faultRounds = 20
    /// How long the server is away, in seconds.
    var away = 30
    /// How long a consumer does not read, in minutes.
    var minutes = 10.0
    /// How long orders are measured, in seconds.
    var seconds = 60
    /// Decides what is left to chance.
    var seed: UInt64 = 20_260_301
    /// Where `scripts/bench.sh` puts the C peers, and the Python peers' packages if they could be had.
    var peers = "Benchmarks/.build/peers"
    var python = "Benchmarks/.venv/bin/python"
    var pythonPeers = "Benchmarks/Peers"
    /// Where recordings lie that are not part of the repository.
    var recordings: String

    init(_ arguments: some Sequence<String>, environment: [String: String]) throws(BenchError) {
        let named = environment["LINESMAN_SHARED_DATA"] ?? ""
        recordings = named.isEmpty ? "../shared/data" : named
        var rest = Array(arguments)[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "all":
                suites = Suite.usual
            case "--results":
                guard let folder = rest.popFirst() else { throw BenchError(.usage, "--results needs a folder") }
                results = folder
            case "--only":
                try addPart(rest.popFirst() ?? "")
            case "--rounds":
                guard let count = rest.popFirst().flatMap({ Int($0) }), (3...1_001).contains(count) else {
                    throw BenchError(.usage, "--rounds needs a number from 3 to 1001")
                }
                rounds = count | 1
                fleetRounds = count
            case "--fault-rounds":
                faultRounds = try Self.number(argument, rest.popFirst(), in: 4...1_000)
            case "--submits":
                submits = try Self.number(argument, rest.popFirst(), in: 100...10_000_000)
            case "--games":
                games = try Self.number(argument, rest.popFirst(), in: 2...400)
            case "--away":
                away = try Self.number(argument, rest.popFirst(), in: 1...3_600)
            case "--minutes":
                minutes = try Self.number(argument, rest.popFirst(), in: 0.1...600)
            case "--seconds":
                seconds = try Self.number(argument, rest.popFirst(), in: 5...600)
            case "--seed":
                seed = try Self.number(argument, rest.popFirst(), in: 0...UInt64(Int64.max))
            default:
                if suites == [.fleetFaults], let part = FleetFaults.Part(rawValue: argument) {
                    fleetParts.insert(part)
                    continue
                }
                if suites == [.load], let part = LoadSuite.Part(rawValue: argument) {
                    loadParts.insert(part)
                    continue
                }
                guard let suite = Suite(rawValue: argument) else {
                    let known = Suite.allCases.map(\.rawValue).joined(separator: " | ")
                    throw BenchError(.usage, "unknown argument '\(argument)', expected \(known) | all")
                }
                suites = [suite]
            }
        }
    }

    /// The parts of all suites have different names.
    private mutating func addPart(_ name: String) throws(BenchError) {
        if let part = BusSuite.Part(rawValue: name) {
            parts.insert(part)
        } else if let part = BusFaults.Part(rawValue: name) {
            faultParts.insert(part)
        } else if let part = PostgresSuite.Part(rawValue: name) {
            postgresParts.insert(part)
        } else {
            let known =
                BusSuite.Part.allCases.map(\.rawValue) + PostgresSuite.Part.allCases.map(\.rawValue)
                + BusFaults.Part.allCases.map(\.rawValue)
            throw BenchError(.usage, "--only needs one of \(known.joined(separator: " | "))")
        }
    }

    private static func number<Number: Comparable & LosslessStringConvertible>(
        _ option: String, _ text: String?, in range: ClosedRange<Number>
    ) throws(BenchError) -> Number {
        guard let number = text.flatMap({ Number($0) }), range.contains(number) else {
            throw BenchError(.usage, "\(option) needs a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
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
