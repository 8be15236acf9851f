import Logging
import Postgres
import Runtime

/// A pool as tests want it: nothing is opened before it is asked for, and a busy machine is given time.
public func makePool(
    _ url: String, application: String = "test", clock: MachineClock = .real,
    log: Logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
    metrics: MetricsRegistry = MetricsRegistry(), _ change: (inout PostgresSettings) -> Void = { _ in }
) throws -> PostgresPool {
    var settings = try PostgresSettings(url: url)
    settings.minConnections = 0
    settings.connectTimeout = .seconds(30)
    settings.queryTimeout = .seconds(30)
    settings.transactionTimeout = .seconds(60)
    settings.acquireTimeout = .seconds(60)
    change(&settings)
    return PostgresPool(
        settings: settings, application: application, clock: clock, random: .seeded(1), log: log, metrics: metrics)
}
