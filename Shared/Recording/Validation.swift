import Domain

extension RecordingHeader {
    /// - Throws: the first part of the header that does not hold.
    func validate() throws(RecordingError) {
        try check(name, "name", line: 2)
        guard !attribution.isEmpty else {
            throw RecordingError(.structure, line: 3, field: "attribution", "a recording says where its facts are from")
        }
        var line = 3
        for text in attribution {
            try check(text, "attribution", line: line)
            line += 1
        }
        for text in synthetic {
            try check(text, "synthetic", line: line)
            line += 1
        }
        for team in [game.home, game.away] {
            try check(team.abbreviation, "game.abbreviation", line: line)
            try check(team.name, "game.name", line: line)
        }
        line += 2
        if markets.isEmpty { throw RecordingError(.structure, line: line, field: "market", "at least one market") }
        var seen: Set<MarketID> = []
        for recorded in markets {
            try check(recorded.market.eventTicker, "market.event", line: line)
            try check(recorded.market.title, "market.title", line: line)
            if !seen.insert(recorded.market.id).inserted {
                throw RecordingError(.inconsistent, line: line, field: "market", "\(recorded.market.id) stands twice")
            }
            if recorded.market.game != game.id {
                throw RecordingError(.inconsistent, line: line, field: "market.game", "not the game of the recording")
            }
            line += 1
        }
        if let depth, !depth.isValid {
            throw RecordingError(
                .outOfRange, line: line, field: "depth", "1 to 20 levels, base 1 to 100000, ripple 0 to 100000")
        }
    }

    private func check(_ text: String, _ field: String, line: Int) throws(RecordingError) {
        let isPlain = !text.isEmpty && text.utf8.count <= 400 && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
        if !isPlain {
            throw RecordingError(.malformed, line: line, field: field, "1 to 400 bytes without tabs and line ends")
        }
    }
}

/// Holds each entry against the header and the entries before it.
struct EntryValidator {
    /// The longest recording: a game and its settlement take hours, a week is a mistake.
    static let longest: Duration = .seconds(7 * 86_400)

    private let header: RecordingHeader
    private let steps: [MarketID: PriceStep]
    private var last: VenueInstant
    private var closed: Set<MarketID> = []
    private var settled: Set<MarketID> = []
    private var status = GameStatus.scheduled

    init(header: RecordingHeader) {
        self.header = header
        steps = Dictionary(
            header.markets.map { ($0.market.id, $0.market.priceStep) }, uniquingKeysWith: { first, _ in first })
        last = header.start
    }

    mutating func accept(_ entry: RecordingEntry, line: Int) throws(RecordingError) {
        guard entry.at >= last else {
            throw RecordingError(.order, line: line, field: "time", "\(entry.at) lies before \(last)")
        }
        guard header.start.duration(to: entry.at) <= Self.longest else {
            throw RecordingError(.outOfRange, line: line, field: "time", "more than 7 days after the start")
        }
        last = entry.at
        switch entry.fact {
        case .quote(let quote): try accept(quote, line: line)
        case .play(let play):
            guard status == .live else {
                throw RecordingError(.inconsistent, line: line, field: "play", "the game is \(status.rawValue)")
            }
            try accept(play.score, .live, at: entry.at, line: line)
        case .status(let next, let score):
            guard status.permits(next) else {
                throw RecordingError(
                    .inconsistent, line: line, field: "status", "\(next.rawValue) after \(status.rawValue)")
            }
            status = next
            try accept(score, next, at: entry.at, line: line)
        case .closed(let market):
            try known(market, line: line)
            guard closed.insert(market).inserted else {
                throw RecordingError(.inconsistent, line: line, field: "closed", "\(market) is closed already")
            }
        case .settled(let market): try settle(market, line: line)
        }
    }

    private mutating func settle(_ market: MarketID, line: Int) throws(RecordingError) {
        try known(market, line: line)
        guard header.markets.contains(where: { $0.market.id == market && $0.settlement != nil }) else {
            throw RecordingError(.inconsistent, line: line, field: "settled", "the header has no settlement value")
        }
        guard closed.contains(market), settled.insert(market).inserted else {
            throw RecordingError(.inconsistent, line: line, field: "settled", "\(market) must be closed, and once")
        }
    }

    private func accept(_ quote: RecordedQuote, line: Int) throws(RecordingError) {
        try known(quote.market, line: line)
        if closed.contains(quote.market) {
            throw RecordingError(.inconsistent, line: line, field: "quote", "\(quote.market) is closed")
        }
        let step = steps[quote.market] ?? .linearCent
        for (field, price, size) in [("bid", quote.bid, quote.bidSize), ("ask", quote.ask, quote.askSize)] {
            if let price, !step.permits(price) {
                throw RecordingError(.outOfRange, line: line, field: field, "\(price) is off the step \(step.rawValue)")
            }
            if price != nil, size == nil, header.depth == nil {
                throw RecordingError(.inconsistent, line: line, field: field, "neither a size nor a depth rule")
            }
            if let size, size.isZero || price == nil {
                throw RecordingError(.inconsistent, line: line, field: "\(field) size", "a size above 0 with a price")
            }
        }
        if let bid = quote.bid, let ask = quote.ask, bid >= ask {
            throw RecordingError(.inconsistent, line: line, field: "ask", "\(ask) is not above the bid \(bid)")
        }
    }

    private func accept(
        _ score: RecordedScore, _ status: GameStatus, at: VenueInstant, line: Int
    ) throws(RecordingError) {
        do {
            _ = try GameState(
                game: header.game.id, status: status, homeScore: score.home, awayScore: score.away,
                period: score.period, clockSeconds: score.clockSeconds, observedAt: at)
        } catch {
            throw RecordingError(.outOfRange, line: line, field: error.field, "\(error)")
        }
    }

    private func known(_ market: MarketID, line: Int) throws(RecordingError) {
        if steps[market] == nil {
            throw RecordingError(.inconsistent, line: line, field: "market", "\(market) is not in the header")
        }
    }
}
