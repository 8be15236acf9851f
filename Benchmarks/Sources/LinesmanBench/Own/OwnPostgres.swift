import Logging
import NIOConcurrencyHelpers
import Postgres
import Runtime

/// This program as a contender that stores rows: `contender postgres ADDRESS ROLE CONNECTIONS`.
///
/// It stores the rows of `Peers/postgres_peer.py` in the table `ticks`, which is empty when a slice begins.
enum OwnPostgres {
    static func role(_ arguments: [String]) async throws -> any OwnRole {
        guard arguments.count == 3, let connections = Int(arguments[2]), (1...1_000).contains(connections) else {
            throw BenchError(.usage, "postgres needs an address, a role and a number of connections")
        }
        let pool = try pool(arguments[0], connections)
        switch arguments[1] {
        case "insert": return OwnInserts(pool, tasks: connections, keeps: true, prefersLoop: true)
        case "insert-pool": return OwnInserts(pool, tasks: connections, keeps: false, prefersLoop: true)
        case "insert-anywhere": return OwnInserts(pool, tasks: connections, keeps: false, prefersLoop: false)
        case "unnest": return OwnUnnest(pool)
        case "copy": return OwnCopy(pool)
        case "fairness": return OwnFairness(pool)
        case "leases": return OwnLeases(pool)
        default: throw BenchError(.usage, "no such role: \(arguments[1])")
        }
    }

    private static func pool(_ address: String, _ connections: Int) throws -> PostgresPool {
        var settings = try PostgresSettings(url: address)
        settings.maxConnections = connections
        settings.minConnections = connections
        // Standard output belongs to the figures.
        var log = Logger(label: "bench") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = .warning
        return PostgresPool(
            settings: settings, application: "bench", clock: .real, random: .seeded(1), log: log,
            metrics: MetricsRegistry())
    }

    /// Measures `body` on an empty table.
    ///
    /// - Returns: CPU and wall microseconds, and the rows that are there afterwards.
    static func measure(_ pool: PostgresPool, _ body: () async throws -> Void) async throws -> [Double] {
        try await pool.execute("TRUNCATE ticks")
        let watch = try Stopwatch()
        try await body()
        return try watch.read() + [try await stored(pool)]
    }

    private static func stored(_ pool: PostgresPool) async throws -> Double {
        let row = try await pool.first("SELECT count(*) AS n FROM ticks")
        return Double(try row?.int("n") ?? 0)
    }
}

/// A row of the table `ticks`.
struct SampleTick {
    static let market = "KXNBAGAME-26JUL01TORCLE-CLE"

    let at: Int64
    let market = Self.market
    let yesBid: Int64 = 62
    let yesAsk: Int64 = 64
    let homeScore: Int32 = 101
    let awayScore: Int32 = 99

    init(_ index: Int) { at = 1_782_864_000_000_000 + Int64(index) }

    @inline(__always)
    var insert: SQL {
        "INSERT INTO ticks VALUES (\(at), \(market), \(yesBid), \(yesAsk), \(homeScore), \(awayScore))"
    }
}

/// Stores single rows from as many tasks as there are connections.
final class OwnInserts: OwnRole {
    private let pool: PostgresPool
    private let tasks: Int
    /// Whether each task keeps its connection, as the peers' do, or is lent one for each row.
    private let keeps: Bool
    /// Whether the tasks run on the pool's own thread, as asyncpg's do.
    private let prefersLoop: Bool

