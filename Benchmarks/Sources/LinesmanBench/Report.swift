import Foundation

/// One line of the table: ours, and beside it what it is compared with.
struct ReportLine {
    let title: String
    let ours: Figure
    /// Nil when there is nothing fair to compare with; the table then says `alone`.
    let peer: Figure?

    /// Our cost as a share of the peer's: below 1 is cheaper.
    var ratio: Double? { peer.map { ours.median / $0.median } }
}

/// The outcome of one suite: a table for people and flat figures for programs.
struct Report {
    let title: String
    private(set) var lines: [ReportLine] = []
    private(set) var bars: [Bar] = []
    private(set) var notes: [String] = []
    /// Promises that were broken.
    private(set) var violations: [String] = []
    private(set) var figures: [String: ResultValue] = [:]

    init(title: String) {
        self.title = title
    }

    /// Adds a line and its figures: `<key>_cpu_us` is ours; with a peer also `<key>_<peerKey>_cpu_us` and
    /// `<key>_ratio_vs_<peerKey>`.
    mutating func add(_ line: ReportLine, key: String, peerKey: String = "peer") {
        lines.append(line)
        figures["\(key)_cpu_us"] = .number(line.ours.median)
        if let peer = line.peer, let ratio = line.ratio {
            figures["\(key)_\(peerKey)_cpu_us"] = .number(peer.median)
            figures["\(key)_ratio_vs_\(peerKey)"] = .number(ratio)
        }
    }

    /// Adds a line; `key` names our figure and `peerKey` the peer's, both as they are written.
    mutating func add(_ line: ReportLine, as key: String, peerAs peerKey: String? = nil) {
        lines.append(line)
        figures[key] = .number(line.ours.median)
        if let peerKey, let peer = line.peer { figures[peerKey] = .number(peer.median) }
    }

    mutating func set(_ key: String, to value: ResultValue) {
        figures[key] = value
    }

    /// Adds a bar and, where there is one, its value under `key`.
    mutating func add(_ bar: Bar, as key: String) {
        bars.append(bar)
        if let value = bar.value { figures[key] = .number(value) }
    }

    mutating func note(_ text: String) {
        notes.append(text)
    }

    mutating func violation(_ text: String) {
        violations.append(text)
    }

    var table: String {
        var rows = [["", "us", "(lowest to highest)", "peer", "us", "(lowest to highest)", "ratio"]]
        for line in lines {
            let peer = line.peer.map { [$0.name, number($0.median), range($0)] } ?? ["alone", "", ""]
            rows.append(
                [line.title, number(line.ours.median), range(line.ours)] + peer
                    + [line.ratio.map { number($0) + " x" } ?? ""])
        }
        var text = [title] + (lines.isEmpty ? [] : Self.aligned(rows))
        if !bars.isEmpty { text += ["  bars"] + Self.aligned(bars.map(\.row)).map { "  " + $0 } }
        text += notes.map { "  note: " + $0 } + violations.map { "  VIOLATION: " + $0 }
        return text.joined(separator: "\n")
    }

    private static func aligned(_ rows: [[String]]) -> [String] {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
            return "  " + cells.joined(separator: "  ")
        }
    }

    /// Adds the figures to `<folder>/<name>.json`.
    func write(to folder: String, named name: String) throws(BenchError) {
        try ResultFile(in: folder, named: name).merge(figures)
    }

    private func number(_ value: Double) -> String {
        String(format: value < 0.1 ? "%.4f" : value < 10 ? "%.3f" : "%.1f", value)
    }

    private func range(_ figure: Figure) -> String { "(\(number(figure.lowest)) to \(number(figure.highest)))" }
}
