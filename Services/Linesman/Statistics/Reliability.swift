import Alerting
import Resilience
import Runtime

/// How reliable the suite was over a span of time, by what it wrote down itself (CHECKLIST R97 to R100).
struct Reliability: Encodable, Sendable {
    /// What the causes of one kind came to.
    struct Cause: Encodable, Hashable, Sendable {
        let kind: String
        /// Causes that began; repeats of one that lasts are none.
        var fired = 0
        var recovered = 0
        /// Without an end in the files.
        var open = 0
        var meanMs: Int64?
        var longestMs: Int64?
    }

    /// One line of what is wanted, and whether it is so.
    struct Figure: Encodable, Hashable, Sendable {
        let name: String
        let value: String
        let wanted: String
        /// Nil when nothing is there to judge by.
        let isMet: Bool?
    }

    /// Kinds during which nobody can say that the suite is available.
    static let outages: Set<String> = [
        "AllShardsUnhealthy", "RedisConnectivityIssue", "DatabaseConnectivityIssue", "NoMarketDiscoveryServices",
    ]

    /// Wall time in microseconds since 1970.
    let from: Int64
    let to: Int64
    /// Records that were read, repeats that were held back included.
    let records: Int
    private(set) var causes: [Cause] = []
    private(set) var figures: [Figure] = []

    /// - `records`: of all alert files of the suite, in any order; the same record may stand in two of them.
    /// - `from`: what ended before is not counted; no earlier than the first that was written down, whatever it was,
    ///   since nobody can say how the suite was before that.
    init(_ records: [Alert], from: Int64? = nil, to: Int64, rehearsals: ChaosReport? = nil, measured: [Figure] = []) {
        var seen: Set<String> = []
        let told = records.filter { $0.isFileOnly != true && seen.insert("\($0.id) \($0.state)").inserted }
            .sorted { ($0.at, $0.sequence) < ($1.at, $1.sequence) }
        let known = records.map { $0.at - ($0.lastedMilliseconds ?? 0) * 1_000 }.min() ?? to
        let from = max(from ?? known, known)
        self.from = from
        self.to = to
        let spans = Self.spans(told, from: from, to: to)
        self.records = told.count { (from...max(from, to)).contains($0.at) }
        causes = Self.causes(spans)
        figures = Self.figures(spans, from: from, to: to) + Self.figures(rehearsals) + measured
    }

    var isMet: Bool { figures.allSatisfy { $0.isMet != false } }

    // MARK: - From when to when

    /// One cause from its first word to its end.
    private struct Span {
        let kind: String
        let severity: AlertSeverity
        let isLasting: Bool
        let began: Int64
        /// Nil while it lasts.
        var ended: Int64?

        var milliseconds: Int64? { ended.map { max(0, $0 - began) / 1_000 } }
    }

    private static func spans(_ told: [Alert], from: Int64, to: Int64) -> [Span] {
        var spans: [Span] = []
        var open: [String: Int] = [:]
        for record in told where record.at <= to {
            switch (record.state, open[record.fingerprint]) {
            case (.firing, nil):
                // What merely happened has no end to wait for.
                if record.isLasting { open[record.fingerprint] = spans.count }
                spans.append(
                    Span(
                        kind: record.kind, severity: record.severity, isLasting: record.isLasting, began: record.at,
                        ended: record.isLasting ? nil : record.at))
            case (.firing, _): break
            case (.recovered, let index?):
                spans[index].ended = record.at
                open[record.fingerprint] = nil
            case (.recovered, nil):
                // Its beginning stands in a file that is gone; the end says how long it lasted.
                guard let lasted = record.lastedMilliseconds else { continue }
                spans.append(
                    Span(
                        kind: record.kind, severity: record.severity, isLasting: true,
                        began: record.at - lasted * 1_000, ended: record.at))
            }
        }
        return spans.filter { ($0.ended ?? to) >= from }
    }

    private static func causes(_ spans: [Span]) -> [Cause] {
        Dictionary(grouping: spans, by: \.kind).map { kind, spans in
            let lasting = spans.filter(\.isLasting)
            let ended = lasting.compactMap(\.milliseconds)
            return Cause(
                kind: kind, fired: spans.count, recovered: ended.count, open: lasting.count - ended.count,
                meanMs: ended.isEmpty ? nil : ended.reduce(0, +) / Int64(ended.count), longestMs: ended.max())
        }.sorted { $0.kind < $1.kind }
    }

    // MARK: - What is wanted

