import Bus
import Domain
import Foundation
import Postgres
import Wire

/// Keeps a consumer's position in PostgreSQL, so that it goes on where its last life stopped.
public struct PostgresPositionStore: PositionStore {
    /// Service and channel: processes of one service take turns.
    public let consumer: String
    private let pool: PostgresPool

    public init(_ consumer: String, pool: PostgresPool) {
        self.consumer = consumer
        self.pool = pool
    }

    public func load() async throws -> JournalPosition? {
        let row = try await pool.first("SELECT position::text FROM consumer_positions WHERE consumer = \(consumer)")
        guard let text = try row?.text("position") else { return nil }
        // A position of another build is not worth an error: the beginning is always right, only slower.
        return try? JSONDecoder().decode(JournalPosition.self, from: Data(text.utf8))
    }

    public func save(_ position: JournalPosition) async throws {
        let text = String(decoding: try JSONEncoder().encode(position), as: UTF8.self)
        try await pool.execute(
            """
            INSERT INTO consumer_positions (consumer, position) VALUES (\(consumer), \(text)::jsonb)
            ON CONFLICT (consumer) DO UPDATE SET position = excluded.position, saved_at = now()
            """)
    }
}

extension ServiceHost {
    /// Where this service's position on a journaled channel is kept.
    public func position<M: WireMessage>(on channel: Channel<M>) -> PostgresPositionStore {
        PostgresPositionStore("\(context.service)/\(channel.name)", pool: database)
    }
}
