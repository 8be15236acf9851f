import Domain
import ExecutionServiceEngine
import Resilience

/// Alerts that follow from a booking: committed with it, told by whoever booked, or by another that finds them untold
/// (decision 0075).
extension Simulation {
    private static let interval = Duration.seconds(2)
    /// From when on an alert is told by somebody else.
    private static let patience = Duration.seconds(5)
    /// So long after somebody could have told it everything is told.
    private static let bound = Duration.seconds(20)

    /// Takes note, in the step of the transaction itself, of what people must be told of.
    mutating func oweAlerts(_ alerts: [ExecutionAlert]) {
        for alert in alerts {
            path.watch.owed[alert] = now
            if case .overfilled(let id, _, _) = alert, !path.venue.takenFrom.contains(id) {
                violated("\(id) is overfilled")
            }
        }
    }

    mutating func tell(_ alerts: [ExecutionAlert]) {
        for alert in alerts {
            path.books.untold[alert] = nil
            path.watch.owed[alert] = nil
        }
    }

    /// What others have committed and nobody has told.
    mutating func tellUntold(_ index: Int, _ life: Int, _ happening: PathHappening) {
        guard isThere(executor: index, life, happening) else { return }
        planPath(.tellUntold(index, life: life), after: Self.interval)
        guard path.executors[index].process.hasDatabase else { return }
        let due = path.books.untold.filter { now.since($0.value) >= Self.patience }.keys
        guard !due.isEmpty else { return }
        log.add("e\(index) tells \(due.count) alerts")
        tell(Array(due))
    }

    /// Nothing that is committed stays untold, whoever died.
    mutating func watchAlerts(isEnd: Bool = false) {
        let isAnybodyThere = path.executors.contains {
            $0.process.isRunning && !$0.process.isPaused && $0.process.hasDatabase
        }
        guard isEnd || isAnybodyThere else {
            path.watch.tellersSince = nil
            return
        }
        let tellers = path.watch.tellersSince ?? now
        path.watch.tellersSince = tellers
        let silent = path.watch.owed.filter { isEnd || now.since(max($0.value, tellers)) > Self.bound }
        for alert in silent.keys.sorted(by: { ($0.order, $0.happened) < ($1.order, $1.happened) }) {
            violated("nobody is told that \(alert.order) \(alert.happened)")
            path.watch.owed[alert] = nil
        }
    }
}

extension ExecutionAlert {
    fileprivate var order: OrderID {
        switch self {
        case .orderUnknown(let id, _), .straggler(let id), .overfilled(let id, _, _), .reversed(let id, _, _, _): id
        }
    }

    fileprivate var happened: String {
        switch self {
        case .orderUnknown: "is unknown"
        case .straggler: "traded after its end"
        case .overfilled: "traded too much"
        case .reversed: "was taken back"
        }
    }
}
