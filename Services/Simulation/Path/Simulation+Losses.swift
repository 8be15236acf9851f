import Domain
import GameShardEngine
import Resilience
import SignalProcessorEngine

/// The loss of the day: the shell that halts for it.
extension Simulation {
    static let lossInterval = Duration.seconds(5)

    mutating func lookForLosses(_ index: Int, _ life: Int, _ happening: PathHappening) {
        guard isThere(processor: index, life, happening) else { return }
        planPath(.lookForLosses(index, life: life), after: Self.lossInterval)
        let processor = path.processors[index]
        guard fate(of: processor.process, writes: false).isAnswered else { return }
        var next = processor.losses
        let step = next.observe(
            realised: path.books.realised - path.books.fees,
            marked: path.books.markedProfit(processor.marks, at: venueClock(of: processor.process)), on: "today")
        if case .halt(let loss) = step {
            let fate = fate(of: processor.process)
            if fate.isDone, plant != .haltForgotten {
                record("p\(index) halts for a loss of \(loss)")
                log.add("halt")
                path.books.halt(at: next.limit)
            }
            // What could not be carried out is tried again by the next look.
            guard fate.isAnswered else { return }
        }
        path.processors[index].losses = next
    }
}