    init(_ pool: PostgresPool, tasks: Int, keeps: Bool, prefersLoop: Bool) {
        self.pool = pool
        self.tasks = tasks
        self.keeps = keeps
        self.prefersLoop = prefersLoop
    }

    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        let (pool, tasks, keeps, share) = (pool, tasks, keeps, count / tasks)
        return try await OwnPostgres.measure(pool) {
            try await withTaskExecutorPreference(prefersLoop ? PostgresPool.executor : nil) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<tasks {
                        let indexes = task * share..<(task + 1) * share
                        group.addTask {
                            keeps ? try await Self.keep(indexes, pool) : try await Self.insert(indexes, pool)
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    private static func insert(_ indexes: Range<Int>, _ pool: PostgresPool) async throws {
        for index in indexes { try await pool.execute(SampleTick(index).insert) }
    }

    private static func keep(_ indexes: Range<Int>, _ pool: PostgresPool) async throws {
        try await pool.withConnection("bench") { connection in
            for index in indexes { try await connection.execute(SampleTick(index).insert) }
        }
    }
}

/// Stores batches of 1,000 rows, an array for each column.
final class OwnUnnest: OwnRole {
    static let batch = 1_000

    private let pool: PostgresPool

    init(_ pool: PostgresPool) { self.pool = pool }

    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        let ticks = (0..<Self.batch).map { SampleTick($0) }
        let (at, market) = (ticks.map(\.at), ticks.map(\.market))
        let (yesBid, yesAsk) = (ticks.map(\.yesBid), ticks.map(\.yesAsk))
        let (homeScore, awayScore) = (ticks.map(\.homeScore), ticks.map(\.awayScore))
        let pool = pool
        return try await OwnPostgres.measure(pool) {
            try await withTaskExecutorPreference(PostgresPool.executor) {
                for _ in 0..<(count / Self.batch) {
                    try await pool.execute(
                        """
                        INSERT INTO ticks SELECT * FROM unnest(\(at), \(market), \(yesBid), \(yesAsk), \(homeScore), \
                        \(awayScore))
                        """)
                }
            }
        }
    }
}

/// Stores all rows of a slice with one COPY.
final class OwnCopy: OwnRole {
    private static let columns = ["at", "market_id", "yes_bid", "yes_ask", "home_score", "away_score"]

    private let pool: PostgresPool

    init(_ pool: PostgresPool) { self.pool = pool }

    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        let ticks = (0..<count).map { SampleTick($0) }
        let pool = pool
        return try await OwnPostgres.measure(pool) {
            try await withTaskExecutorPreference(PostgresPool.executor) {
                _ = try await pool.copy(into: "ticks", columns: Self.columns, ticks) { tick, row in
                    row.append(tick.at)
                    row.append(tick.market)
                    row.append(tick.yesBid)
                    row.append(tick.yesAsk)
                    row.append(tick.homeScore)
                    row.append(tick.awayScore)
                }
            }
        }
    }
}

/// Many more tasks than connections, each of which asks again as soon as it has given back.
final class OwnFairness: OwnRole {
    static let tasks = 200

    private let pool: PostgresPool

    init(_ pool: PostgresPool) { self.pool = pool }

    /// How long one caller waited: in time, and in leases that others were given meanwhile, which no busy neighbour
    /// changes.
    private struct Wait: Sendable {
        let microseconds: Double
        let turns: Int
    }

    /// CPU, wall, stored rows, then the longest and the median wait for a connection in microseconds and in turns.
    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        let (pool, share, turns) = (pool, count / Self.tasks, NIOLockedValueBox(0))
        var waits: [Wait] = []
        let figures = try await OwnPostgres.measure(pool) {
            waits = try await withThrowingTaskGroup(of: [Wait].self) { group in
                for task in 0..<Self.tasks {
                    group.addTask { try await Self.waits(task * share..<(task + 1) * share, pool, turns) }
                }
                return try await group.reduce(into: []) { $0 += $1 }
            }
        }
        let (times, counts) = (waits.map(\.microseconds).sorted(), waits.map { Double($0.turns) }.sorted())
        return figures + [times, counts].flatMap { [$0[$0.count - 1], $0[$0.count / 2]] }
    }

    private static func waits(
        _ indexes: Range<Int>, _ pool: PostgresPool, _ turns: NIOLockedValueBox<Int>
    ) async throws -> [Wait] {
        var waits: [Wait] = []
        for index in indexes {
            let asked = try ProcessTime.monotonicNanoseconds()
            let before = turns.withLockedValue { $0 }
            try await pool.transaction("fairness") { transaction in
                let now = turns.withLockedValue { turn in
                    turn += 1
                    return turn
                }
                waits.append(
                    Wait(
                        microseconds: Double(try ProcessTime.monotonicNanoseconds() - asked) / 1_000,
                        turns: now - before - 1))
                try transaction.enqueue("INSERT INTO ticks (at, market_id) VALUES (\(index), \(SampleTick.market))")
            }
        }
        return waits
    }
}

/// Borrows connections and gives them back, as fast as many tasks can: a wake-up that is lost ends as an error.
final class OwnLeases: OwnRole {
    private let pool: PostgresPool

    init(_ pool: PostgresPool) { self.pool = pool }

    /// CPU, wall, then the leases.
    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double] {
        let (pool, share) = (pool, count / OwnFairness.tasks)
        let watch = try Stopwatch()
        let leases = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<OwnFairness.tasks {
                group.addTask {
                    var leases = 0
                    for _ in 0..<share { leases += try await pool.transaction("lease") { _ in 1 } }
                    return leases
                }
            }
            return try await group.reduce(0, +)
        }
        return try watch.read() + [Double(leases)]
    }
}
