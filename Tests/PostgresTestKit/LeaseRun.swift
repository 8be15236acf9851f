import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime

/// Many tasks that want one of few connections again and again.
public struct LeaseRun: Sendable {
    /// What became of the leases.
    public struct Tally: Sendable {
        public var leases = 0
        public var median = Duration.zero
        public var longest = Duration.zero
        /// Connections lent and callers waiting when everybody had been served.
        public var left = 0
        public var opened = 0
    }

    private struct State {
        var left: Int
        var waits: [Duration] = []
    }

    private let url: String
    private let connections: Int
    private let tasks: Int

    public init(url: String, connections: Int = 20, tasks: Int = 220) {
        self.url = url
        self.connections = connections
        self.tasks = tasks
    }

    /// Lends `count` times in all; with a statement each when `asks`.
    public func run(_ count: Int, asks: Bool) async throws -> Tally {
        let pool = try makePool(url, application: "leases") {
            $0.maxConnections = connections
            $0.minConnections = connections
            $0.acquireTimeout = .seconds(120)
        }
        // The first leases wait for sessions to be opened.
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<tasks { group.addTask { try await pool.ping(timeout: .seconds(60)) } }
            try await group.waitForAll()
        }
        let state = NIOLockedValueBox(State(left: count))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<tasks { group.addTask { try await lease(pool, asks, state) } }
            try await group.waitForAll()
        }
        let statistics = pool.statistics
        await pool.close()
        let waits = state.withLockedValue(\.waits).sorted()
        var tally = Tally()
        tally.leases = waits.count
        tally.median = waits.isEmpty ? .zero : waits[waits.count / 2]
        tally.longest = waits.last ?? .zero
        tally.left = statistics.active + statistics.waiting
        tally.opened = statistics.opened
        return tally
    }

    private func lease(_ pool: PostgresPool, _ asks: Bool, _ state: NIOLockedValueBox<State>) async throws {
        while true {
            let isWanted = state.withLockedValue { state in
                state.left -= 1
                return state.left >= 0
            }
            guard isWanted else { return }
            let began = MachineClock.real.now
            try await pool.transaction("lease", timeout: .seconds(120)) { transaction in
                let waited = MachineClock.real.now.since(began)
                state.withLockedValue { $0.waits.append(waited) }
                if asks { _ = try await transaction.query("SELECT 1") }
            }
        }
    }
}
