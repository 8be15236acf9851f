import Domain
import Runtime
import Wire

/// A thousand causes at once, raised as any service raises them: over the bus, to the orchestrator.
public struct AlertStorm: Sendable {
    public static let kind = "rehearsedStorm"
    private let fleet: FaultyFleet
    public let count: Int

    public init(_ fleet: FaultyFleet, count: Int = 1_000) {
        self.fleet = fleet
        self.count = count
    }

    /// How a cause is named in what people read; no name is the beginning of another.
    public static func name(_ number: Int) -> String { "storm:\(number)." }

    /// Says that every cause fires, or that every one has ended.
    public func say(_ state: SystemAlert.State) async throws {
        for number in 0..<count {
            let alert = SystemAlert(
                id: try AlertID("rehearsal/1/\(state.rawValue)/\(number)"), kind: Self.kind,
                fingerprint: Self.name(number), state: state, summary: "nothing, this is a rehearsal", detail: [:],
                at: WallClock.real.microseconds, severity: "warning")
            _ = try await fleet.station.bus.publish(alert, on: Channels.alerts)
        }
    }
}
