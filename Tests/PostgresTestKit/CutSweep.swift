import Faults
import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime
import Servers
import TestKit

/// A write whose connection is cut after 0, 1, 2, … bytes of its conversation: what the caller was told is compared
/// with what is stored.
public struct CutSweep: Sendable {
    /// How the write is made.
    public enum Kind: String, Sendable, CaseIterable {
        /// `idempotentTransaction`: has to end well.
        case idempotent
        /// `retryingTransaction`: may end as unknown.
        case transaction
        /// A statement outside a transaction: may end as unknown.
        case statement
        /// A statement on a connection that is kept, after another: may end as unknown.
        case kept
    }

    /// What became of the writes.
    public struct Tally: Hashable, Sendable {
        /// Bytes of the whole conversation in the direction of the cut.
        public var bytes = 0
        public var cuts = 0
        public var succeeded = 0
        /// The caller was told that the outcome is not known.
        public var unknown = 0
        /// Unknown, and stored.
        public var unknownStored = 0
        /// The caller was told that nothing was done.
        public var refused = 0
        /// The caller was told of success, and nothing is stored.
        public var lost = 0
        /// Stored more than once, or stored though the caller was told that nothing was done.
        public var duplicated = 0
        /// Errors by code, for reports.
        public var errors: [String: Int] = [:]
    }

    private enum Told: Sendable {
        case success
        case unknown
        case refused
    }

    private struct State {
        var next = 0
        var end = Int.max
        var told: [Int: Told] = [:]
        var errors: [String: Int] = [:]
    }

    private let server: PrivatePostgres
    private let database: String
    private let lanes: Int

    /// The server's `database` is the sweep's own; `lanes` writes are under way at once, each through its own proxy.
    public init(server: PrivatePostgres, database: String, lanes: Int = 8) {
        self.server = server
        self.database = database
        self.lanes = lanes
    }

    /// Cuts after every `stride`-th byte in `direction`, until a write gets through uncut.
    public func run(_ kind: Kind, _ direction: FaultProxy.Direction, stride: Int = 1) async throws -> Tally {
        let checker = try makePool(server.socketURL(database: database), application: "checker")
        try await checker.execute("DROP TABLE IF EXISTS effects, keys")
        try await checker.execute("CREATE TABLE keys (key int PRIMARY KEY)")
        // No key: whatever is done twice is there twice.
        try await checker.execute("CREATE TABLE effects (key int NOT NULL)")
        let state = NIOLockedValueBox(State())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<lanes { group.addTask { try await lane(kind, direction, stride, state) } }
            try await group.waitForAll()
        }
        // What a cut session had begun is over when its back end is gone.
        try await eventually(within: .seconds(60), "no session left") {
            try await checker.query(
                """
                SELECT 1 FROM pg_stat_activity
                WHERE application_name = 'sweep' AND datname = current_database()
                """
            ).isEmpty
        }
        let rows = try await checker.query("SELECT key, count(*) AS n FROM effects GROUP BY key")
        var stored: [Int: Int] = [:]
        for row in rows { stored[try row.int("key")] = try row.int("n") }
        await checker.close()
        return tally(state.withLockedValue { $0 }, stored)
    }

    private func lane(
        _ kind: Kind, _ direction: FaultProxy.Direction, _ stride: Int, _ state: NIOLockedValueBox<State>
    ) async throws {
        let proxy = try await FaultProxy.start(to: server.port)
        let url = server.url(database: database).replacing(":\(server.port)/", with: ":\(proxy.port)/")
        while true {
            let byte = state.withLockedValue { state in
                defer { state.next += stride }
                return state.next
            }
            guard byte < state.withLockedValue(\.end) else { return }
            let pool = try makePool(url, application: "sweep") {
                $0.maxConnections = 1
                $0.connectBackoffBase = .milliseconds(1)
            }
            // The login is not part of it.
            try await pool.ping(timeout: .seconds(60))
            let links = proxy.accepted
            try await proxy.cutPresent(after: byte, direction)
            var told = Told.success
            do {
                try await write(kind, byte, pool)
            } catch let error as PostgresError {
                told = error.code == .unknownCommit ? .unknown : .refused
                state.withLockedValue { $0.errors[error.code.rawValue, default: 0] += 1 }
            }
            let isCut = told != .success || proxy.accepted > links
            state.withLockedValue { state in
                state.told[byte] = told
                if !isCut { state.end = min(state.end, byte) }
            }
            await pool.close(grace: .zero)
        }
    }

    private func write(_ kind: Kind, _ key: Int, _ pool: PostgresPool) async throws {
        let policy = RetryPolicy(attempts: 4, delays: [.milliseconds(2)], jitter: 0.5)
        switch kind {
        case .idempotent:
            try await pool.idempotentTransaction("sweep", policy: policy) { transaction in
                try await transaction.first("SELECT key FROM keys WHERE key = \(key)").map { _ in () }
            } _: { transaction in
                try await transaction.execute("INSERT INTO keys VALUES (\(key))")
                try await transaction.execute("INSERT INTO effects VALUES (\(key))")
            }
        case .transaction:
            try await pool.retryingTransaction("sweep", policy: policy) { transaction in
                try await transaction.execute("INSERT INTO effects VALUES (\(key))")
                // Travels with COMMIT.
                try transaction.enqueue("UPDATE effects SET key = key WHERE key = \(key)")
            }
        case .statement:
            try await pool.execute("INSERT INTO effects VALUES (\(key))")
        case .kept:
            try await pool.withConnection("sweep") { connection in
                _ = try await connection.query("SELECT \(key)")
                try await connection.execute("INSERT INTO effects VALUES (\(key))")
            }
        }
    }

    private func tally(_ state: State, _ stored: [Int: Int]) -> Tally {
        var tally = Tally()
        tally.bytes = state.end
        tally.errors = state.errors
        for (byte, told) in state.told {
            let count = stored[byte] ?? 0
            if byte < state.end { tally.cuts += 1 }
            switch told {
            case .success:
                tally.succeeded += 1
                if count == 0 { tally.lost += 1 }
                if count > 1 { tally.duplicated += 1 }
            case .unknown:
                tally.unknown += 1
                if count > 0 { tally.unknownStored += 1 }
                if count > 1 { tally.duplicated += 1 }
            case .refused:
                tally.refused += 1
                if count > 0 { tally.duplicated += 1 }
            }
        }
        return tally
    }
}
