import Domain

extension Recording {
    /// Reads a recording, strictly: what it accepts, the writer writes again byte for byte.
    ///
    /// - Throws: the first fault with its line and field; nothing is skipped or repaired.
    public init(text: String) throws(RecordingError) {
        var reader = RecordingReader(text: text)
        self = try reader.read()
    }
}

/// Reads from the first line to the last, once.
private struct RecordingReader {
    private let lines: [Substring]
    private var next = 0
    private let isEnded: Bool

    init(text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        isEnded = lines.last?.isEmpty ?? false
        self.lines = isEnded ? lines.dropLast() : lines
    }

    mutating func read() throws(RecordingError) -> Recording {
        guard isEnded, !lines.isEmpty else {
            throw RecordingError(
                .structure, line: max(1, lines.count), field: "file", "every line ends with a line feed")
        }
        let (header, count) = try readHeader()
        var entries: [RecordingEntry] = []
        entries.reserveCapacity(min(count, lines.count))
        let indices = header.indices
        while next < lines.count {
            let entry = try readEntry(header)
            guard header.line(entry, indices) == lines[next - 1] else {
                throw RecordingError(
                    .spelling, line: next, field: "entry", "the writer would write \(header.line(entry, indices))")
            }
            entries.append(entry)
        }
        guard entries.count == count else {
            throw RecordingError(
                .structure, line: lines.count, field: "facts", "\(count) announced, \(entries.count) present")
        }
        return try Recording(header: header, entries: entries)
    }

    private mutating func readHeader() throws(RecordingError) -> (RecordingHeader, Int) {
        let version = try take("linesman-recording", 2)[1]
        guard version == "\(RecordingHeader.version)" else {
            throw RecordingError(.version, line: 1, field: "version", "\(version), known is \(RecordingHeader.version)")
        }
        let name = String(try take("name", 2)[1])
        let attribution = try takeAll("attribution")
        let synthetic = try takeAll("synthetic")
        let game = try readGame()
        let began = try take("start", 2)[1]
        let start = try domain("start") { () throws(DomainError) in try VenueInstant(rfc3339: began, field: "start") }
        var markets: [RecordedMarket] = []
        while peek("market") { markets.append(try readMarket(game)) }
        var depth: SyntheticDepth?
        if peek("depth") {
            let fields = try take("depth", 4)
            depth = SyntheticDepth(
                levels: Int(try integer(fields[1], "depth.levels")), base: try integer(fields[2], "depth.base"),
                ripple: try integer(fields[3], "depth.ripple"))
        }
        let header = RecordingHeader(
            name: name, attribution: attribution, synthetic: synthetic, game: game, start: start, markets: markets,
            depth: depth)
        try header.validate()
        for (index, line) in header.lines.enumerated() where line != lines[index] {
            throw RecordingError(.spelling, line: index + 1, field: "header", "the writer would write \(line)")
        }
        let count = try integer(try take("facts", 2)[1], "facts")
        guard (0...10_000_000).contains(count) else {
            throw RecordingError(.outOfRange, line: next, field: "facts", "0 to 10000000")
        }
        return (header, Int(count))
    }

    private mutating func readGame() throws(RecordingError) -> Game {
        let fields = try take("game", 8)
        guard let sport = Sport(rawValue: String(fields[2])) else {
            throw RecordingError(.malformed, line: next, field: "game.sport", "\(fields[2]) is not a sport")
        }
        return try domain("game") { () throws(DomainError) in
            try Game(
                id: GameID(String(fields[1])), sport: sport,
                home: Team(name: String(fields[5]), abbreviation: String(fields[4])),
                away: Team(name: String(fields[7]), abbreviation: String(fields[6])),
                scheduledAt: VenueInstant(rfc3339: fields[3]))
        }
    }

    private mutating func readMarket(_ game: Game) throws(RecordingError) -> RecordedMarket {
        let fields = try take("market", 8)
        guard let venue = Venue(rawValue: String(fields[2])), let team = HomeAway(rawValue: String(fields[4])),
            let step = PriceStep(rawValue: String(fields[5]))
        else {
            throw RecordingError(.malformed, line: next, field: "market", "a venue, home or away, and a price step")
        }
        let settlement = try price(fields[6], "market.settlement")
        return try domain("market") { () throws(DomainError) in
            RecordedMarket(
                market: try Market(
                    id: MarketID(String(fields[1])), venue: venue, game: game.id, eventTicker: String(fields[3]),
                    title: String(fields[7]), team: team, priceStep: step),
                settlement: settlement)
        }
    }

