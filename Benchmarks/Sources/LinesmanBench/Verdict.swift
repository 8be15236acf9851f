/// What the whole run says in its last line and by its exit code.
struct Verdict {
    private var met = 0
    private var missed: [String] = []
    private var skipped = 0
    private var violations = 0

    mutating func add(_ report: Report) {
        for bar in report.bars {
            switch bar.isMet {
            case true?: met += 1
            case false?: missed.append(bar.title)
            case nil: skipped += 1
            }
        }
        violations += report.violations.count
    }

    /// 0, or 1 for a missed bar or a broken promise; a bar that could not be measured is not missed.
    var exitCode: Int32 { missed.isEmpty && violations == 0 ? 0 : 1 }

    var text: String {
        var counts = "\(met) met, \(missed.count) missed"
        if skipped > 0 { counts += ", \(skipped) not measured" }
        if violations > 0 { counts += "; \(violations) broken promises" }
        let names = missed.isEmpty ? "" : ": " + missed.joined(separator: "; ")
        return "bars: \(counts)\(names); exit code \(exitCode)"
    }
}
