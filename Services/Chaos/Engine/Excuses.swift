/// What the faults of one round give a reason for; what happens besides has none.
struct Excuses: Hashable, Sendable {
    /// Redis loses what it holds, and with it messages that nobody has read yet.
    let losesJournal: Bool
    /// A shard is hurt: a game may have another owner at the end, and games are spread anew.
    let movesGames: Bool
    private let alerts: Set<String>

    /// Told of what was bought and sold, whatever breaks.
    ///
    /// A deployment that plays a game may lose on it, which engages the kill switch too. A switch that is engaged for a
    /// difference is not told alone.
    private static let ofTrading: Set<String> = ["dailyLossWarning", "dailyLossExceeded", "killSwitchEngaged"]

    /// - Parameters:
    ///   - scenario: what is held.
    ///   - steps: what is broken in this round.
    ///   - isOwn: whether the suite is ours alone.
    init(_ scenario: Scenario, _ steps: [Scenario.Step], ofOwnSuite isOwn: Bool) {
        let faults = Set(steps.map(\.fault))
        losesJournal = faults.contains(Fault(.flush, .redis))
        movesGames = faults.contains { [.busiestShard, .allShards, .suite].contains($0.part) }
        let drawn = faults.reduce(into: Set<String>()) { $0.formUnion(Scenario.alerts(after: $1)) }
        alerts = scenario.alerts.union(scenario.isDrawn ? drawn : scenario.mayAlert).union(isOwn ? [] : Self.ofTrading)
    }

    func covers(_ alert: String) -> Bool { alerts.contains(alert) }
}
