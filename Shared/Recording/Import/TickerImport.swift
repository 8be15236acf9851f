import Domain

/// Makes a recording of price ticks: one JSON object a line, with the market, its best YES bid and ask, and the second.
///
/// Ticks of several files are merged by time; within a second the files keep their order, and each file its own.
struct TickerImport {
    /// The markets close and settle this long after the last tick.
    static let closed: Duration = .seconds(30)
    static let settled: Duration = .seconds(60)

    let game: Game
    let markets: [RecordedMarket]

    func recording(name: String, from texts: [String]) throws -> Recording {
        var quotes: [RecordingEntry] = []
        for text in texts { quotes += try parse(text) }
        let sorted = quotes.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }
        var entries = sorted.map(\.element)
        guard let start = entries.first?.at, let end = entries.last?.at else {
            throw RecordingError(.structure, line: 1, field: "file", "at least one tick")
        }
        for (delay, fact) in [(Self.closed, RecordedFact.closed), (Self.settled, RecordedFact.settled)] {
            entries += markets.map { RecordingEntry(at: end.advanced(by: delay), fact: fact($0.market.id)) }
        }
        return try Recording(header: header(name: name, start: start), entries: entries)
    }

    private func header(name: String, start: VenueInstant) -> RecordingHeader {
        RecordingHeader(
            name: name,
            attribution: [
                "best bid and ask of both markets: Kalshi ticker channel, recorded by Yuvraj-R/PredictEngine"
            ],
            synthetic: [
                "book depth: the rule on the depth line",
                "times are whole seconds, as recorded; a bid of 0 and an ask of 1 dollar are empty sides",
                "the game's id and its scheduled time; there are no scores",
                "close 30 s and settlement 60 s after the last tick",
            ],
            game: game, start: start, markets: markets, depth: .standard)
    }

    private func parse(_ text: String) throws -> [RecordingEntry] {
        var entries: [RecordingEntry] = []
        for (index, line) in text.split(whereSeparator: \.isNewline).enumerated() {
            do {
                let fields = try FlatObject(line)
                let market = try MarketID(String(fields.string("market_ticker")))
                let bid = try Price(dollars: fields.number("yes_bid_prob"), field: "yes_bid_prob")
                let ask = try Price(dollars: fields.number("yes_ask_prob"), field: "yes_ask_prob")
                let seconds = try FixedPoint.parse(fields.number("kalshi_ts"), scale: 6, field: "kalshi_ts")
                let quote = RecordedQuote(
                    market: market, bid: bid.isTradable ? bid : nil, ask: ask.isTradable ? ask : nil)
                entries.append(
                    RecordingEntry(at: try VenueInstant(microseconds: seconds), fact: .quote(quote)))
            } catch {
                throw RecordingError(.malformed, line: index + 1, field: error.field, "\(error)")
            }
        }
        return entries
    }
}

/// A JSON object without nesting or escapes, as the recorder of the ticks wrote it: just enough to read it exactly.
struct FlatObject {
    private var values: [Substring: Substring] = [:]

    /// - Throws: `malformed` for anything but `{"key": value, …}` with strings, numbers, booleans and null.
    init(_ line: Substring) throws(DomainError) {
        let refused = DomainError(.malformed, field: "line", value: String(line), expected: "a flat JSON object")
        guard line.first == "{", line.last == "}", !line.contains("\\") else { throw refused }
        for pair in line.dropFirst().dropLast().split(separator: ", ") {
            guard let colon = pair.range(of: "\": "), pair.first == "\"" else { throw refused }
            values[pair[pair.index(after: pair.startIndex)..<colon.lowerBound]] = pair[colon.upperBound...]
        }
    }

    func string(_ key: Substring) throws(DomainError) -> Substring {
        guard let value = values[key], value.count >= 2, value.first == "\"", value.last == "\"" else {
            throw DomainError(.malformed, field: String(key), value: String(values[key] ?? ""), expected: "a string")
        }
        return value.dropFirst().dropLast()
    }

    func number(_ key: Substring) throws(DomainError) -> Substring {
        guard let value = values[key], value.first.map(\.isNumber) ?? false else {
            throw DomainError(.malformed, field: String(key), value: String(values[key] ?? ""), expected: "a number")
        }
        return value
    }
}

extension Substring {
    /// The first place of `text`; the standard library alone has none for strings.
    fileprivate func range(of text: String) -> Range<Index>? {
        var index = startIndex
        while index < endIndex {
            if self[index...].hasPrefix(text), let end = self.index(index, offsetBy: text.count, limitedBy: endIndex) {
                return index..<end
            }
            index = self.index(after: index)
        }
        return nil
    }
}
