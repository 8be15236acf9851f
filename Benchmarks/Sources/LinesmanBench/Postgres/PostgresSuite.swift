import Foundation
import Servers

/// The database client beside asyncpg and psycopg 3: rows per second and CPU of the client for each row.
///
/// Every contender is a process of its own that measures itself, on the same server, over its Unix socket.
enum PostgresSuite {
    /// What can be measured alone.
    enum Part: String, CaseIterable {
        case insert
        case unnest
        case copy
        case fairness
    }

    static func run(_ options: Options) async throws -> Report {
        let folder = try TemporaryDirectory("bench")
        defer { folder.remove() }
        let server = try await PrivatePostgres.start(in: folder.path, settings: ["synchronous_commit": "off"])
        do {
            let report = try await run(options, server)
            await server.stop()
            await PrivatePostgres.forgetTemplate()
            return report
        } catch {
            await server.stop()
            await PrivatePostgres.forgetTemplate()
            throw error
        }
    }

    private static func run(_ options: Options, _ server: PrivatePostgres) async throws -> Report {
        var report = Report(
            title: "postgres: microseconds per row; medians of alternated slices after one that is discarded, "
                + "each contender a process of its own")
        for contender in ["ours", "asyncpg", "psycopg"] { try await makeTable(for: contender, server) }
        let bench = PostgresBench(options: options, server: server)
        let parts = Part.allCases.filter { options.postgresParts.isEmpty || options.postgresParts.contains($0) }
        if parts.contains(.insert) { try InsertBench.run(bench, &report) }
        if parts.contains(.unnest) { try BulkBench.unnest.run(bench, &report) }
        if parts.contains(.copy) { try BulkBench.copy.run(bench, &report) }
        if parts.contains(.fairness) { try FairnessBench.run(bench, &report) }
        report.note("Unix socket, synchronous_commit=off, fsync=off; a table of six plain columns without an index")
        let version = try await server.run(sql: "SHOW server_version")
        Machine.describe(&report, server: "postgres", version: String(version.prefix { $0 != " " }))
        return report
    }

    /// A database for each contender, so that nobody pays for another's rows.
    private static func makeTable(for contender: String, _ server: PrivatePostgres) async throws {
        try await server.createDatabase(contender)
        try await server.run(
            sql: """
                CREATE TABLE ticks (at BIGINT NOT NULL, market_id TEXT NOT NULL, yes_bid BIGINT, yes_ask BIGINT,
                    home_score INT, away_score INT) WITH (autovacuum_enabled = false)
                """, database: contender)
    }
}

/// Where the server and the peers are, and how long to measure.
struct PostgresBench {
    let options: Options
    let server: PrivatePostgres

    var rounds: Int { options.rounds }

    func ours(_ role: String, _ connections: Int) throws(BenchError) -> ContenderProcess {
        try .ours(["postgres", address("ours"), role, "\(connections)"])
    }

    /// Those that are installed.
    func peers(_ role: String, _ connections: Int, _ report: inout Report) throws(BenchError) -> [ContenderProcess] {
        var peers: [ContenderProcess] = []
        for (name, peer) in [("asyncpg", PythonPeer.asyncpg), ("psycopg", .psycopg)] {
            guard let process = try peer.start(name, [address(name), role, "\(connections)"], options) else {
                continue
            }
            report.set("\(name)_version", to: .text(process.version))
            peers.append(process)
        }
        return peers
    }

    /// asyncpg with a connection from its pool for each row; empty where it is not installed.
    func asyncpgPool(_ connections: Int) throws(BenchError) -> [ContenderProcess] {
        let arguments = [address("asyncpg"), "insert-pool", "\(connections)"]
        return try PythonPeer.asyncpg.start("asyncpg-pool", arguments, options).map { [$0] } ?? []
    }

    /// Slices of `count` rows, each of which must have stored them all.
    ///
    /// - Returns: for each contender the elapsed time and the CPU of a row, in microseconds.
    func measure(_ contenders: [ContenderProcess], rows count: Int) throws -> [(elapsed: Figure, cpu: Figure)] {
        let slices = try ProcessSlices.measure(contenders, rounds: rounds) { index in
            let figures = try contenders[index].slice(count)
            guard figures.count >= 3, Int(figures[2]) == count else {
                throw BenchError(.disagreement, "\(contenders[index].name) did not store \(count) rows: \(figures)")
            }
            return figures
        }
        return zip(contenders, slices).map { contender, slices in
            (Figure(contender.name, slices, at: 1, per: count), Figure(contender.name, slices, per: count))
        }
    }

    private func address(_ database: String) -> String {
        "postgresql://\(PrivatePostgres.user)@/\(database)?host=\(server.socketDirectory)&port=\(server.port)"
    }
}

extension Report {
    /// What a workload cost us and each peer, and the bars of its rate.
    mutating func add(_ title: String, key: String, _ figures: [(elapsed: Figure, cpu: Figure)]) {
        let ours = figures[0]
        set("\(key)_rows_per_second", to: .number(1_000_000 / ours.elapsed.median))
        set("\(key)_cpu_us", to: .number(ours.cpu.median))
        for name in ["asyncpg", "psycopg"] {
            let peer = figures.dropFirst().first { $0.elapsed.name == name }
            if let peer {
                add(
                    ReportLine(title: "\(title), elapsed", ours: ours.elapsed, peer: peer.elapsed),
                    as: "\(key)_us", peerAs: "\(key)_\(name)_us")
                add(
                    ReportLine(title: "\(title), CPU", ours: ours.cpu, peer: peer.cpu),
                    as: "\(key)_cpu_us", peerAs: "\(key)_\(name)_cpu_us")
                set("\(key)_\(name)_rows_per_second", to: .number(1_000_000 / peer.elapsed.median))
            }
            add(
                Bar(
                    "\(title), rows per second against \(name)", peer.map { $0.elapsed.median / ours.elapsed.median },
                    .above(1), skipped: "\(name) is not installed"),
                as: "\(key)_rate_ratio_vs_\(name)")
        }
    }
}
