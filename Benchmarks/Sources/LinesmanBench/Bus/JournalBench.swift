/// What it costs to keep a message: a journaled publish beside a hint, through the bus, the same message.
enum JournalBench {
    private static let count = 64 * 50

    static func run(_ bench: BusBench, _ report: inout Report) async throws {
        report = try await bench.withRedis { server in
            var report = report
            let port = "\(server.port)"
            try measure(bench, port, server.processID, tasks: 1, suffix: "", &report)
            try measure(bench, port, server.processID, tasks: 64, suffix: "_64_tasks", &report)
            report.note("journaled: \(bench.rounds) slices of \(count) messages, nobody subscribed")
            return report
        }
    }

    private static func measure(
        _ bench: BusBench, _ port: String, _ server: Int32, tasks: Int, suffix: String, _ report: inout Report
    ) throws {
        let contenders = try [("bus-journaled", "journaled"), ("bus-hint", "plain")].map { role, channel in
            try ContenderProcess.ours([role, port, "bench-\(channel)-\(tasks)", "\(tasks)"])
        }
        // CPU and wall of the client and its commands, then CPU of the server.
        let slices = try ProcessSlices.measure(contenders, rounds: bench.rounds) { index in
            let before = try ProcessTime.cpuMicroseconds(of: server)
            let figures = try contenders[index].slice(count)
            return figures + [try ProcessTime.cpuMicroseconds(of: server) - before]
        }
        func line(_ title: String, at index: Int) -> ReportLine {
            let who = tasks == 1 ? "one after the other" : "\(tasks) tasks"
            return ReportLine(
                title: "\(title), \(who)", ours: Figure("ours", slices[0], at: index, per: count),
                peer: Figure("plain", slices[1], at: index, per: count))
        }
        let client = line("journaled publish, CPU of the client", at: 0)
        let redis = line("journaled publish, CPU of the server", at: 3)
        let trips = Figure("ours", slices[0], at: 2, per: count)
        report.add(client, as: "journaled_client_cpu_us\(suffix)", peerAs: "plain_client_cpu_us\(suffix)")
        report.add(redis, as: "journaled_server_cpu_us\(suffix)", peerAs: "plain_server_cpu_us\(suffix)")
        if let ratio = redis.ratio { report.set("journaled_server_cpu_ratio\(suffix)", to: .number(ratio)) }
        let who = tasks == 1 ? "" : ", \(tasks) tasks"
        report.add(
            Bar("journaled, CPU of the client against plain\(who)", client.ratio, .atMost(2)),
            as: "journaled_client_cpu_ratio\(suffix)")
        report.add(
            Bar("journaled, round trips each\(who)", trips.median, .atMost(1)), as: "journaled_round_trips\(suffix)")
    }
}
