/// What a decision is made of: a frame becomes a book, an order is matched, charged and talked about.
enum EngineSuite {
    static func run(_ options: Options) throws -> Report {
        var report = Report(
            title: "engine: CPU microseconds per unit, median of \(options.rounds) alternated slices of about 20 ms")
        try addDeltas(
            try FrameSession.made(), title: "order-book delta, made frames", key: "delta_to_book", options, &report)
        if let recorded = try FrameSession.recorded(in: options.recordings) {
            try addDeltas(
                recorded, title: "order-book delta, recorded session", key: "delta_to_book_recorded", options, &report)
        } else {
            report.note("no recorded session in \(options.recordings); LINESMAN_SHARED_DATA names another folder")
        }
        try addAlone(try MatchBench.contender(), title: "match one order", key: "match", options, &report)
        try addAlone(
            try EnvelopeBench.contender(), title: "envelope of a signal, encode and decode",
            key: "envelope_round_trip", options, &report)
        try addAlone(try FeeBench.contender(), title: "fee of one trade", key: "fee", options, &report)
        report.note("deltas: payload bytes to updated book, without the stream's bookkeeping; both end in equal books")
        return report
    }

    private static func addDeltas(
        _ session: FrameSession, title: String, key: String, _ options: Options, _ report: inout Report
    ) throws {
        try DeltaBench.compareBooks(session)
        let figures = try Slices.measure(
            [try DeltaBench.ours(session), try DeltaBench.foundation(session)], rounds: options.rounds)
        report.add(
            ReportLine(title: title, ours: figures[0], peer: figures[1]), key: key, peerKey: "foundation")
    }

    private static func addAlone(
        _ contender: Contender, title: String, key: String, _ options: Options, _ report: inout Report
    ) throws {
        let figures = try Slices.measure([contender], rounds: options.rounds)
        report.add(ReportLine(title: title, ours: figures[0], peer: nil), key: key)
    }
}
