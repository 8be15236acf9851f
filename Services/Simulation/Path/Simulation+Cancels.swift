import Domain
import ExecutionServiceEngine
import Resilience

/// The cancels that an engaged kill switch sends: the shell of `CancelAll`, and what must come of them.
extension Simulation {
    private static let cancelInterval = Duration.seconds(1)
    /// Five looks: the account may have spent the tokens of a cancel, which come back within half a second.
    private static let restBound = Duration.seconds(5)

    /// While the kill switch is engaged everything that rests is taken back: what the books say, or what the process
    /// remembers while it cannot read them.
    mutating func cancelAll(_ index: Int, _ life: Int, _ happening: PathHappening) {
        guard isThere(executor: index, life, happening) else { return }
        planPath(.cancelAll(index, life: life), after: Self.cancelInterval)
        let executor = path.executors[index]
        guard seesHalt(executor.process), plant != .cancelsForgotten else { return }
        var resting = executor.resting
        if fate(of: executor.process, writes: false).isAnswered {
            resting = [:]
            for order in path.books.openOrders { resting[order.record.request.id] = order.record.venueOrder }
        }
        for (_, name) in resting.sorted(by: { $0.key < $1.key }) {
            // A database that is away holds up no cancel.
            if fate(of: executor.process).isDone {
                guard case .granted = path.books.take(.cancel, at: now) else {
                    path.watch.budget.waited()
                    continue
                }
                watchBudget(.cancel)
            }
            guard !path.trouble.isVenueDown, !path.roll(path.trouble.lostRequests) else { continue }
            record("e\(index) takes \(name) back")
            path.venue.cancel(name)
        }
    }

    /// Whether the process knows that the kill switch is engaged: by its file, or by the database that it reads.
    private func seesHalt(_ process: SimulatedProcess) -> Bool {
        path.trouble.isKillFilePresent || (process.hasDatabase && path.books.killSwitch.isEngaged)
    }

    /// Nothing rests for long once somebody who could take it back knows that it must not.
    mutating func watchResting() {
        guard path.isOn else { return }
        let isVenueThere = !path.trouble.isVenueDown && path.trouble.lostRequests == 0
        let able = path.executors.filter { $0.process.isRunning && !$0.process.isPaused && seesHalt($0.process) }
        var since: [OrderID: MachineInstant] = [:]
        if isVenueThere, !able.isEmpty {
            for order in path.venue.orders where order.isOpen {
                let id = order.request.id
                let isBooked = path.books.orders[id]?.record.venueOrder != nil && path.trouble.lostAnswers == 0
                let isKnown = able.contains { $0.resting[id] != nil || (isBooked && $0.process.hasDatabase) }
                if isKnown { since[id] = path.watch.restingSince[id] ?? now }
            }
        }
        path.watch.restingSince = since
        for (id, begin) in since.sorted(by: { $0.key < $1.key }) where now.since(begin) > Self.restBound {
            violated("\(id) rests past the kill switch")
            path.watch.restingSince[id] = now
        }
    }
}
