import Domain
import Foundation
import Postgres

/// A row to be written; none of them is needed to trade, so they may wait while the database is away.
enum ShardRecord: Sendable {
    case state(GameState, homeProbability: Probability?)
    case pregame(GameID, Probability)
}

/// A row as it waits in the journal, and as it is stored: read by the next version of the code too.
enum ShardRow {
    struct State: Codable, Hashable {
        var game: String
        var venueAt: Int64
        var play: String?
        var homeScore: Int
        var awayScore: Int
        var period: Int
        var clockSeconds: Double?
        var homeProbability: Double?
        var sourceProbability: Double?
    }

    struct Pregame: Codable, Hashable {
        var game: String
        var homeProbability: Double
    }

    /// A row that another version of the code has left.
    struct UnknownKind: Error, CustomStringConvertible {
        let kind: String
        var description: String { "no row is called \(kind)" }
    }

    private static let stateKind = "game_state"
    private static let pregameKind = "pregame"

    static func deferred(_ record: ShardRecord) throws -> DeferredWrite {
        switch record {
        case .state(let state, let home):
            let row = State(
                game: state.game.rawValue, venueAt: state.observedAt.microseconds, play: state.play?.rawValue,
                homeScore: state.homeScore, awayScore: state.awayScore, period: state.period,
                clockSeconds: state.clockSeconds, homeProbability: home?.value,
                sourceProbability: state.sourceHomeProbability?.value)
            return DeferredWrite(kind: stateKind, payload: try json(row))
        case .pregame(let game, let chance):
            let row = Pregame(game: game.rawValue, homeProbability: chance.value)
            return DeferredWrite(kind: pregameKind, payload: try json(row))
        }
    }

    /// Writes it with the next round trip of the transaction.
    static func apply(_ write: DeferredWrite, _ transaction: PostgresTransaction) throws {
        let data = Data(write.payload.utf8)
        switch write.kind {
        case stateKind:
            let row = try JSONDecoder().decode(State.self, from: data)
            try transaction.enqueue(
                """
                INSERT INTO game_states (game_id, venue_at, play_id, home_score, away_score, period, clock_seconds,
                                         home_probability, source_probability)
                VALUES (\(row.game), \(row.venueAt), \(row.play), \(row.homeScore), \(row.awayScore), \(row.period),
                        \(row.clockSeconds), \(row.homeProbability), \(row.sourceProbability))
                ON CONFLICT DO NOTHING
                """)
        case pregameKind:
            let row = try JSONDecoder().decode(Pregame.self, from: data)
            // The first owner's observation stays: later ones are taken nearer to the start, or after it.
            try transaction.enqueue(
                """
                UPDATE games SET pregame_home_probability = \(row.homeProbability)
                WHERE game_id = \(row.game) AND pregame_home_probability IS NULL
                """)
        default: throw UnknownKind(kind: write.kind)
        }
    }

    private static func json(_ row: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(row), as: UTF8.self)
    }
}
