import Logging
import Postgres
import Redis
import Resilience
import Runtime

/// Looks once whether Redis and PostgreSQL answer, says so, and again when one that did not does.
///
/// Only for the operator at the terminal: the processes wait for their servers and watch them themselves.
struct ServerProbe: Sendable {
    let plan: UpPlan
    let clock: MachineClock
    let say: @Sendable (String) -> Void

    private static let timeout: Duration = .seconds(3)
    private static let again: Duration = .seconds(5)

    func run() async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await until("Redis", at: address, askRedis) }
            tasks.addTask { await until("PostgreSQL", at: plan.database.target, askPostgres) }
        }
    }

    private var address: String {
        switch plan.redis.endpoint.address {
        case .network(let host, let port): "\(host):\(port)"
        case .unixSocket(let path): path
        }
    }

    private func until(
        _ name: String, at address: String, _ ask: @escaping @Sendable () async throws -> Void
    ) async {
        var isFirst = true
        while !Task.isCancelled {
            do {
                try await withDeadline(Self.timeout, clock: clock, operation: ask)
                return say("\(name) at \(address) answers\(isFirst ? "" : " now")")
            } catch {
                if Task.isCancelled { return }
                if isFirst { say("\(name) at \(address) does not answer (\(error)); the suite waits for it") }
            }
            isFirst = false
            guard (try? await clock.sleep(for: Self.again)) != nil else { return }
        }
    }

    private func askRedis() async throws {
        let client = RedisClient(
            settings: plan.redis, name: "linesman:up", clock: clock, random: .system, log: .quiet,
            metrics: MetricsRegistry())
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await client.run() }
            tasks.addTask {
                while true {
                    if (try? await client.send(["PING"])) != nil { return }
                    // Not connected yet, or it never will be; the deadline decides.
                    try await clock.sleep(for: .milliseconds(100))
                }
            }
            defer { tasks.cancelAll() }
            try await tasks.next()
        }
    }

    private func askPostgres() async throws {
        let pool = PostgresPool(
            settings: plan.database, application: "linesman:up", clock: clock, random: .system, log: .quiet,
            metrics: MetricsRegistry())
        do {
            try await pool.ping(timeout: Self.timeout)
        } catch {
            await pool.close()
            throw error
        }
        await pool.close()
    }
}
