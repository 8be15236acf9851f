import Foundation

/// Single rows, each a statement and a transaction of its own, by 1, 8 and 20 connections.
///
/// Two pairs, like for like: each task keeps a connection, as the peers' do with their prepared statement (the bars);
/// and each row is lent a connection, as a service's callers are, against asyncpg's pool.
enum InsertBench {
    private static let loads = [(connections: 1, rows: 8_000), (8, 16_000), (20, 20_000)]

    static func run(_ bench: PostgresBench, _ report: inout Report) throws {
        var costs: [String: [(ours: Double, peer: Double)]] = [:]
        for (connections, rows) in loads {
            let key = "insert_\(connections)conn"
            let ours = [try bench.ours("insert", connections)]
            let peers = try bench.peers("insert", connections, &report)
            let lent = try ["insert-pool", "insert-anywhere"].map { try bench.ours($0, connections) }
            let pooled = try bench.asyncpgPool(connections)
            let figures = try bench.measure(ours + peers + lent + pooled, rows: rows)
            report.add("insert by \(connections)", key: key, Array(figures[...peers.count]))
            for peer in figures[1...].prefix(peers.count) {
                let cost = (ours: figures[0].cpu.median, peer: peer.cpu.median)
                costs[peer.cpu.name, default: []].append(cost)
                report.set("\(key)_cpu_ratio_vs_\(peer.cpu.name)", to: .number(cost.ours / cost.peer))
            }
            try add(Array(figures[(1 + peers.count)...]), connections, &report)
            report.note("insert by \(connections): \(bench.rounds) slices of \(rows) rows")
        }
        let ratios = costs.mapValues(Ratios.init)
        report.add(
            Bar(
                "insert, CPU of the client against asyncpg", ratios["asyncpg"]?.together, .atMost(0.5),
                skipped: "asyncpg is not installed"),
            as: "insert_cpu_ratio_vs_asyncpg")
        for (name, ratio) in ratios { report.set("insert_cpu_ratio_worst_vs_\(name)", to: .number(ratio.worst)) }
        if let ratio = ratios["psycopg"] { report.set("insert_cpu_ratio_vs_psycopg", to: .number(ratio.together)) }
        let parts = costs["asyncpg"]?.map { String(format: "%.2f", $0.ours / $0.peer) } ?? []
        report.note("insert, CPU against asyncpg by 1, 8 and 20 connections: \(parts.joined(separator: ", "))")
    }

    /// What the loads' costs come to.
    private struct Ratios {
        /// A row of each load taken together, so that each load counts by what its row costs.
        let together: Double
        let worst: Double

        init(_ costs: [(ours: Double, peer: Double)]) {
            together = costs.reduce(0) { $0 + $1.ours } / costs.reduce(0) { $0 + $1.peer }
            worst = costs.map { $0.ours / $0.peer }.max() ?? .nan
        }
    }

    /// A connection lent for each row: to tasks on the pool's thread, to tasks anywhere, and by asyncpg's pool.
    private static func add(
        _ figures: [(elapsed: Figure, cpu: Figure)], _ connections: Int, _ report: inout Report
    ) throws {
        let key = "insert_\(connections)conn"
        for (name, figure) in zip(["pool", "anywhere", "asyncpg_pool"], figures) {
            report.set("\(key)_\(name)_rows_per_second", to: .number(1_000_000 / figure.elapsed.median))
            report.set("\(key)_\(name)_cpu_us", to: .number(figure.cpu.median))
        }
        guard figures.count == 3 else { return }
        report.add(
            ReportLine(title: "insert by \(connections) from a pool, CPU", ours: figures[0].cpu, peer: figures[2].cpu),
            as: "\(key)_pool_cpu_us", peerAs: "\(key)_asyncpg_pool_cpu_us")
        report.set(
            "\(key)_pool_cpu_ratio_vs_asyncpg_pool", to: .number(figures[0].cpu.median / figures[2].cpu.median))
        report.set(
            "\(key)_pool_rate_ratio_vs_asyncpg_pool",
            to: .number(figures[2].elapsed.median / figures[0].elapsed.median))
    }
}
