import Hosting
import Runtime

await ProcessRunner.run(service: "market-discovery", knownSettings: SettingsCatalogue.keys) { context in
    let settings = try context.settings(MarketDiscoverySettings.init)
    let host = try await ServiceHost.start(settings.host, in: context)
    let venue = VenueMarkets(settings: settings, host: host)
    let desk = DiscoveryDesk(host: host, settings: settings, list: venue.open(in:))

    host.supervisor.add("questions", .important) { try await desk.listen() }
    host.supervisor.add("searches", .important) { await desk.search() }
    host.sendHeartbeats(checking: [venue.probe])
}
