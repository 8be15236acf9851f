import Domain
import ExecutionServiceEngine
import Hosting
import Logging
import Postgres
import Resilience
import Runtime

/// What goes out with an engaged kill switch: an alert, and a cancel for everything that rests at the venue.
struct CancelAll: Sendable {
    /// How long one cancel may take.
    static let patience = Duration.seconds(2)
    /// An order that was on its way when the switch was engaged may rest later, so it is looked again.
    static let interval = Duration.seconds(1)

    let host: ServiceHost
    let desk: OrderDesk
    let venue: any ExecutionVenue

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { parts in
            parts.addTask { for await state in host.killSwitch.states() { tell(state) } }
            parts.addTask {
                for await state in host.killSwitch.states() where state.isEngaged {
                    // Ends with the switch: the next state is read then.
                    while !Task.isCancelled, host.killSwitch.current.state.isEngaged {
                        await cancel()
                        try await host.clock.sleep(for: Self.interval)
                    }
                }
            }
            try await parts.waitForAll()
        }
    }

    private func tell(_ state: KillSwitchState) {
        switch state {
        case .engaged, .reduceOnly:
            let reading = host.killSwitch.current
            host.alerts.fire(
                "killSwitchEngaged", fingerprint: "killSwitchEngaged",
                state == .engaged
                    ? "The kill switch is engaged: no new orders, what rests is cancelled"
                    : "The kill switch is engaged for the loss of the day: no entries, only exits pass",
                fields: [
                    "file": reading.file.rawValue, "database": reading.database.rawValue,
                    "release": "linesman kill-switch release --reason …",
                ])
        case .released:
            host.alerts.resolve("killSwitchEngaged", kind: "killSwitchEngaged", "The kill switch is released")
        // A database that is away has an alert of its own.
        case .unknown: return
        }
    }

    /// Everything that the books say, or that this process remembers while the books cannot be read.
    private func cancel() async {
        var resting = await desk.resting
        if let open = try? await desk.store.openOrders() {
            resting = Dictionary(
                open.compactMap { open in open.record.venueOrder.map { (open.record.request.id, $0) } },
                uniquingKeysWith: { first, _ in first })
        }
        for (order, venueOrder) in resting.sorted(by: { $0.key < $1.key }) {
            let isGone = await venue.cancel(venueOrder, deadline: host.clock.now.advanced(by: Self.patience))
            host.context.metrics.counter(
                "cancels_total", "Orders taken back by the kill switch.", labels: ["gone": "\(isGone)"]
            ).increment()
            host.log.notice(
                "order taken back by the kill switch", metadata: [Key.order: "\(order)", "gone": "\(isGone)"])
        }
    }
}
