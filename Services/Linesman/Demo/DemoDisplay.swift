import Domain
import Foundation
import NIOConcurrencyHelpers

/// Live progress: a block that is drawn over itself on a terminal, a line when something changed otherwise.
final class DemoDisplay: Sendable {
    private struct State {
        var drawn = 0
        var lastLine = ""
    }

    private let isLive: Bool
    private let state = NIOLockedValueBox(State())

    init(isLive: Bool) { self.isLive = isLive }

    func show(
        _ venue: VenueStatistics, _ quotes: VenueQuotes, _ figures: DemoFigures, _ game: DemoGame?,
        _ processes: [ProcessSuite.Row], isFinished: Bool, progress: Double
    ) async {
        if isLive {
            draw(block(venue, quotes, figures, game, processes, isFinished, progress))
        } else {
            printLine(line(venue, quotes, figures, game, processes, progress))
        }
    }

    /// A line of its own; what is drawn from then on is drawn below it.
    func note(_ line: String) {
        state.withLockedValue { $0.drawn = 0 }
        write(line + "\n")
    }

    func finish() {
        if isLive { write("\n") }
    }

    private func block(
        _ venue: VenueStatistics, _ quotes: VenueQuotes, _ figures: DemoFigures, _ game: DemoGame?,
        _ processes: [ProcessSuite.Row], _ isFinished: Bool, _ progress: Double
    ) -> [String] {
        let width = 40
        let filled = Int((progress * Double(width)).rounded())
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
        let time = (try? VenueInstant(microseconds: venue.venueTime))?.description.prefix(19) ?? ""
        var lines = ["\(bar) \(Int(progress * 100)) %  \(time.replacing("T", with: " ")) venue time"]
        if let game {
            lines.append("\(game.name): \(game.score)   \(game.clock)   \(isFinished ? "settling" : game.status)")
            let ours = game.probability.map { $0.formatted(decimals: 3) } ?? "-"
            let source = game.sourceProbability.map { $0.formatted(decimals: 3) } ?? "-"
            lines.append("home wins: \(ours) by our model, \(source) by the score feed")
        }
        lines.append("book: \(quotes.line)" + (game?.owner.map { "   watched by \($0)" } ?? ""))
        lines.append("book frames \(venue.bookFrames)   signals \(figures.signals)   intents \(figures.intents)")
        lines.append(
            "orders \(figures.orders)   fills \(figures.fills)   "
                + "open positions \(figures.positionsOpen)   at risk $\(figures.exposure.rounded)")
        lines.append(
            "realised $\(figures.realised.rounded)   fees $\(figures.fees.rounded)   "
                + "profit or loss $\(figures.pnl.rounded)")
        let names = processes.map { member in
            (member.isUp ? "● " : "○ ") + member.name
                + (member.restarts > 0 ? " (restarted \(member.restarts))" : "")
        }
        lines.append(names.joined(separator: "  "))
        return lines
    }

    private func line(
        _ venue: VenueStatistics, _ quotes: VenueQuotes, _ figures: DemoFigures, _ game: DemoGame?,
        _ processes: [ProcessSuite.Row], _ progress: Double
    ) -> String {
        let down = processes.filter { !$0.isUp }.map(\.name)
        var parts = ["\(Int(progress * 100))%"]
        if let game { parts.append("\(game.score), \(game.clock)") }
        parts.append(quotes.line)
        parts.append("frames \(venue.bookFrames)")
        parts.append("signals \(figures.signals)")
        parts.append("orders \(figures.orders)")
        parts.append("fills \(figures.fills)")
        parts.append("pnl \(figures.pnl.rounded)")
        if !down.isEmpty { parts.append("down: \(down.joined(separator: " "))") }
        return parts.joined(separator: "  ")
    }

    private func draw(_ lines: [String]) {
        let text = state.withLockedValue { state in
            let up = state.drawn > 0 ? "\u{1B}[\(state.drawn)A" : ""
            state.drawn = lines.count
            return up + lines.map { "\r\u{1B}[2K\($0)\n" }.joined()
        }
        write(text)
    }

    private func printLine(_ line: String) {
        let isNew = state.withLockedValue { state in
            defer { state.lastLine = line }
            return state.lastLine != line
        }
        if isNew { write(line + "\n") }
    }

    private func write(_ text: String) {
        Console.draw(text)
    }
}
