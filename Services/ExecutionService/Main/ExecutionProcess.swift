import Domain
import ExecutionServiceEngine
import Hosting
import Postgres
import Runtime
import Wire

/// The process: connects, and adds its parts to the supervisor.
enum ExecutionProcess {
    static func start(
        in context: ProcessContext,
        makeVenue: (ExecutionSettings, ServiceHost) throws -> any ExecutionVenue
    ) async throws {
        let all = try context.settings(ExecutionSettings.init)
        let settings = all.service
        let host = try await ServiceHost.start(settings.host, in: context)
        let account = try await host.openAccount(with: settings.order.initialBankroll)

        let venue = try makeVenue(all, host)
        let store = OrderStore(
            pool: host.database, account: account,
            statistics: DailyStatistics(timeZone: settings.order.tradingDayTimeZone),
            fillStanding: venue.fillsAreProvisional ? .provisional : .confirmed,
            savedPercent: Int64(settings.exits.savedPercent), budget: try BudgetStore(settings),
            wall: context.wallClock)
        let prices = LatestPrices(metrics: context.metrics)
        let balance = BalanceReader(host: host, venue: venue, account: account)
        let (positions, plans, results, payments) = (WakeUps(), WakeUps(), WakeUps(), WakeUps())
        let desk = OrderDesk(
            host: host, store: store, venue: venue, settings: settings, engine: ExecutionServiceEngine(settings),
            prices: prices, balance: balance, positions: positions)
        let legs = LegDesk(
            host: host, store: store, venue: venue, orders: desk, settings: settings, prices: prices, balance: balance)
        let keeper = PositionKeeper(host: host, store: store, venue: venue)
        let reconciler = Reconciler(
            host: host, store: store, venue: venue, desk: desk, records: ReconciliationStore(account, at: .kalshi),
            settings: settings)
        let exits = ExitDesk(
            host: host, store: store, desk: desk, prices: prices, settings: settings, wakeUps: positions)

        try await host.followDatabaseClock()
        host.relayOutbox()
        // A replay's clock begins at nothing: what is stored says how far it was.
        if host.venueClock.isReplay, let known = try await store.latestVenueTime() { host.venueClock.observe(known) }
        try await host.followVenueTime { price in
            if prices.note(price) { desk.wakeUps() }
            await exits.heard(price)
        }
        host.supervisor.add("balance", .important) { try await balance.run(every: settings.balanceInterval) }
        // On the loop that drives the database's connections: from the hint to the commit nothing changes threads.
        host.supervisor.add("orders", .critical) {
            await withTaskExecutorPreference(PostgresPool.executor) { await desk.run() }
        }
        host.supervisor.onDrain("orders") { await desk.drain() }
        host.supervisor.add("legs", .critical) { try await legs.run(plans.stream) }
        host.supervisor.onDrain("legs") { await legs.drain() }
        host.supervisor.add("plan-news", .important) { try await plans.follow(Channels.plans, on: host.bus) }
        host.supervisor.add("plan-sweep", .important) {
            try await plans.tick(every: settings.sweepInterval, clock: host.clock)
        }
        host.supervisor.add("intent-news", .important) {
            try await desk.wakeUps.followIntents(desk.news, on: host.bus) { await desk.offer($0) }
        }
        host.supervisor.add("intent-hints", .important) {
            try await withTaskExecutorPreference(PostgresPool.executor) {
                try await desk.wakeUps.followHints(desk.news, on: host.bus) { await desk.offer($0) }
            }
        }
        host.supervisor.add("intent-sweep", .important) {
            try await desk.wakeUps.tick(every: settings.sweepInterval, clock: host.clock)
        }
        if settings.exits.isEnabled {
            host.supervisor.add("exits", .critical) {
                await withTaskExecutorPreference(PostgresPool.executor) { await exits.run() }
            }
            host.supervisor.add("exit-sweep", .important) {
                try await positions.tick(every: settings.exits.interval, clock: host.clock)
            }
        }
        host.supervisor.add("provisional-fills", .important) {
            try await ProvisionalFills(host: host, store: store, venue: venue, alarm: desk.alarm)
                .follow(every: settings.provisionalInterval)
        }
        host.supervisor.add("untold-alerts", .important) {
            try await UntoldAlerts(host: host, store: store, alarm: desk.alarm).follow()
        }
        host.supervisor.add("unknown-orders", .important) {
            try await desk.resolveUnknownOrders(every: settings.unknownInterval)
        }
        host.supervisor.add("reconciliation", .important) {
            try await reconciler.run(with: keeper, looked: payments)
        }
        host.supervisor.add("foreign-settlements", .bestEffort) {
            try await ForeignSettlements(host: host, keeper: keeper, records: reconciler.records).run(payments.stream)
        }
        host.supervisor.add("cancel-all", .important) {
            try await CancelAll(host: host, desk: desk, venue: venue).run()
        }
        host.supervisor.add("settlement", .critical) { try await keeper.settle(results.stream) }
        host.supervisor.add("game-ends", .important) {
            try await results.follow(Channels.gamesEnded, on: host.bus) { host.venueClock.observe($0.at) }
        }
        host.supervisor.add("settlement-sweep", .important) {
            try await results.tick(every: settings.settlementInterval, clock: host.clock)
        }
        host.sendHeartbeats(
            checking: Checks.probes(venue: venue, desk: desk, settings) + [host.databaseClock.probe])
    }
}
