import Domain

/// Makes a recording of a table with one row per scoring play: wall clock, score, win probability and the home
/// market's price before and after the play.
///
/// The favourite of the table is the home team. What the table does not say is filled in by the rules of `Timing`, and
/// the recording's `synthetic` lines name each.
struct ScoreAndPriceImport {
    /// The rules, in venue time.
    enum Timing {
        /// The quotes begin this long before the first play.
        static let lead: Duration = .seconds(600)
        /// The price before a play is quoted this long before it, where it differs from the price that stood.
        static let before: Duration = .seconds(1)
        /// The price after a play is quoted this long after it, but at least 2 s before the next play.
        static let after: Duration = .seconds(10)
        static let afterToNext: Duration = .seconds(2)
        /// The board says final this long after the last play; the markets close and settle later.
        static let final: Duration = .seconds(30)
        static let closed: Duration = .seconds(90)
        static let settled: Duration = .seconds(150)
    }

    static let columns =
        "play_wallclock_utc,game_seconds_elapsed,period,game_clock,score_value,fav_score_after,dog_score_after,"
        + "fav_wp_before,fav_wp_after,kalshi_price_before,kalshi_price_after"

    let game: Game
    /// The home team's market first.
    let markets: [RecordedMarket]

    /// One row of the table.
    struct Row {
        let at: VenueInstant
        let elapsedTenths: Int64
        let score: RecordedScore
        let homeProbability: Probability
        let before: Price?
        let after: Price?
    }

    func recording(name: String, from text: String) throws -> Recording {
        let rows = try parse(text)
        guard let first = rows.first, let last = rows.last else {
            throw RecordingError(.structure, line: 2, field: "file", "at least one play")
        }
        var builder = Builder(markets: markets.map(\.market.id))
        let start = first.at.advanced(by: .zero - Timing.lead)
        let opening = RecordedScore(period: 0, clockTenths: 0, home: 0, away: 0)
        builder.add(.status(.scheduled, opening), at: start)
        if let price = rows.lazy.compactMap({ $0.before ?? $0.after }).first { builder.quote(price, at: start) }
        let tipOff = first.at.advanced(by: .milliseconds(-first.elapsedTenths * 100))
        builder.add(.status(.live, RecordedScore(period: 1, clockTenths: 7_200, home: 0, away: 0)), at: tipOff)
        play(rows, into: &builder)
        let final = last.at.advanced(by: Timing.final)
        let end = RecordedScore(
            period: last.score.period, clockTenths: 0, home: last.score.home, away: last.score.away)
        builder.add(.status(.final, end), at: final)
        for market in markets { builder.add(.closed(market.market.id), at: last.at.advanced(by: Timing.closed)) }
        for market in markets { builder.add(.settled(market.market.id), at: last.at.advanced(by: Timing.settled)) }
        return try Recording(header: header(name: name, start: start), entries: builder.entries)
    }

    /// Rows of one wall clock are one moment: every play is kept, the last one's state stands.
    private func play(_ rows: [Row], into builder: inout Builder) {
        var index = 0
        while index < rows.count {
            let at = rows[index].at
            let end = rows[index...].firstIndex { $0.at != at } ?? rows.count
            if let before = rows[index].before {
                let early = at.advanced(by: .zero - Timing.before)
                builder.quote(before, at: max(early, builder.last))
            }
            for (number, row) in rows[index..<end].enumerated() {
                let id = PlayID(stringLiteral: "\(game.id)-\(index + number + 1)")
                builder.add(.play(.init(id: id, score: row.score, homeProbability: row.homeProbability)), at: at)
            }
            if let after = rows[end - 1].after {
                var moment = at.advanced(by: Timing.after)
                if end < rows.count { moment = min(moment, rows[end].at.advanced(by: .zero - Timing.afterToNext)) }
                builder.quote(after, at: max(moment, at.advanced(by: .milliseconds(500))))
            }
            index = end
        }
    }

