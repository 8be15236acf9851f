import Domain
import ExecutionServiceEngine
import GameShardEngine
import Resilience

/// Fills that their venue may take back: the shell that asks what became of them.
extension Simulation {
    static let fillInterval = Duration.seconds(5)
    /// Of all fills, in percent, those that a venue takes back.
    static let takenBack = 15

    /// The venue decides some time after a fill whether it lasts.
    mutating func concludeFills() {
        for fill in path.venue.takeUndecided() {
            planPath(.conclude(fill, isTrue: !path.roll(Self.takenBack)), within: 200...12_000)
        }
    }

    mutating func followFills(_ index: Int, _ life: Int, _ happening: PathHappening) {
        guard isThere(executor: index, life, happening) else { return }
        planPath(.followFills(index, life: life), after: Self.fillInterval)
        let process = path.executors[index].process
        guard fate(of: process, writes: false).isAnswered, !path.books.provisional.isEmpty, reachesVenue()
        else { return }
        let open = path.books.provisional.sorted()
        let told = path.venue.standings
        let reversed = plant == .reversalIsConfirmation ? [] : open.filter { told[$0] == .reversed }
        let confirmed = open.filter { told[$0] != .provisional && !reversed.contains($0) }
        if !confirmed.isEmpty {
            let fate = fate(of: process)
            if fate.isDone {
                path.books.confirm(confirmed)
                watchConfirmed(confirmed)
            }
            guard fate.isAnswered else { return }
        }
        let byOrder = Dictionary(grouping: reversed.compactMap { path.books.fills[$0] }, by: \.order)
        for (order, fills) in byOrder.sorted(by: { $0.key < $1.key }) {
            let fate = fate(of: process)
            let booking = fate.isDone ? reverse(fills, of: order, by: index) : nil
            guard fate.isAnswered else { return }
            tell(booking.map { [$0.alert] } ?? [])
        }
    }

    private mutating func reverse(_ fills: [Fill], of order: OrderID, by index: Int) -> ReversalBooking? {
        let here = venueClock(of: path.executors[index].process)
        guard let booking = path.books.reverse(Set(fills.map(\.id)), of: order, at: here) else { return nil }
        log.add("\(order) loses \(booking.reversed.map(\.id.rawValue))")
        record("e\(index) takes \(booking.reversed.map(\.id.rawValue)) of \(order) back")
        watchReversal(booking)
        // It opens what its exit had closed.
        watchBooks(mayOpen: true)
        oweAlerts([booking.alert])
        return booking
    }
}
