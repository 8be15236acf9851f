import Resilience

extension ScenarioRun {
    mutating func finish(_ problem: String) -> [Effect] {
        verdict.note(problem)
        state = .over
        return [.finish(verdict)]
    }

    mutating func conclude() -> [Effect] {
        state = .over
        verdict.isWhole = true
        verdict.moved = moved.count
        verdict.alertsReceived = verdict.isControl ? 0 : scenario.alerts.intersection(fired).count
        countMessages()
        if let control = verdict.control {
            conclude(control)
        } else {
            concludeOrders()
            concludeMessages()
            concludeAlerts()
            if verdict.moved > 0, !excuses.movesGames { verdict.note("\(verdict.moved) games moved") }
            concludeTimes()
        }
        return [.finish(verdict)]
    }

    /// Says what a control has found, or has not.
    private mutating func conclude(_ control: Finding) {
        switch control {
        case .unsteady:
            // What it must find, since nothing was undone until nothing could be in time.
            verdict.note(
                verdict.recovered == nil ? "not steady in time, as it must be" : "the control recovered after all")
        case .lostMessages:
            verdict.note("\(verdict.messagesLost) of \(verdict.messages) messages were found to be lost")
        case .orders: verdict.note("\(verdict.ordersMeanwhile) orders left meanwhile")
        case .standstill:
            if takenWhenStill != nil { verdict.note("\(verdict.ordersMeanwhile) orders left meanwhile") }
        case .moreGaps: verdict.note("\(verdict.gaps) gaps were found on \(verdict.streams) streams")
        }
    }

    private mutating func countMessages() {
        verdict.streams = handed.reduce(0) { $0 + $1.open }
        verdict.gaps = handed.reduce(0) { $0 + $1.gaps }
        guard let newestMessages else { return }
        verdict.messages = newestMessages.heard - (earlierMessages?.heard ?? 0)
        // What was passed over may have come since.
        verdict.messagesLost = max(0, newestMessages.missing - (earlierMessages?.missing ?? 0)) + untaken
    }

    private mutating func concludeOrders() {
        verdict.orders = max(0, (last?.orders ?? 0) - ordersBefore)
        verdict.lost = max(rowsFewer, rowsMissing)
        if !hasOrders { verdict.note("no order was made meanwhile") }
        if let newestOrders {
            verdict.duplicated = newestOrders.strange - (earlierOrders?.strange ?? 0)
            verdict.lost += newestOrders.missing - (earlierOrders?.missing ?? 0) + forgotten
        }
        concludeStandstill()
        if verdict.lost > 0 { verdict.note("\(verdict.lost) rows or orders are lost") }
        if let twice = verdict.duplicated, twice > 0 { verdict.note("\(twice) orders at the venue are not ours") }
    }

    /// Whether they stood still, or went on, as they had to; where nobody trades all the time none need go on.
    private mutating func concludeStandstill() {
        if scenario.stillAfter != nil {
            if takenWhenStill == nil { verdict.note("nobody saw whether orders stood still") }
            if verdict.ordersMeanwhile > 0 { verdict.note("\(verdict.ordersMeanwhile) orders left though none may") }
        } else if scenario.goesOnAfter != nil, needsOrders, verdict.ordersMeanwhile == 0 {
            verdict.note("no order left while the fault stood")
        }
    }

    private mutating func concludeMessages() {
        if verdict.messagesLost > 0, !excuses.losesJournal {
            verdict.note("\(verdict.messagesLost) journaled messages are lost")
        }
        guard scenario.givesOneGap else { return }
        if handed.isEmpty { verdict.note("nobody says how many gaps it was handed") }
        for one in handed where one.gaps != one.open {
            verdict.note("\(one.process) was handed \(one.gaps) gaps on \(one.open) streams")
        }
    }

    private mutating func concludeAlerts() {
        for (kind, summary) in verdict.unexpected.sorted(by: { $0.key < $1.key }) {
            verdict.note("\(kind) was told without a reason" + (summary.isEmpty ? "" : ": \(summary)"))
        }
        for kind in scenario.alerts.subtracting(fired).sorted() { verdict.note("\(kind) was not told") }
        for kind in scenario.alerts.intersection(fired).subtracting(ended).sorted() {
            verdict.note("the end of \(kind) was not told")
        }
        if readsFiles {
            for kind in scenario.alerts.subtracting(filed).sorted() { verdict.note("\(kind) is in no alert file") }
        }
        if seesSink {
            for kind in scenario.alerts.subtracting(delivered).sorted() {
                verdict.note("\(kind) did not reach the sink")
            }
        }
    }

    private mutating func concludeTimes() {
        if readsFiles, case .alert? = scenario.detection {
            requireInTime("in the file", verdict.filed, scenario.detectWithin)
        }
        requireInTime("at the sink", verdict.delivered, scenario.deliverWithin)
        if scenario.detection != nil, verdict.detected == nil { verdict.note("not detected") }
        requireInTime("detected", verdict.detected, scenario.detectWithin)
        if verdict.recovered == nil { verdict.note("not recovered: \(unrest.joined(separator: "; "))") }
        requireInTime("recovered", verdict.recovered, scenario.recoverWithin)
    }

    private mutating func requireInTime(_ what: String, _ length: Duration?, _ limit: Duration?) {
        guard let length, let limit, length > limit else { return }
        verdict.note("\(what) after \(length.wholeMilliseconds) ms, later than allowed")
    }
}
