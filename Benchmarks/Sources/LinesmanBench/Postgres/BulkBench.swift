/// Many rows at once, by one connection.
struct BulkBench {
    static let unnest = BulkBench(role: "unnest", title: "unnest, 1,000 rows at once", rows: 200_000)
    static let copy = BulkBench(role: "copy", title: "COPY", rows: 400_000)

    let role: String
    let title: String
    let rows: Int

    func run(_ bench: PostgresBench, _ report: inout Report) throws {
        let contenders = try [bench.ours(role, 1)] + bench.peers(role, 1, &report)
        report.add(title, key: role, try bench.measure(contenders, rows: rows))
        report.note("\(role): \(bench.rounds) slices of \(rows) rows")
    }
}
