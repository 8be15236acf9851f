/// Single rows, each a statement and a transaction of its own, by 1, 8 and 20 connections.
enum InsertBench {
    private static let loads = [(connections: 1, rows: 8_000), (8, 16_000), (20, 20_000)]

    static func run(_ bench: PostgresBench, _ report: inout Report) throws {
        var shares: [String: [Double]] = [:]
        for (connections, rows) in loads {
            let key = "insert_\(connections)conn"
            let ours = [try bench.ours("insert", connections)]
            let anywhere = [try bench.ours("insert-anywhere", connections)]
            let contenders = try ours + bench.peers("insert", connections, &report) + anywhere
            let figures = try bench.measure(contenders, rows: rows)
            report.add("insert by \(connections)", key: key, figures.dropLast())
            for peer in figures.dropFirst().dropLast() {
                let share = figures[0].cpu.median / peer.cpu.median
                shares[peer.cpu.name, default: []].append(share)
                report.set("\(key)_cpu_ratio_vs_\(peer.cpu.name)", to: .number(share))
            }
            if let other = figures.last {
                report.set("\(key)_anywhere_rows_per_second", to: .number(1_000_000 / other.elapsed.median))
                report.set("\(key)_anywhere_cpu_us", to: .number(other.cpu.median))
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
