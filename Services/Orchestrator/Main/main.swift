import Alerting
import Hosting
import OrchestratorEngine
import Runtime
import Venues

await ProcessRunner.run(service: "orchestrator", knownSettings: SettingsCatalogue.keys) { context in
    let (settings, feed) = try context.settings { (OrchestratorSettings($0), ScoreboardSettings($0)) }
    let host = try await ServiceHost.start(settings.host, in: context, alerting: .main)
    let health = host.measureHealth([SystemMonitor.writes(host)])
    let alerts = host.alerts.dispatcher
    let leadership = Leadership(
        database: host.database, holder: "\(host.source)/\(host.incarnation)", settings: settings)
    let store = AssignmentStore(database: host.database, leadership: leadership)
    let lanes = EffectLanes()
    let fleet = FleetReconciler(policy: OrchestratorPolicy(settings), lanes: lanes, host: host)
    let alertLane = AlertLane(alerts: alerts, isMonitoring: settings.host.health.isEnabled)
    let monitor = SystemMonitor(every: settings.monitorInterval, host, fleet, health, alertLane)
    let others = OtherOrchestrators(host: host, timeout: settings.serviceTimeout)
    let news = FleetNews(host: host, fleet: fleet, others: others)
    let scores = VenueScores(feed, host: host)
    let scoreboards = Scoreboards(
        host: host, settings: settings, fleet: fleet, read: { try await scores.board(of: $0) },
        slots: { try await SlotStore(database: host.database).board() })
    let schedule = ScheduleSync(
        host: host, settings: settings, store: ScheduleStore(database: host.database, leadership: leadership),
        read: { try await scores.board(of: $0, on: $1) })
    let announcements = Announcements(host: host)
    let records = RecordLane(store: store, fleet: fleet, announcements: announcements, host: host)
    let orders = OrderRecords(database: host.database, leadership: leadership)
    let control = ControlDesk(host: host, fleet: fleet, records: orders, settings: settings.control)
    let sealer = AuditSealer(host.database, settings.audit, alerts: host.alerts, in: context)
    let page = StatusPage(
        host: host, fleet: fleet, alerts: alerts, health: health, monitor: monitor, settings: settings,
        control: control)

    host.supervisor.add("alert-lane", .critical) { await alertLane.run(lanes.alerts) }
    host.supervisor.add("bus-lane", .critical) { await BusLane(host: host, leadership: leadership).run(lanes.messages) }
    host.supervisor.add("record-lane", .critical) { await records.run(lanes.records) }
    host.supervisor.add("announcements", .important) { await announcements.run() }
    try await news.listen()
    try await StartupAnswers(host: host, store: store).listen()
    try await SystemAlerts(host: host, fleet: fleet, confirmation: settings.alertConfirmation).listen()
    host.supervisor.add("ticks", .critical) { try await news.tick() }
    host.supervisor.add("system-monitor", .critical) { try await monitor.run() }
    host.supervisor.add("leadership", .critical) {
        try await LeaderWatch(leadership, store, fleet, monitor, others, host).run()
    }
    host.supervisor.add("scoreboards", .important) { try await scoreboards.run() }
    host.supervisor.add("schedule", .bestEffort) { try await schedule.run() }
    host.supervisor.add("audit-seal", .important) { try await sealer.run() }
    host.supervisor.add("control", .important) { await control.run() }
    host.supervisor.add("status", .important) { try await page.serve() }
    host.supervisor.onDrain("leadership") { await leadership.resign() }
    host.sendHeartbeats(hurriedBy: [health.changes]) { HeartbeatContent(health) }
}
