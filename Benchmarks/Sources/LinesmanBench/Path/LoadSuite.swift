import FleetTestKit
import Foundation
import Resilience
import Runtime

/// How much the suite bears, what gives way first, and what its supervision costs (CHECKLIST R101, R104).
///
/// Real processes, durable commits, one process of each kind. Games are added until orders come late or not at all; an
/// order that is lost or seen twice is a broken promise, times are bars.
enum LoadSuite {
    /// What can be run alone.
    enum Part: String, CaseIterable {
        case ramp
        case overhead
    }

    /// Games of each step of the ramp, and so orders a second; each has ten price changes a second.
    private static let steps = [20, 40, 80, 120, 160]
    private static let warmUp = Duration.seconds(8)
    private static let slack = Duration.seconds(180)
    /// How often the suite is measured with its supervision and without, in turns.
    private static let turns = 3

    static func run(_ options: Options) async throws -> Report {
        var report = Report(title: "load: what the suite bears, \(options.seconds) s for each step")
        report.set("load_before", to: .text(FleetBench.load))
        for part in Part.allCases where options.loadParts.isEmpty || options.loadParts.contains(part) {
            switch part {
            case .ramp: try await ramp(options, &report)
            case .overhead: try await overhead(options, &report)
            }
        }
        report.set("load_after", to: .text(FleetBench.load))
        Machine.describe(&report)
        return report
    }

    private static func say(_ text: String) { FileHandle.standardError.write(Data("load: \(text)\n".utf8)) }

    // MARK: The ramp

    private static func ramp(_ options: Options, _ report: inout Report) async throws {
        var best = 0.0
        for games in steps {
            let measured = try await measure(.init(games: games, changesPerSecond: 10), options)
            add(measured, of: games, to: &report)
            guard let p95 = measured.milliseconds.percentile(0.95), measured.orders >= 0.95 * Double(games),
                p95 <= 200
            else {
                report.note("\(games) orders a second are too many here: \(measured.busiest)")
                break
            }
            best = measured.orders
        }
        report.add(Bar("orders a second, p95 within 200 ms", best, .atLeast(20)), as: "ramp_orders_per_s")
    }

    private static func add(_ measured: Measured, of games: Int, to report: inout Report) {
        guard !measured.milliseconds.isEmpty else { return report.note("\(games) games: no order arrived") }
        report.add(
            ReportLine(
                title: "\(games) games: tick to order, median",
                ours: Figure(name: "ours", slices: measured.milliseconds.map { $0 * 1_000 }), peer: nil),
            as: "ramp_\(games)_p50_us")
        for (name, share) in [("p95", 0.95), ("p99", 0.99)] {
            measured.milliseconds.percentile(share).map { report.set("ramp_\(games)_\(name)_ms", to: .number($0)) }
        }
        report.set("ramp_\(games)_orders_per_s", to: .number(measured.orders))
        for (name, cores) in measured.cores { report.set("ramp_\(games)_cores_\(key(name))", to: .number(cores)) }
        let p95 = measured.milliseconds.percentile(0.95) ?? 0
        report.note(
            String(format: "%d games: %.1f orders/s, p95 %.1f ms; cores: ", games, measured.orders, p95)
                + measured.busiest)
    }

    private static func key(_ name: String) -> String { name.replacing("-", with: "_") }

    // MARK: The overhead

    private static func overhead(_ options: Options, _ report: inout Report) async throws {
        var on: [Measured] = []
        var off: [Measured] = []
        for turn in 1...turns {
            say("turn \(turn) of \(turns)")
            on.append(try await measure(.init(), options))
            off.append(try await measure(.init(), options, ["HEALTH_CHECKS_ENABLED": "false"]))
        }
        let (with, without) = (Measured.merged(on), Measured.merged(off))
        guard let slow = with.milliseconds.percentile(0.5), let quick = without.milliseconds.percentile(0.5) else {
            return report.violation("nothing was measured")
        }
        func figure(_ name: String, _ measured: Measured) -> Figure {
            Figure(name: name, slices: measured.milliseconds.map { $0 * 1_000 })
        }
        report.add(
            ReportLine(
                title: "tick to order, median, beside none", ours: figure("with", with),
                peer: figure("without", without)),
            as: "overhead_with_p50_us", peerAs: "overhead_without_p50_us")
        report.add(Bar("health checks cost an order, ms", slow - quick, .atMost(2)), as: "overhead_order_ms")
        var more: [Double] = []
        for (name, kilobytes) in with.memory.sorted(by: { $0.key < $1.key }) {
            guard let bare = without.memory[name], name != "postgres", name != "redis-server" else { continue }
            more.append(kilobytes - bare)
            report.note(String(format: "%@: %.1f MB, without %.1f MB", name, kilobytes / 1_024, bare / 1_024))
        }
        report.add(
            Bar(
                "health checks cost a service, KB", more.isEmpty ? nil : more.reduce(0, +) / Double(more.count),
                .atMost(100)),
            as: "overhead_service_kb")
    }

    // MARK: One measurement

    private struct Measured: Sendable {
        /// From a tick to its order.
        var milliseconds: [Double] = []
        /// Orders a second that reached the venue.
        var orders = 0.0
        /// What each program used, in cores.
        var cores: [String: Double] = [:]
        /// What each had of its own at the end, in kilobytes.
        var memory: [String: Double] = [:]

        var busiest: String {
            cores.sorted { $0.value > $1.value }.map { String(format: "%@ %.2f", $0.key, $0.value) }
                .joined(separator: ", ")
        }

        /// All orders, and the means of the rest.
        static func merged(_ all: [Measured]) -> Measured {
            var sum = Measured()
            for one in all {
                sum.milliseconds += one.milliseconds
                sum.orders += one.orders / Double(all.count)
                sum.cores.merge(one.cores.mapValues { $0 / Double(all.count) }, uniquingKeysWith: +)
                sum.memory.merge(one.memory.mapValues { $0 / Double(all.count) }, uniquingKeysWith: +)
            }
            return sum
        }
    }

    private static func measure(
        _ load: PathFleet.Load, _ options: Options, _ settings: [String: String] = [:]
    ) async throws -> Measured {
        say("\(load.games) games, load \(FleetBench.load)")
        let seconds = options.seconds
        return try await Interruption.endsCleanly {
            try await PathFleet.run(
                executables: FleetBench.executables, lasting: slack + warmUp + .seconds(seconds), load, settings
            ) { fleet in
                try await fleet.stay(warmUp)
                let (before, began) = (try uses(fleet), WallClock.real.microseconds)
                try await fleet.stay(.seconds(seconds))
                let (after, ended) = (try uses(fleet), WallClock.real.microseconds)
                // Orders on their way arrive, and are booked.
                try await fleet.stay(.seconds(2))
                var measured = Measured()
                measured.milliseconds = try await fleet.journeys().filter { (began..<ended).contains($0.tick) }
                    .map(\.milliseconds)
                let elapsed = Double(ended - began) / 1e6
                measured.orders = Double(measured.milliseconds.count) / elapsed
                for (name, use) in after {
                    measured.cores[name] = (use.cpu - (before[name]?.cpu ?? 0)) / elapsed
                    measured.memory[name] = Double(use.ownKilobytes)
                }
                return measured
            }
        }
    }

    private static func uses(_ fleet: PathFleet) throws -> [String: ProcessUse] {
        try fleet.processIDs.mapValues { try ProcessUse(of: $0) }
    }
}
