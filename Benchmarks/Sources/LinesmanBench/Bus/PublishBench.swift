/// Messages published to a real server, which nobody has subscribed to.
enum PublishBench {
    private static let bytes = 100
    private static let depth = 1_000
    private static let pipelinedCount = 100_000
    private static let tasks = 64
    private static let tasksCount = 64 * 400

    static func run(_ bench: BusBench, _ report: inout Report) async throws {
        report = try await bench.withRedis { server in
            var report = report
            try pipelined(bench, "\(server.port)", &report)
            try fromTasks(bench, "\(server.port)", &report)
            return report
        }
    }

    private static func pipelined(_ bench: BusBench, _ port: String, _ report: inout Report) throws {
        let arguments = [port, "bench-publish", "\(bytes)", "\(depth)"]
        let contenders = [
            try ContenderProcess.ours(["publish"] + arguments), try bench.hiredis("publish", arguments, &report),
        ]
        let slices = try ProcessSlices.measure(contenders, count: pipelinedCount, rounds: bench.rounds)
        let cpu = zip(contenders, slices).map { Figure($0.name, $1, per: pipelinedCount) }
        let wall = zip(contenders, slices).map { Figure($0.name, $1, at: 1, per: pipelinedCount) }
        report.add(
            ReportLine(title: "message published, \(depth) at a time, CPU", ours: cpu[0], peer: cpu[1]),
            as: "publish_pipelined_cpu_us", peerAs: "publish_pipelined_hiredis_cpu_us")
        report.add(
            ReportLine(title: "message published, \(depth) at a time, elapsed", ours: wall[0], peer: wall[1]),
            as: "publish_pipelined_us", peerAs: "publish_pipelined_hiredis_us")
        report.add(
            Bar("pipelined, messages per CPU second against hiredis", cpu[1].median / cpu[0].median, .atLeast(0.5)),
            as: "publish_pipelined_ratio_vs_hiredis")
        report.add(
            Bar("pipelined, messages per second against hiredis", wall[1].median / wall[0].median, .atLeast(0.5)),
            as: "publish_pipelined_wall_ratio_vs_hiredis")
        report.note("published: \(bench.rounds) slices of \(pipelinedCount) messages of \(bytes) B")
    }

    private static func fromTasks(_ bench: BusBench, _ port: String, _ report: inout Report) throws {
        let ours = try ContenderProcess.ours(["publish-tasks", port, "bench-tasks", "\(bytes)", "\(tasks)"])
        let slices = try ProcessSlices.measure([ours], count: tasksCount, rounds: bench.rounds)
        let figure = Figure("ours", slices[0], per: tasksCount)
        report.add(
            ReportLine(title: "message published, \(tasks) tasks that wait, CPU", ours: figure, peer: nil),
            as: "publish_64_tasks_cpu_us")
        report.add(
            Bar("\(tasks) tasks publishing, CPU us each", figure.median, .atMost(4)), as: "publish_64_tasks_cpu_us")
        report.note("\(tasks) tasks: \(bench.rounds) slices of \(tasksCount) messages of \(bytes) B")
    }
}
