import Foundation
import PostgresTestKit
import Runtime
import Servers
import TestKit

/// What becomes of writes while connections are cut at every byte and server processes are terminated, and whether
/// anybody is forgotten in the pool's queue: a real server, real time.
///
/// Nothing lost and nothing stored twice are promises; rates are bars.
enum PostgresFaults {
    static func run(_ options: Options) async throws -> Report {
        var report = Report(title: "postgres faults: cuts at every byte, terminated server processes, a million leases")
        let directory = try TemporaryDirectory("pg-faults")
        defer { directory.remove() }
        let server = try await PrivatePostgres.start(in: directory.path, maxConnections: 400)
        do {
            try await cuts(server, &report)
            try await kills(server, &report)
            try await leases(server, &report)
        } catch {
            await server.stop(.immediate)
            throw error
        }
        await server.stop(.immediate)
        Machine.describe(&report)
        return report
    }

    private static func say(_ text: String) {
        FileHandle.standardError.write(Data("postgres-faults: \(text)\n".utf8))
    }

    private static func cuts(_ server: PrivatePostgres, _ report: inout Report) async throws {
        try await server.createDatabase("cuts")
        var (cuts, lost, duplicated) = (0, 0, 0)
        for kind in CutSweep.Kind.allCases {
            for direction in FaultProxy.Direction.allCases {
                say("cuts: \(kind.rawValue), \(direction) …")
                let tally = try await CutSweep(server: server, database: "cuts").run(kind, direction)
                cuts += tally.cuts
                lost += tally.lost
                duplicated += tally.duplicated
                report.note(
                    "\(kind.rawValue) cut \(direction) at each of \(tally.bytes) bytes: \(tally.succeeded) succeeded, "
                        + "\(tally.unknown) unknown of which \(tally.unknownStored) stored, \(tally.refused) refused, "
                        + "\(tally.lost) lost, \(tally.duplicated) stored twice")
                if kind == .idempotent, tally.unknown + tally.refused > 0 {
                    report.violation("an idempotent write did not end well: \(tally.errors)")
                }
            }
        }
        report.set("cut_bytes", to: .number(Double(cuts)))
        report.add(Bar("writes told of success and not stored", Double(lost), .atMost(0)), as: "cut_losses")
        report.add(
            Bar("writes stored twice, or against their word", Double(duplicated), .atMost(0)), as: "cut_duplicates")
        if lost + duplicated > 0 { report.violation("\(lost) writes lost, \(duplicated) stored twice") }
    }

    private static func kills(_ server: PrivatePostgres, _ report: inout Report) async throws {
        var (writes, succeeded, wrong) = (0, 0, 0)
        for round in 1...5 {
            say("kills: round \(round) …")
            try await server.createDatabase("kills_\(round)")
            let tally = try await KillRun(url: server.socketURL(database: "kills_\(round)")).run()
            writes += tally.writes
            succeeded += tally.succeeded
            wrong += tally.lost + tally.duplicated
            report.note(
                "\(tally.writes) idempotent writes, \(tally.kills) terminated processes: \(tally.succeeded) succeeded, "
                    + "\(tally.retries) retries, \(tally.lost) lost, \(tally.duplicated) stored twice")
        }
        let rate = writes == 0 ? 0 : Double(succeeded) / Double(writes)
        report.add(Bar("writes that succeeded under kills", rate, .atLeast(0.99)), as: "kill_success_rate")
        report.add(Bar("writes lost or stored twice under kills", Double(wrong), .atMost(0)), as: "kill_wrong")
        if wrong > 0 { report.violation("\(wrong) writes lost or stored twice under kills") }
    }

    private static func leases(_ server: PrivatePostgres, _ report: inout Report) async throws {
        try await server.createDatabase("leases")
        let run = LeaseRun(url: server.socketURL(database: "leases"))
        say("leases: 100,000 with a statement …")
        let asked = try await run.run(100_000, asks: true)
        let ratio = asked.longest / asked.median
        report.note("200 waiting on 20: median wait \(asked.median), longest \(asked.longest)")
        report.add(Bar("longest wait to the median", ratio, .atMost(3)), as: "lease_longest_to_median")
        say("leases: 1,000,000 …")
        let many = try await run.run(1_000_000, asks: false)
        report.add(
            Bar("leases of a million never given", Double(1_000_000 - many.leases + many.left), .atMost(0)),
            as: "lease_lost_wakeups")
        if many.leases != 1_000_000 || many.left != 0 { report.violation("a waiter was forgotten") }
    }
}