    private func header(name: String, start: VenueInstant) -> RecordingHeader {
        RecordingHeader(
            name: name,
            attribution: [
                "scores, clock and win probability: ESPN play-by-play; prices: Kalshi market of the home team",
                "collected and joined by oliver-monday/NBAgent-Live, April 2026",
            ],
            synthetic: [
                "the price is one number: bid is the price, ask one cent above, no ask when that is a dollar",
                "the away market is the exact complement of the home market",
                "book depth: the rule on the depth line",
                "times of quotes: before is 1 s ahead of its play, after is 10 s behind it (2 s ahead of the next)",
                "scheduled and pre-game quotes from 10 min before the first play, live at 0-0 when its clock began",
                "final 30 s, close 90 s, settlement 150 s after the last play",
                "play ids: the game's id and the row number",
            ],
            game: game, start: start, markets: markets, depth: .standard)
    }

    /// Collects entries; a quote that changes nothing is left out.
    struct Builder {
        let markets: [MarketID]
        private(set) var entries: [RecordingEntry] = []
        private var price: Price?

        init(markets: [MarketID]) { self.markets = markets }

        var last: VenueInstant { entries.last?.at ?? .epoch }

        mutating func add(_ fact: RecordedFact, at: VenueInstant) { entries.append(RecordingEntry(at: at, fact: fact)) }

        mutating func quote(_ price: Price, at: VenueInstant) {
            guard self.price != price else { return }
            self.price = price
            let ask = (try? Price(tenThousandths: price.tenThousandths + 100)) ?? .one
            let home = (bid: Self.side(price), ask: Self.side(ask))
            let away = (bid: home.ask?.complement, ask: home.bid?.complement)
            for (market, quote) in zip(markets, [home, away]) {
                add(.quote(RecordedQuote(market: market, bid: quote.bid, ask: quote.ask)), at: at)
            }
        }

        private static func side(_ price: Price) -> Price? { price.isTradable ? price : nil }
    }
}

extension ScoreAndPriceImport {
    private func parse(_ text: String) throws -> [Row] {
        let lines = text.split(whereSeparator: \.isNewline)
        guard lines.first.map(String.init) == Self.columns else {
            throw RecordingError(.structure, line: 1, field: "columns", "expected \(Self.columns)")
        }
        var rows: [Row] = []
        for (index, line) in lines.enumerated().dropFirst() {
            let row = try parse(line, number: index + 1)
            if let last = rows.last, row.at < last.at {
                throw RecordingError(.order, line: index + 1, field: "play_wallclock_utc", "before the row above")
            }
            rows.append(row)
        }
        return rows
    }

    private func parse(_ line: Substring, number: Int) throws -> Row {
        let fields = line.split(separator: ",", omittingEmptySubsequences: false)
        guard fields.count == 11, let period = Int(fields[2]), let home = Int(fields[5]), let away = Int(fields[6])
        else { throw RecordingError(.malformed, line: number, field: "row", "11 fields with whole scores") }
        do {
            return Row(
                at: try VenueInstant(rfc3339: fields[0]),
                elapsedTenths: try FixedPoint.parse(fields[1], scale: 1, field: "game_seconds_elapsed"),
                score: RecordedScore(period: period, clockTenths: try clock(fields[3]), home: home, away: away),
                homeProbability: try Probability(
                    Double(FixedPoint.parse(fields[8], scale: 4, field: "fav_wp_after")) / 10_000),
                before: fields[9].isEmpty ? nil : try Price(dollars: fields[9]),
                after: fields[10].isEmpty ? nil : try Price(dollars: fields[10]))
        } catch {
            throw RecordingError(.malformed, line: number, field: error.field, "\(error)")
        }
    }

    /// `11:43` or `27.6`, in 1/10 second.
    private func clock(_ text: Substring) throws(DomainError) -> Int64 {
        let parts = text.split(separator: ":")
        guard parts.count == 2 else { return try FixedPoint.parse(text, scale: 1, field: "game_clock") }
        let minutes = try FixedPoint.parse(parts[0], scale: 0, field: "game_clock")
        return minutes * 600 + (try FixedPoint.parse(parts[1], scale: 1, field: "game_clock"))
    }
}
