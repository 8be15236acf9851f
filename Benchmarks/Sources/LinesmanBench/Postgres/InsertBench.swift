/// Single rows, each a statement and a transaction of its own, by 1, 8 and 20 connections.
enum InsertBench {
    private static let loads = [(connections: 1, rows: 8_000), (8, 16_000), (20, 20_000)]

    static func run(_ bench: PostgresBench, _ report: inout Report) throws {
        var shares: [String: [Double]] = [:]
        for (connections, rows) in loads {
            let key = "insert_\(connections)conn"
            let ours = [try bench.ours("insert", connections)]
            let peers = try bench.peers("insert", connections, &report)
            let anywhere = [try bench.ours("insert-anywhere", connections)]
            let pooled = try bench.asyncpgPool(connections)
            let figures = try bench.measure(ours + peers + anywhere + pooled, rows: rows)
            report.add("insert by \(connections)", key: key, Array(figures[...peers.count]))
            for peer in figures[1...].prefix(peers.count) {
                let share = figures[0].cpu.median / peer.cpu.median
                shares[peer.cpu.name, default: []].append(share)
                report.set("\(key)_cpu_ratio_vs_\(peer.cpu.name)", to: .number(share))
            }
            for (name, other) in zip(["anywhere", "asyncpg_pool"], figures[(1 + peers.count)...]) {
                report.set("\(key)_\(name)_rows_per_second", to: .number(1_000_000 / other.elapsed.median))
                report.set("\(key)_\(name)_cpu_us", to: .number(other.cpu.median))
                if name == "anywhere" { continue }
                report.add(
                    ReportLine(title: "insert by \(connections), CPU", ours: figures[0].cpu, peer: other.cpu),
                    as: "\(key)_cpu_us", peerAs: "\(key)_\(name)_cpu_us")
                report.set(
                    "\(key)_cpu_ratio_vs_\(name)", to: .number(figures[0].cpu.median / other.cpu.median))
                report.set(
                    "\(key)_rate_ratio_vs_\(name)", to: .number(other.elapsed.median / figures[0].elapsed.median))
            }
            report.note("insert by \(connections): \(bench.rounds) slices of \(rows) rows")
        }
        // The worst of the three.
        report.add(
            Bar(
                "insert, CPU of the client against asyncpg", shares["asyncpg"]?.max(), .atMost(0.5),
                skipped: "asyncpg is not installed"),
            as: "insert_cpu_ratio_vs_asyncpg")
        if let share = shares["psycopg"]?.max() { report.set("insert_cpu_ratio_vs_psycopg", to: .number(share)) }
    }
}
