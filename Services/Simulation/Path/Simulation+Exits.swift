import Domain
import ExecutionServiceEngine
import Resilience

/// Selling what is held: the shell of the exits.
extension Simulation {
    static let exitInterval = Duration.seconds(1)
    static let exitLife = Duration.seconds(30)

    mutating func exitHappens(_ happening: PathHappening) {
        switch happening {
        case .lookForExits(let index, let life):
            guard isThere(executor: index, life, happening) else { return }
            planPath(.lookForExits(index, life: life), after: Self.exitInterval)
            if path.isPlaying { lookForExits(index, life) }
        case .exitAsked(let index, let life, let item):
            guard isThere(executor: index, life, happening), path.executors[index].isReconciled else { return }
            _ = path.executors[index].lanes.offer(item)
            startLanes(index)
        default: break
        }
    }

    /// Every position whose price says so is asked to be sold, and that is decided again where it is stored.
    private mutating func lookForExits(_ index: Int, _ life: Int) {
        let executor = path.executors[index]
        let permits = [.released, .reduceOnly].contains(path.books.killSwitch)
        guard fate(of: executor.process, writes: false).isAnswered, permits else { return }
        let (here, machine) = (venueClock(of: executor.process), clock(of: executor.process))
        let held = path.books.openPositions.filter { !$0.value.position.isFlat }
        for (market, row) in held.sorted(by: { $0.key < $1.key }) {
            if let last = executor.exitsAsked[market], last.net == row.position.netHundredths,
                machine.since(last.at) < Self.exitInterval
            {
                continue
            }
            guard let price = executor.prices[market], price.at.duration(to: here) <= .seconds(30),
                path.books.wantsExit(market, Self.exitRules, price, at: here)
            else { continue }
            path.executors[index].exitsAsked[market] = (machine, row.position.netHundredths)
            let fate = fate(of: executor.process)
            guard fate.isDone else { continue }
            let item = path.books.askExit(
                of: market, Self.exitRules, life: Self.exitLife, price: price, epoch: database.rows[row.game]?.epoch,
                as: { IntentID(stringLiteral: "x\($0)-\($1)") }, at: here, database: now)
            watchBooks()
            guard let item else { continue }
            log.add(item.intent.rawValue)
            record("e\(index) asks for \(item.intent), \(item.priority)")
            if fate.isAnswered { planPath(.exitAsked(index, life: life, item), within: 1...4) }
        }
    }

    /// A wide margin on the winning side, so that some positions are held to the end.
    private static let exitRules: ExitRules = {
        var rules = ExitRules()
        rules.takeProfit = 600
        return rules
    }()
}
