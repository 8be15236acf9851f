import Domain
import Foundation
import Testing

@testable import GameShardEngine

/// TOR at CLE, 20 April 2026: every scoring play with its time and the market's price, once through the engine.
///
/// The feed corrected itself twice in this game, so its scores run backwards.
@Suite struct RealGameTests {
    private struct Play {
        let at: VenueInstant
        let period: Int
        let clock: Double
        let home: Int
        let away: Int
        /// Nil where the source has no price.
        let cents: Int64?
    }

    private static let path =
        (ProcessInfo.processInfo.environment["LINESMAN_SHARED_DATA"] ?? "../shared/data")
        + "/joint/espn_wp_vs_kalshi_KXNBAGAME-26APR20TORCLE.csv"

    private static let isHere = FileManager.default.fileExists(atPath: path)

    private func plays() throws -> [Play] {
        let lines = try String(contentsOfFile: Self.path, encoding: .utf8).split(whereSeparator: \.isNewline)
        return try lines.dropFirst().map { line in
            let fields = line.split(separator: ",", omittingEmptySubsequences: false)
            let clock = fields[3].split(separator: ":").compactMap { Double($0) }
            return Play(
                at: try VenueInstant(rfc3339: fields[0]), period: try #require(Int(fields[2])),
                clock: clock.count == 2 ? clock[0] * 60 + clock[1] : clock[0],
                home: try #require(Int(fields[5])), away: try #require(Int(fields[6])),
                cents: Double(fields[10]).map { Int64(($0 * 100).rounded()) })
        }
    }

    /// Each play half a second before its price; polls and confirmations every half second in between.
    private func run(minimumEdge: Int) throws -> (signals: [Signal], oddities: [Oddity], last: Probability?) {
        var rules = ShardRules()
        rules.minimumEdgeBasisPoints = minimumEdge
        var fixture = Fixture(rules: rules)
        _ = try fixture.assign(epoch: 1)
        let plays = try plays()
        fixture.now = plays[0].at.advanced(by: .seconds(-60))
        _ = try fixture.state(.scheduled, home: 0, away: 0, period: 0, clock: 0)
        var effects = try fixture.book(bid: 77, ask: 79)
        for (index, play) in plays.enumerated() {
            while fixture.now < play.at {
                fixture.pass(0.5)
                if index > 0 { effects += try state(plays[index - 1], &fixture) }
                effects += fixture.send(.booksConfirmed(.kalshi, at: fixture.now))
            }
            effects += try state(play, &fixture)
            fixture.pass(0.5)
            if let cents = play.cents, (2...98).contains(cents) {
                effects += try fixture.book(bid: cents - 1, ask: cents + 1)
            }
        }
        let chances = effects.compactMap { if case .storeState(_, let home?) = $0 { home } else { nil } }
        return (effects.signals, effects.oddities.filter { $0 != .duplicateState }, chances.last)
    }

    private func state(_ play: Play, _ fixture: inout Fixture) throws -> [ShardEffect] {
        try fixture.state(home: play.home, away: play.away, period: play.period, clock: play.clock)
    }

    @Test(.enabled(if: isHere, "the recorded game is not here"), arguments: [400, 1_500])
    func `a real game is watched to its end`(minimumEdge: Int) throws {
        let (signals, oddities, last) = try run(minimumEdge: minimumEdge)
        #expect(Set(oddities) == [.scoreBackwards])
        #expect((last?.value ?? 0) > 0.98)
        #expect(minimumEdge == 1_500 || !signals.isEmpty)
        var lately: [Outcome: VenueInstant] = [:]
        for signal in signals {
            // Of a hundred contracts, up to the cent; 0.07 × 100 × P × (1 − P) in dollars is 700 of it in cents.
            let spread = signal.price.tenThousandths * signal.price.complement.tenThousandths
            let cents = (700 * spread + 99_999_999) / 100_000_000
            let fee = Double(cents) / 10_000
            let edge = signal.probability.value - signal.price.probability - fee
            #expect(edge * 10_000 >= Double(minimumEdge) - 0.01)
            #expect((-0.01..<1.01).contains(edge * 10_000 - Double(signal.edgeBasisPoints)), "rounded down")
            if let earlier = lately[signal.outcome] { #expect(earlier.duration(to: signal.createdAt) >= .seconds(30)) }
            lately[signal.outcome] = signal.createdAt
        }
    }

    @Test(.enabled(if: isHere, "the recorded game is not here"))
    func `a real game gives the same signals each time`() throws {
        #expect(try run(minimumEdge: 400).signals == (try run(minimumEdge: 400).signals))
    }
}
