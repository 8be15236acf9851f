import Hosting
import Runtime
import Venues

await ProcessRunner.run(service: "market-discovery", knownSettings: SettingsCatalogue.keys) { context in
    let (settings, kalshi) = try context.settings { (MarketDiscoverySettings($0), KalshiSettings($0)) }
    let host = try await ServiceHost.start(settings.host, in: context)
    let venue = try VenueMarkets(kalshi, host: host)
    let desk = DiscoveryDesk(host: host, settings: settings, list: venue.open(in:))

    host.supervisor.add("questions", .important) { try await desk.listen() }
    host.supervisor.add("searches", .important) { await desk.search() }
    host.sendHeartbeats(checking: [venue.probe])
}
