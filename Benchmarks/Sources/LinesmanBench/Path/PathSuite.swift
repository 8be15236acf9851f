import FleetTestKit
import Foundation
import Resilience
import Runtime

/// From a price at the venue to the order that answers it, beside two bare Redis hops and two bare commits.
///
/// Real processes, durable commits, 1,000 price changes and 20 orders a second; the bare line runs at the same time, at
/// the same rate, over the same servers. An order that is lost or seen twice is a broken promise; times are bars.
enum PathSuite {
    private static let rate = 20
    /// Caches and connections are warm after it, and the first signals of all games are gone.
    private static let warmUp = Duration.seconds(10)
    /// From the venue's start until orders flow, at most, and what the end takes.
    private static let slack = Duration.seconds(150)

    private struct Result: Sendable {
        var journeys: [Journey] = []
        var bare: [BareJourney] = []
        var changes = 0.0
        var deltas = 0.0
        var orders = 0.0
        var durability: [String: String] = [:]
    }

    static func run(_ options: Options) async throws -> Report {
        let seconds = options.seconds
        let kept = ProcessInfo.processInfo.environment["LINESMAN_KEEP_LOGS"] == "1"
        var report = Report(
            title: "the way of an order: \(seconds) s at 1,000 price changes and \(rate) orders a second")
        report.set("load_before", to: .text(FleetBench.load))
        say("load \(FleetBench.load)")
        let result = try await Interruption.endsCleanly {
            try await PathFleet.run(
                executables: FleetBench.executables, lasting: slack + warmUp + .seconds(seconds), isKept: kept
            ) { try await measure($0, options) }
        }
        report.set("load_after", to: .text(FleetBench.load))
        add(result, to: &report)
        Machine.describe(&report)
        return report
    }

    private static func say(_ text: String) { FileHandle.standardError.write(Data("path: \(text)\n".utf8)) }

    private static func measure(_ fleet: PathFleet, _ options: Options) async throws -> Result {
        say("orders flow; logs in \(fleet.path)")
        var result = Result()
        for name in ["fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "server_version"] {
            let row = try await fleet.database.first("SELECT current_setting(\(name)) AS value")
            result.durability[name] = try row?.text("value")
        }
        try await fleet.stay(warmUp)
        let line = try BareLine(fleet, program: "\(options.peers)/path", rate: rate, count: rate * options.seconds)
        let (before, began) = (try await fleet.counts(), WallClock.real.microseconds)
        do {
            try await fleet.stay(.seconds(options.seconds))
        } catch {
            await line.end()
            throw error
        }
        let (after, ended) = (try await fleet.counts(), WallClock.real.microseconds)
        result.bare = try await line.journeys()
        // Orders on their way arrive, and are booked.
        try await fleet.stay(.seconds(2))
        result.journeys = try await fleet.journeys().filter { (began..<ended).contains($0.tick) }
        let elapsed = Double(ended - began) / 1e6
        result.changes = Double(after.changes - before.changes) / elapsed
        result.deltas = Double(after.deltas - before.deltas) / elapsed
        result.orders = Double(result.journeys.count) / elapsed
        return result
    }

    private static func add(_ result: Result, to report: inout Report) {
        let ours = result.journeys.map(\.milliseconds)
        let bare = result.bare.map(\.milliseconds)
        guard let p50 = ours.percentile(0.5), let p99 = ours.percentile(0.99), let bare50 = bare.percentile(0.5),
            let bare99 = bare.percentile(0.99)
        else { return report.violation("nothing was measured") }
        func figure(_ name: String, _ milliseconds: [Double]) -> Figure {
            Figure(name: name, slices: milliseconds.map { $0 * 1_000 })
        }
        report.add(
            ReportLine(
                title: "tick to order sent, median", ours: figure("ours", ours), peer: figure("bare", bare)),
            as: "tick_to_order_p50_us", peerAs: "bare_p50_us")
        for (index, name) in (result.journeys.first?.parts.map(\.name) ?? []).enumerated() {
            let part = result.journeys.map { $0.parts[index].milliseconds }
            report.add(
                ReportLine(title: "  of it \(name.replacing("_", with: " "))", ours: figure(name, part), peer: nil),
                as: "part_\(name)_p50_us")
        }
        for (index, name) in BareJourney.partNames.enumerated() {
            let part = result.bare.map { $0.parts[index] }
            report.add(
                ReportLine(title: "bare \(name.replacing("_", with: " "))", ours: figure(name, part), peer: nil),
                as: "bare_\(name)_p50_us")
        }
        for (key, value) in [
            ("tick_to_order_p50_ms", p50), ("tick_to_order_p99_ms", p99), ("bare_p50_ms", bare50),
            ("bare_p99_ms", bare99), ("ratio_p99", p99 / bare99), ("changes_per_s", result.changes),
            ("deltas_per_s", result.deltas), ("orders", Double(ours.count)),
        ] { report.set(key, to: .number(value)) }
        report.add(Bar("tick to order sent, p50 against bare", p50 / bare50, .atMost(3)), as: "ratio_p50")
        // What an operator is promised (CHECKLIST R104).
        for (key, name, parts, limit) in [
            ("tick_to_signal_p95_ms", "tick to signal, p95, ms", [0], 50.0),
            ("signal_transaction_p95_ms", "the signal's transaction, p95, ms", [2], 100),
            ("tick_to_order_p95_ms", "tick to order sent, p95, ms", Array(0..<6), 200),
        ] {
            let times = result.journeys.map { journey in parts.reduce(0) { $0 + journey.parts[$1].milliseconds } }
            report.add(Bar(name, times.percentile(0.95), .atMost(limit)), as: key)
        }
        report.add(Bar("price changes a second", result.changes, .atLeast(990)), as: "changes_per_s")
        report.add(Bar("orders a second", result.orders, .atLeast(19)), as: "orders_per_s")
        for (name, value) in result.durability { report.set("postgres_\(name)", to: .text(value)) }
        let settings = result.durability.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        report.note("\(ours.count) orders, \(bare.count) bare; postgres: \(settings.joined(separator: ", "))")
        report.note(
            String(format: "p99: %.2f ms, bare %.2f ms, ratio %.2f", p99, bare99, p99 / bare99))
    }
}
