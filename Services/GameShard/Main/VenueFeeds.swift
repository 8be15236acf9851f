import Domain
import Hosting
import Runtime

struct VenueSettings: Sendable { init(_ reader: SettingsReader) {} }

struct VenueFeeds: Sendable {
    init(_ settings: VenueSettings, pollInterval: Duration, _ host: ServiceHost) throws {}
    func follow(_ markets: Set<MarketID>) {}
    func poll(_ games: [Game]) {}
    func probes() -> [HealthProbe] { [] }
    func start(telling watcher: GameWatcher) {}
}
