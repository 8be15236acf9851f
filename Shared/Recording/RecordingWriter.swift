import Domain

extension Recording {
    /// The recording as its file: UTF-8 text, fields divided by tabs, every line ended (docs/RECORDING.md).
    public var text: String {
        var lines = header.lines
        lines.append("facts\t\(entries.count)")
        let indices = header.indices
        for entry in entries { lines.append(header.line(entry, indices)) }
        return lines.map { $0 + "\n" }.joined()
    }
}

extension RecordingHeader {
    /// Each market's number in the file: its place in the header, from 0.
    var indices: [MarketID: Int] {
        Dictionary(markets.enumerated().map { ($1.market.id, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The header without its last line, the number of facts.
    var lines: [String] {
        var lines = ["linesman-recording\t\(Self.version)", "name\t\(name)"]
        lines += attribution.map { "attribution\t\($0)" }
        lines += synthetic.map { "synthetic\t\($0)" }
        lines.append(
            "game\t\(game.id)\t\(game.sport.rawValue)\t\(game.scheduledAt)"
                + "\t\(game.home.abbreviation)\t\(game.home.name)\t\(game.away.abbreviation)\t\(game.away.name)")
        lines.append("start\t\(start)")
        for recorded in markets {
            let market = recorded.market
            lines.append(
                "market\t\(market.id)\t\(market.venue.rawValue)\t\(market.eventTicker)\t\(market.team.rawValue)"
                    + "\t\(market.priceStep.rawValue)\t\(optional(recorded.settlement))\t\(market.title)")
        }
        if let depth { lines.append("depth\t\(depth.levels)\t\(depth.base)\t\(depth.ripple)") }
        return lines
    }

    func line(_ entry: RecordingEntry, _ indices: [MarketID: Int]) -> String {
        func index(_ market: MarketID) -> Int {
            guard let index = indices[market] else { preconditionFailure("market \(market) is not in the header") }
            return index
        }
        let offset = entry.at.microseconds - start.microseconds
        switch entry.fact {
        case .quote(let quote):
            let prices = "\(offset)\tquote\t\(index(quote.market))\t\(optional(quote.bid))\t\(optional(quote.ask))"
            if quote.bidSize == nil && quote.askSize == nil { return prices }
            return prices + "\t\(optional(quote.bidSize))\t\(optional(quote.askSize))"
        case .play(let play):
            return "\(offset)\tplay\t\(play.id)\t\(fields(play.score))\t\(optional(play.homeProbability))"
        case .status(let status, let score): return "\(offset)\tstatus\t\(status.rawValue)\t\(fields(score))"
        case .closed(let market): return "\(offset)\tclosed\t\(index(market))"
        case .settled(let market): return "\(offset)\tsettled\t\(index(market))"
        }
    }

    private func fields(_ score: RecordedScore) -> String {
        let clock = score.clockTenths.map { FixedPoint.format($0, scale: 1) } ?? "-"
        return "\(score.period)\t\(clock)\t\(score.home)\t\(score.away)"
    }

    private func optional(_ value: (some CustomStringConvertible)?) -> String { value?.description ?? "-" }
}
