import Domain
import ExecutionServiceEngine
import Hosting
import Runtime

extension ExecutionServiceEngine {
    /// The engine that the settings ask for.
    init(_ settings: ExecutionServiceSettings) {
        var safeguards = Safeguards()
        safeguards.ordersPerMinute = settings.ordersPerMinute
        safeguards.ordersPerHour = settings.ordersPerHour
        safeguards.ordersPerDay = settings.ordersPerDay
        safeguards.orderValue = settings.order.orderValue
        safeguards.orderContracts = Int64(settings.order.orderContracts)
        safeguards.priceBounds = settings.order.minimumPrice...settings.order.maximumPrice
        safeguards.exitsPerMinute = settings.exitsPerMinute
        safeguards.slippagePercent = Int64(settings.slippagePercent)
        safeguards.balancePercent = Int64(settings.balancePercent)
        safeguards.killSwitchAllowsReducing = settings.killSwitchAllowsReducing
        self.init(
            safeguards: safeguards, attempts: settings.attempts,
            proof: NonAcceptanceProof(wait: settings.window.proofWait))
    }
}

/// What this service measures besides Redis and PostgreSQL (DESIGN rule 11).
enum Checks {
    private struct NotSo: Error, CustomStringConvertible {
        let description: String
    }

    static func probes(
        venue: any ExecutionVenue, desk: OrderDesk, _ settings: ExecutionServiceSettings
    ) -> [HealthProbe] {
        let file = KillSwitchFile(path: settings.host.killSwitch.file)
        return [
            HealthProbe("venue", timeout: .seconds(2)) { try await venue.ping() },
            HealthProbe("reconciled", timeout: .seconds(1)) {
                if await !desk.isReconciled { throw NotSo(description: "positions are not compared with the venue") }
            },
            HealthProbe("kill_switch_file", timeout: .seconds(1)) {
                if file.read() == .unknown { throw NotSo(description: "the kill switch file cannot be looked at") }
            },
        ]
    }
}
