import NIOConcurrencyHelpers
import Postgres
import Runtime

/// Idempotent writes while back ends are terminated at random (CHECKLIST R32).
public struct KillRun: Sendable {
    /// What became of the writes.
    public struct Tally: Hashable, Sendable {
        public var writes = 0
        public var kills = 0
        public var retries = 0
        public var succeeded = 0
        /// The caller was told of success, and nothing is stored.
        public var lost = 0
        /// Stored more than once, or stored though the caller was told that nothing was done.
        public var duplicated = 0
        /// Errors by code, for reports.
        public var errors: [String: Int] = [:]

        public var successRate: Double { writes == 0 ? 0 : Double(succeeded) / Double(writes) }
    }

    private struct State {
        var next = 0
        var kills = 0
        var told: [Int: PostgresError.Code?] = [:]
    }

    public let writes: Int
    public let kills: Int
    private let url: String
    private let connections: Int

    /// The database behind `url` is the run's own.
    public init(url: String, writes: Int = 1000, kills: Int = 30, connections: Int = 10) {
        self.url = url
        self.writes = writes
        self.kills = kills
        self.connections = connections
    }

    public func run() async throws -> Tally {
        let killer = try makePool(url, application: "killer")
        try await killer.execute("CREATE TABLE keys (key int PRIMARY KEY)")
        // No key: whatever is done twice is there twice.
        try await killer.execute("CREATE TABLE effects (key int NOT NULL)")
        let pool = try makePool(url, application: "victim") { $0.maxConnections = connections }
        let state = NIOLockedValueBox(State())
        var tally = Tally()
        tally.kills = try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<(connections * 2) { group.addTask { try await writer(pool, state) } }
            let kills = try await kill(killer, state)
            try await group.waitForAll()
            return kills
        }
        tally.retries = pool.statistics.retries
        await pool.close(grace: .zero)
        var stored: [Int: Int] = [:]
        for row in try await killer.query("SELECT key, count(*) AS n FROM effects GROUP BY key") {
            stored[try row.int("key")] = try row.int("n")
        }
        await killer.close()
        for (key, code) in state.withLockedValue(\.told) {
            let count = stored[key] ?? 0
            tally.writes += 1
            if let code { tally.errors[code.rawValue, default: 0] += 1 } else { tally.succeeded += 1 }
            if code == nil, count == 0 { tally.lost += 1 }
            if count > 1 || (count == 1 && code != nil && code != .unknownCommit) { tally.duplicated += 1 }
        }
        return tally
    }

    private func writer(_ pool: PostgresPool, _ state: NIOLockedValueBox<State>) async throws {
        while true {
            let taken = state.withLockedValue { state -> Int? in
                guard !isAhead(state) else { return nil }
                defer { state.next += 1 }
                return state.next
            }
            guard let key = taken else {
                try await MachineClock.real.sleep(for: .milliseconds(1))
                continue
            }
            guard key < writes else { return }
            var code: PostgresError.Code?
            do {
                try await pool.idempotentTransaction("write") { transaction in
                    try await transaction.first("SELECT key FROM keys WHERE key = \(key)").map { _ in () }
                } _: { transaction in
                    try await transaction.execute("INSERT INTO keys VALUES (\(key))")
                    try await transaction.execute("INSERT INTO effects VALUES (\(key))")
                }
            } catch let error as PostgresError {
                code = error.code
            }
            state.withLockedValue { $0.told[key] = .some(code) }
        }
    }

    /// Whether the writes would be done before the kills, which also have to find their sessions.
    private func isAhead(_ state: State) -> Bool {
        state.kills < kills && state.next * (kills + 1) > writes * (state.kills + 1)
    }

    /// Spreads the kills over the writes; every one hits a session that is there.
    private func kill(_ killer: PostgresPool, _ state: NIOLockedValueBox<State>) async throws -> Int {
        var done = 0
        while done < kills {
            let begun = state.withLockedValue(\.next)
            if begun >= writes { break }
            guard begun * (kills + 1) >= writes * done else {
                try await MachineClock.real.sleep(for: .milliseconds(1))
                continue
            }
            let hit = try await killer.query(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name = 'victim' AND datname = current_database() ORDER BY random() LIMIT 1
                """)
            done += hit.count
            state.withLockedValue { [done] in $0.kills = done }
        }
        return done
    }
}
