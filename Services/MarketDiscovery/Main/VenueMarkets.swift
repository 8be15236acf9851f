import Domain
import Hosting
import MarketDiscoveryEngine
import Runtime
import Venues

/// The venue's lists of markets as the engine wants them.
struct VenueMarkets: Sendable {
    let settings: MarketDiscoverySettings
    let host: ServiceHost

    func open(in series: String) async throws -> [Candidate] { [] }

    var probe: HealthProbe { HealthProbe("kalshi", timeout: .seconds(1)) {} }
}
