/// What a step was, as a number of the event log; that two runs agree in times alone says little.
extension Simulation.Happening {
    var kind: Int64 {
        switch self {
        case .shardTimer: 1
        case .orchestratorTimer: 2
        case .toShard: 3
        case .command: 4
        case .toOrchestrator: 5
        case .shardReads: 6
        case .leadershipAsked: 7
        case .leadershipAnswered: 8
        case .leadershipTimer: 9
        case .desiredRead: 10
        case .recordStored: 11
        case .recordAnswered: 12
        case .look: 13
        case .fault: 14
        case .check: 15
        case .pathFault: 16
        case .shardStarts: 17
        case .path(let happening): 100 + happening.kind
        }
    }
}

extension PathHappening {
    fileprivate var kind: Int64 {
        switch self {
        case .play: 1
        case .confirmBooks: 2
        case .settle: 3
        case .publish: 4
        case .entryHeard: 5
        case .follow: 6
        case .followed: 7
        case .decide: 8
        case .decided: 9
        case .planDecided: 10
        case .lookForLosses: 11
        case .priceToProcessor: 12
        case .priceToExecutor: 13
        case .intentToExecutor: 14
        case .discoveryAsked: 15
        case .discoveryListed: 16
        case .discoveryBeat: 17
        case .lookForExits: 18
        case .exitAsked: 19
        case .sweepPlans: 20
        case .drive: 21
        case .legSend: 22
        case .legAnswered: 23
        case .conclude: 24
        case .followFills: 25
        case .cancelAll: 26
        case .tellUntold: 27
        case .sweep: 28
        case .swept: 29
        case .claim: 30
        case .claimed: 31
        case .arrive: 32
        case .linger: 33
        case .book: 34
        case .booked: 35
        default: lookKind
        }
    }

    private var lookKind: Int64 {
        switch self {
        case .resolve: 36
        case .step: 37
        case .look: 38
        case .looked: 39
        case .readBalance: 40
        case .balanceRead: 41
        case .payOut: 42
        case .reconcile: 43
        case .reconcileAtVenue: 44
        case .reconcileAtHome: 45
        case .reconciled: 46
        case .killSwitch: 47
        default: 0
        }
    }
}
