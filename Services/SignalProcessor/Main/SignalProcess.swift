import Domain
import Hosting
import Postgres
import Runtime
import SignalProcessorEngine

/// The process: connects, and adds its parts to the supervisor.
enum SignalProcess {
    static func start(in context: ProcessContext) async throws {
        let settings = try context.settings(SignalProcessorSettings.init)
        let host = try await ServiceHost.start(settings.host, in: context)
        let store = SignalStore(
            pool: host.database, account: try await host.openAccount(with: settings.order.initialBankroll),
            statistics: DailyStatistics(timeZone: settings.order.tradingDayTimeZone),
            markAge: settings.markAge)
        let desk = SignalDesk(
            host: host, store: store, rules: RuleStore(pool: host.database),
            limits: TradingLimits(settings))
        // Nothing is decided before.
        try await desk.reloadRules()
        let losses = LossAlarm(
            host: host, store: store,
            watch: DailyLossWatch(limit: settings.dailyLoss, warnPercent: Int64(settings.dailyLossWarnPercent)))
        let limits = LimitKeeper(host: host, in: context) { changed in
            await desk.change(TradingLimits(changed))
            await losses.change(limit: changed.dailyLoss)
        }
        // Nothing is decided before: a limit that was made tighter holds over a restart.
        try await limits.look()

        try await host.followDatabaseClock()
        host.relayOutbox()
        try await host.followVenueTime { desk.observe($0) }
        host.supervisor.add("rules", .important) { try await desk.followRules() }
        // On the loop that drives the database's connections: from the journal to the commit nothing changes threads.
        host.supervisor.add("signals", .important) {
            try await withTaskExecutorPreference(PostgresPool.executor) { try await desk.run() }
        }
        host.supervisor.add("arbitrages", .important) {
            try await withTaskExecutorPreference(PostgresPool.executor) { try await desk.runArbitrages() }
        }
        host.supervisor.add("limits", .important) { try await limits.follow() }
        host.supervisor.add("daily-loss", .important) {
            try await losses.run(every: settings.dailyLossInterval) { desk.marks }
        }
        host.sendHeartbeats(checking: [host.databaseClock.probe])
    }
}
