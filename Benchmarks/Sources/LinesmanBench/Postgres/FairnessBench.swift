/// A pool of 20 and 200 tasks that want a connection.
enum FairnessBench {
    private static let connections = 20
    private static let rows = OwnFairness.tasks * 100
    private static let leases = OwnFairness.tasks * 5_000

    static func run(_ bench: PostgresBench, _ report: inout Report) throws {
        let storing = try bench.ours("fairness", connections)
        let slices = try ProcessSlices.measure([storing], count: rows, rounds: bench.rounds)[0]
        let longest = Figure("ours", slices, at: 3)
        let median = Figure("ours", slices, at: 4)
        let ratio = Figure(name: "ours", slices: slices.map { $0[3] / $0[4] })
        report.set("pool_wait_longest_us", to: .number(longest.median))
        report.set("pool_wait_median_us", to: .number(median.median))
        report.set("pool_wait_worst_longest_to_median", to: .number(ratio.highest))
        report.add(
            Bar("a pool of 20 under 200 tasks, longest wait to the median", ratio.median, .atMost(3)),
            as: "pool_wait_longest_to_median")
        let turns = Figure(name: "ours", slices: slices.map { $0[5] / max($0[6], 1) })
        report.set("pool_turns_longest", to: .number(Figure("ours", slices, at: 5).median))
        report.set("pool_turns_median", to: .number(Figure("ours", slices, at: 6).median))
        report.add(
            Bar("the same in leases that others were given meanwhile, worst slice", turns.highest, .atMost(3)),
            as: "pool_turns_longest_to_median")
        let lending = try bench.ours("leases", connections)
        let figures = try lending.slice(leases)
        report.set("pool_leases", to: .number(figures[2]))
        report.set("pool_lease_us", to: .number(figures[1] / Double(leases)))
        if Int(figures[2]) != leases { report.violation("\(leases) leases were asked for, \(figures[2]) given") }
        report.note("pool: \(bench.rounds) slices of \(rows) transactions; then \(leases) leases by 200 tasks")
    }
}
