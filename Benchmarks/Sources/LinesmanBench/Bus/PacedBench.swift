/// A steady stream through a real server: published and received in one process, on one thread.
enum PacedBench {
    private static let bytes = 100
    private static let rate = 5_000
    private static let count = 5_000
    /// The bar's own number; each takes a second.
    private static let rounds = 10

    static func run(_ bench: BusBench, _ report: inout Report) async throws {
        report = try await bench.withRedis { server in
            var report = report
            func arguments(_ name: String) -> [String] {
                ["\(server.port)", "bench-paced-\(name)", "\(bytes)", "\(rate)"]
            }
            let contenders = [
                try ContenderProcess.ours(["paced"] + arguments("a")),
                try bench.hiredis("paced", arguments("b"), &report),
            ]
            let slices = try ProcessSlices.measure(contenders, count: count, rounds: rounds)
            func line(_ title: String, at index: Int, per units: Int = 1) -> ReportLine {
                let figures = zip(contenders, slices).map { Figure($0.name, $1, at: index, per: units) }
                return ReportLine(title: title, ours: figures[0], peer: figures[1])
            }
            let cpu = line("message published and received, \(rate)/s, CPU", at: 0, per: count)
            let p50 = line("its latency, 50th percentile", at: 2)
            let p99 = line("its latency, 99th percentile", at: 3)
            report.add(cpu, as: "paced_cpu_us", peerAs: "paced_hiredis_cpu_us")
            report.add(p50, as: "paced_p50_us", peerAs: "paced_hiredis_p50_us")
            report.add(p99, as: "paced_p99_us", peerAs: "paced_hiredis_p99_us")
            report.add(Bar("paced, CPU against hiredis", cpu.ratio, .atMost(1.3)), as: "paced_cpu_ratio_vs_hiredis")
            report.add(
                Bar("paced, 50th percentile against hiredis", p50.ratio, .atMost(1.3)),
                as: "paced_p50_ratio_vs_hiredis")
            report.note("paced: \(rounds) slices of \(count) messages of \(bytes) B at \(rate)/s")
            return report
        }
    }
}