    private static func figures(_ spans: [Span], from: Int64, to: Int64) -> [Figure] {
        let critical = spans.filter { $0.isLasting && $0.severity == .critical && !operators.contains($0.kind) }
        let ended = critical.compactMap(\.milliseconds)
        let mean = ended.isEmpty ? nil : ended.reduce(0, +) / Int64(ended.count)
        let away = away(spans.filter { outages.contains($0.kind) }, from: from, to: to)
        let share = to > from ? 1 - Double(away) / Double(to - from) : nil
        return [
            Figure(
                name: "mean time to recover",
                value: mean.map { "\(Duration.milliseconds($0).short) (\(ended.count) critical causes)" } ?? "-",
                wanted: "under 2 m", isMet: mean.map { $0 < 120_000 }),
            Figure(
                name: "critical causes that ended", value: "\(ended.count) of \(critical.count)", wanted: "all",
                isMet: critical.isEmpty ? nil : ended.count == critical.count),
            Figure(
                name: "available", value: share.map { percent($0) } ?? "-", wanted: percent(0.999),
                isMet: share.map { $0 >= 0.999 }),
        ]
    }

    /// Kinds that a person ends, so that how long they last says nothing of the suite.
    private static let operators: Set<String> = [
        "killSwitchEngaged", "dailyLossExceeded", "reconciliationMismatch", "exitHeldBack", "nakedLegHeldBack",
    ]

    /// How long at least one of them lasted within the span, in microseconds.
    private static func away(_ spans: [Span], from: Int64, to: Int64) -> Int64 {
        var total: Int64 = 0
        var reached = from
        for span in spans.sorted(by: { $0.began < $1.began }) {
            let begin = max(span.began, reached)
            let end = min(span.ended ?? to, to)
            guard end > begin else { continue }
            total += end - begin
            reached = end
        }
        return total
    }

    private static func figures(_ report: ChaosReport?) -> [Figure] {
        guard let rounds = report?.rounds.filter({ !$0.isControl }), !rounds.isEmpty else { return [] }
        let whole = rounds.count { $0.recoveredMs != nil }
        let told = rounds.reduce(0) { $0 + $1.alertsReceived }
        let expected = rounds.reduce(0) { $0 + $1.alertsExpected }
        let wrong = rounds.reduce(0) { $0 + $1.falseAlerts.count }
        let wrongShare = told + wrong > 0 ? Double(wrong) / Double(told + wrong) : 0
        let ways: [Int64] = rounds.compactMap { round in
            guard let filed = round.filedMs, let delivered = round.deliveredMs else { return nil }
            return max(0, delivered - filed)
        }
        let slowest = ways.max()
        return [
            Figure(
                name: "rehearsals that recovered by themselves",
                value: "\(whole) of \(rounds.count), \(percent(Double(whole) / Double(rounds.count)))",
                wanted: "over 95 %", isMet: whole * 100 > rounds.count * 95),
            Figure(
                name: "expected alerts that came", value: "\(told) of \(expected)", wanted: "all",
                isMet: told == expected),
            Figure(
                name: "false alerts in rehearsals", value: "\(wrong) of \(told + wrong), \(percent(wrongShare))",
                wanted: "0", isMet: wrong == 0),
            Figure(
                name: "slowest alert, from its file to the sink",
                value: slowest.map { "\(Duration.milliseconds($0).short) (\(ways.count) rounds)" } ?? "-",
                wanted: "under 30 s", isMet: slowest.map { $0 < 30_000 }),
        ]
    }

    static func percent(_ share: Double) -> String { "\((share * 100).formatted(decimals: 3)) %" }

    // MARK: - For people

    var text: String {
        var lines = ["\(WallClock.text(from)) to \(WallClock.text(to)), \(records) records"]
        for figure in figures {
            let verdict = figure.isMet.map { $0 ? "met" : "MISSED" } ?? "nothing to judge by"
            lines.append(
                "  \(figure.name.padded(42)) \(figure.value.padded(34)) \(figure.wanted.padded(12)) \(verdict)")
        }
        lines.append("causes")
        if causes.isEmpty { lines.append("  none") }
        for cause in causes {
            let lasted = cause.meanMs.map { mean in
                ", \(Duration.milliseconds(mean).short) in the mean, "
                    + "\(Duration.milliseconds(cause.longestMs ?? mean).short) at most"
            }
            let open = cause.open > 0 ? ", \(cause.open) OPEN" : ""
            lines.append("  \(cause.kind.padded(28)) \(cause.fired) times\(open)\(lasted ?? "")")
        }
        return lines.joined(separator: "\n")
    }
}
