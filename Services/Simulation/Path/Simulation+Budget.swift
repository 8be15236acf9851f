import Domain
import ExecutionServiceEngine
import Resilience

/// What the venue may be asked: the shell of the budget, and of the cancels that an engaged kill switch sends.
extension Simulation {
    static let cancelInterval = Duration.seconds(1)
    static let cancelPatience = Duration.seconds(2)

    /// An order has taken its tokens.
    mutating func watchBudget(_ request: AccountBudget.Request) {
        guard let limits = path.books.budgetLimits else { return }
        if let problem = path.watch.budget.granted(request, limits, at: now) { violated(problem) }
    }

    /// The process was told that it was too much, and tells the others by their database.
    mutating func noteTooMany(_ index: Int) {
        guard let limits = path.books.budgetLimits, fate(of: path.executors[index].process).isDone else { return }
        record("e\(index) notes that the venue wants no orders")
        path.books.refusedAsTooMany(retryAfter: nil, at: now)
        path.watch.budget.refused(limits.pause, at: now)
    }

    /// While the kill switch is engaged everything that rests is taken back.
    mutating func cancelAll(_ index: Int, _ life: Int, _ happening: PathHappening) {
        guard isThere(executor: index, life, happening) else { return }
        planPath(.cancelAll(index, life: life), after: Self.cancelInterval)
        let process = path.executors[index].process
        guard path.books.killSwitch.isEngaged, fate(of: process, writes: false).isAnswered else { return }
        for name in path.books.openOrders.compactMap(\.record.venueOrder) {
            // A database that is away holds up no cancel.
            if fate(of: process).isDone {
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
}