    private mutating func readEntry(_ header: RecordingHeader) throws(RecordingError) -> RecordingEntry {
        let fields = lines[next].split(separator: "\t", omittingEmptySubsequences: false)
        next += 1
        guard fields.count >= 3 else {
            throw RecordingError(.malformed, line: next, field: "entry", "a time, a kind and its fields")
        }
        let offset = try integer(fields[0], "time")
        guard offset >= 0, offset <= 7 * 86_400_000_000 else {
            throw RecordingError(.outOfRange, line: next, field: "time", "microseconds after the start, up to 7 days")
        }
        let at = header.start.advanced(by: .microseconds(offset))
        let fact: RecordedFact
        switch (fields[1], fields.count) {
        case ("quote", 5), ("quote", 7): fact = .quote(try readQuote(fields, header))
        case ("play", 8):
            let id = try domain("play") { () throws(DomainError) in try PlayID(String(fields[2])) }
            fact = .play(
                RecordedPlay(id: id, score: try score(fields[3...6]), homeProbability: try probability(fields[7])))
        case ("status", 7):
            guard let status = GameStatus(rawValue: String(fields[2])) else {
                throw RecordingError(.malformed, line: next, field: "status", "\(fields[2]) is not a status")
            }
            fact = .status(status, try score(fields[3...6]))
        case ("closed", 3): fact = .closed(try market(fields[2], header))
        case ("settled", 3): fact = .settled(try market(fields[2], header))
        default:
            throw RecordingError(
                .malformed, line: next, field: "kind", "\(fields[1]) with \(fields.count) fields is not an entry")
        }
        return RecordingEntry(at: at, fact: fact)
    }

    private func readQuote(_ fields: [Substring], _ header: RecordingHeader) throws(RecordingError) -> RecordedQuote {
        RecordedQuote(
            market: try market(fields[2], header), bid: try price(fields[3], "bid"), ask: try price(fields[4], "ask"),
            bidSize: fields.count == 7 ? try quantity(fields[5], "bid size") : nil,
            askSize: fields.count == 7 ? try quantity(fields[6], "ask size") : nil)
    }
}

extension RecordingReader {
    private func peek(_ key: String) -> Bool { next < lines.count && lines[next].hasPrefix(key + "\t") }

    private mutating func take(_ key: String, _ count: Int) throws(RecordingError) -> [Substring] {
        guard next < lines.count else {
            throw RecordingError(.structure, line: lines.count, field: key, "the file ends before \(key)")
        }
        let fields = lines[next].split(separator: "\t", omittingEmptySubsequences: false)
        next += 1
        guard fields.first.map(String.init) == key else {
            throw RecordingError(
                .structure, line: next, field: key, "expected here, found \(lines[next - 1].prefix(32))")
        }
        guard fields.count == count else {
            throw RecordingError(.malformed, line: next, field: key, "\(count) fields, found \(fields.count)")
        }
        return fields
    }

    private mutating func takeAll(_ key: String) throws(RecordingError) -> [String] {
        var values: [String] = []
        while peek(key) { values.append(String(try take(key, 2)[1])) }
        return values
    }

    private func integer(_ text: Substring, _ field: String) throws(RecordingError) -> Int64 {
        guard let value = Int64(text) else {
            throw RecordingError(.malformed, line: next, field: field, "\(text.prefix(32)) is not a whole number")
        }
        return value
    }

    private func price(_ text: Substring, _ field: String) throws(RecordingError) -> Price? {
        if text == "-" { return nil }
        return try domain(field) { () throws(DomainError) in try Price(dollars: text, field: field) }
    }

    private func quantity(_ text: Substring, _ field: String) throws(RecordingError) -> Quantity? {
        if text == "-" { return nil }
        return try domain(field) { () throws(DomainError) in try Quantity(contracts: text, field: field) }
    }

    private func probability(_ text: Substring) throws(RecordingError) -> Probability? {
        if text == "-" { return nil }
        return try domain("probability") { () throws(DomainError) in
            try Probability(Double(FixedPoint.parse(text, scale: 4, field: "probability")) / 10_000)
        }
    }

    private func score(_ fields: ArraySlice<Substring>) throws(RecordingError) -> RecordedScore {
        let fields = Array(fields)
        let clock =
            fields[1] == "-"
            ? nil
            : try domain("clock") { () throws(DomainError) in
                try FixedPoint.parse(fields[1], scale: 1, field: "clock")
            }
        return RecordedScore(
            period: Int(try integer(fields[0], "period")), clockTenths: clock,
            home: Int(try integer(fields[2], "home score")), away: Int(try integer(fields[3], "away score")))
    }

    private func market(_ text: Substring, _ header: RecordingHeader) throws(RecordingError) -> MarketID {
        guard let index = Int(text), header.markets.indices.contains(index) else {
            throw RecordingError(.malformed, line: next, field: "market", "\(text.prefix(32)) is not a market's number")
        }
        return header.markets[index].market.id
    }

    /// Runs a constructor of `Domain` and says on which line it refused.
    private func domain<Value>(
        _ field: String, _ make: () throws(DomainError) -> Value
    ) throws(RecordingError) -> Value {
        do { return try make() } catch {
            throw RecordingError(
                error.code == .outOfRange || error.code == .offStep ? .outOfRange : .malformed, line: next,
                field: error.field.isEmpty ? field : error.field, "\(error)")
        }
    }
}
