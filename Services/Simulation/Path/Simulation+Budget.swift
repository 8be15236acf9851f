import Domain
import ExecutionServiceEngine
import Resilience

/// What the venue may be asked: the shell of the budget.
extension Simulation {
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
}
