import Domain
import GameShardEngine
import OrchestratorEngine
import Resilience
import SignalProcessorEngine

/// From a shard's advice to an intent: the journal, and the shell of the signal-processor.
extension Simulation {
    /// What becomes of a transaction that a process sends.
    enum Fate {
        case done
        /// Done, and told late.
        case slow(after: Duration)
        /// Committed, and nobody is told.
        case doneUnanswered
        /// Not committed: refused, or the connection was gone before.
        case failed(after: Duration)

        var isDone: Bool {
            if case .failed = self { false } else { true }
        }

        var isAnswered: Bool {
            switch self {
            case .done, .slow: true
            case .doneUnanswered, .failed: false
            }
        }

        /// How long the process waits for what it does not get.
        var patience: Duration {
            switch self {
            case .done: .zero
            case .doneUnanswered: .milliseconds(500)
            case .slow(let after), .failed(let after): after
            }
        }
    }

    mutating func fate(of process: SimulatedProcess, writes: Bool = true) -> Fate {
        if !process.hasDatabase { return .failed(after: .seconds(1)) }
        if writes, path.trouble.isDiskFull { return .failed(after: .zero) }
        guard path.roll(path.trouble.lostAnswers) else {
            return path.trouble.slowness > 0 ? .slow(after: slowness()) : .done
        }
        return path.roll(50) ? .doneUnanswered : .failed(after: .milliseconds(500))
    }

    // MARK: The journal

    /// A shard publishes, and again until it is acknowledged or has forgotten.
    mutating func publish(_ shard: Int, _ life: Int, _ signal: PublishedSignal, attempt: Int) {
        let process = shards[shard].process
        guard process.isRunning, process.life == life else { return }
        var isAcknowledged = false
        if !process.isPaused, process.hasBus, isBusUp, !path.roll(lossPercent) {
            // One atomic step at the bus: stored once, and announced.
            if !path.journal.messages.suffix(500).contains(signal) {
                path.journal.append(signal)
                announce(path.journal.end - 1)
            }
            isAcknowledged = !path.roll(lossPercent)
        }
        guard !isAcknowledged, attempt < 20 else { return }
        planPath(.publish(shard: shard, life: life, signal, attempt: attempt + 1), after: .milliseconds(300))
    }

    private mutating func announce(_ place: Int) {
        for index in path.processors.indices where path.processors[index].process.hasBus {
            let life = path.processors[index].process.life
            for _ in 0..<(path.roll(lossPercent) ? 2 : 1) where !path.roll(lossPercent) {
                planPath(.entryHeard(index, life: life, place: place), within: 1...(lossPercent > 0 ? 300 : 10))
            }
        }
    }

    // MARK: The process

    mutating func startProcessor(_ index: Int) {
        let life = path.processors[index].process.life
        planPath(.follow(index, life: life), within: 0...200)
        planPath(.lookForLosses(index, life: life), within: 0...5_000)
    }

    mutating func restartProcessor(_ index: Int) {
        let old = path.processors[index]
        var next = SimulatedProcessor(process: old.process, limits: path.told.limits)
        next.process.life += 1
        next.process.isRunning = true
        next.process.isPaused = false
        next.cursor = old.storedCursor
        next.storedCursor = old.storedCursor
        path.processors[index] = next
        startProcessor(index)
    }

    mutating func isThere(processor index: Int, _ life: Int, _ happening: PathHappening) -> Bool {
        let process = path.processors[index].process
        guard process.isRunning, process.life == life else { return false }
        guard process.isPaused else { return true }
        path.processors[index].inbox.append(.path(happening))
        return false
    }

    mutating func processorHappens(_ happening: PathHappening) {
        switch happening {
        case .priceToProcessor(let index, let life, let price):
            guard isThere(processor: index, life, happening) else { return }
            path.processors[index].observe(price)
        case .entryHeard(let index, let life, let place):
            guard isThere(processor: index, life, happening), path.processors[index].process.hasBus, isBusUp
            else { return }
            if place == path.processors[index].cursor {
                take(index)
            } else if place > path.processors[index].cursor {
                planPath(.followed(index, life: life), within: 1...10)
            }
        case .follow(let index, let life):
            guard isThere(processor: index, life, happening) else { return }
            planPath(.follow(index, life: life), after: .seconds(1))
            planPath(.followed(index, life: life), within: 1...10)
        case .followed(let index, let life):
            guard isThere(processor: index, life, happening), path.processors[index].process.hasBus, isBusUp
            else { return }
            take(index)
        case .decided(let index, let life, let place, let outcome):
            guard isThere(processor: index, life, happening) else { return }
            note(outcome, index, life, place)
        case .planDecided(let index, let life, let place, let decision):
            guard isThere(processor: index, life, happening) else { return }
            guard decision != nil else { return note(nil, index, life, place) }
            // What an approved plan needs is in the database: whoever works on plans finds it.
            note(.known, index, life, place)
        default: break
        }
    }

    /// Takes everything from its cursor on, in order; what is gone is a gap, and advice that is gone stays gone.
    private mutating func take(_ index: Int) {
        let (messages, hasGap) = path.journal.read(from: path.processors[index].cursor)
        if hasGap { path.processors[index].cursor = path.journal.dropped }
        for message in messages {
            path.processors[index].queue.append((path.processors[index].cursor, message))
            path.processors[index].cursor += 1
        }
        advance(index)
    }

    /// One signal after another.
    private mutating func advance(_ index: Int) {
        guard !path.processors[index].isBusy, let next = path.processors[index].queue.first else { return }
        path.processors[index].isBusy = true
        let life = path.processors[index].process.life
        let way = path.milliseconds(1...4) + slowness()
        planPath(.decide(index, life: life, place: next.place, next.signal), after: way)
    }

    /// The transaction that reads, decides, reserves and announces.
    ///
    /// It happens at the database: a process that dies meanwhile does not take it back.
    mutating func decide(_ index: Int, _ life: Int, _ place: Int, _ published: PublishedSignal) {
        let processor = path.processors[index]
        guard processor.process.isRunning, processor.process.life == life else { return }
        guard case .bet(let signal) = published.advice else {
            return decidePlan(index, life, place, published)
        }
        let fate = fate(of: processor.process)
        var outcome: SimulatedBooks.SignalOutcome?
        if fate.isDone {
            let ownership = SimulatedBooks.Ownership(
                seat: plant == .ownerUnread
                    ? Seat(shard: signal.shard, epoch: signal.epoch) : database.rows[signal.game]?.seat,
                life: database.lives[signal.shard])
            // An engine's own venue time never runs behind what it has heard.
            let here = max(venueClock(of: processor.process), signal.createdAt)
            let decided = path.books.process(
                signal, from: published.sender, ownership, engine: processor.engine, marks: processor.marks,
                as: .simulated(signal.id), at: here, database: now)
            if case .decided(let verdict) = decided { log.add(verdict.name) }
            record("p\(index) decides \(signal.id) of \(signal.market) \(signal.outcome): \(decided)")
            watchSignal(signal, decided, marks: processor.marks)
            watchBooks()
            if fate.isAnswered { outcome = decided }
        }
        let answer = PathHappening.decided(index, life: life, place: place, outcome)
        planPath(answer, after: fate.patience + path.milliseconds(1...4))
    }

    /// The same for an arbitrage.
    private mutating func decidePlan(_ index: Int, _ life: Int, _ place: Int, _ published: PublishedSignal) {
        guard case .arbitrage(let signal) = published.advice else { return }
        let processor = path.processors[index]
        let fate = fate(of: processor.process)
        var decision: SimulatedBooks.PlanDecision?
        if fate.isDone {
            let ownership = SimulatedBooks.Ownership(
                seat: database.rows[signal.game]?.seat, life: database.lives[signal.shard])
            let decided = path.books.process(
                signal, from: published.sender, ownership, engine: processor.engine, marks: processor.marks,
                as: .simulated(signal.id), legs: { IntentID(stringLiteral: "\($0)-leg\($1 + 1)") },
                at: max(venueClock(of: processor.process), signal.createdAt), database: now)
            if case .decided(let verdict) = decided {
                log.add(verdict.name)
                watchPlanSignal(signal, verdict, marks: processor.marks)
            }
            record("p\(index) decides \(signal.id), an arbitrage: \(decided)")
            watchBooks()
            if fate.isAnswered { decision = decided }
        }
        planPath(
            .planDecided(index, life: life, place: place, decision), after: fate.patience + path.milliseconds(1...4))
    }

    private mutating func note(
        _ outcome: SimulatedBooks.SignalOutcome?, _ index: Int, _ life: Int, _ place: Int
    ) {
        guard let next = path.processors[index].queue.first, next.place == place else { return }
        guard let outcome else {
            path.processors[index].attempts += 1
            let delay = min(100 << min(path.processors[index].attempts, 5), 2_000)
            planPath(.decide(index, life: life, place: place, next.signal), after: .milliseconds(delay))
            return
        }
        path.processors[index].attempts = 0
        if case .decided(let verdict) = outcome {
            path.processors[index].engine.committed(verdict)
            if case .approved(let intent, _) = verdict { hint(intent, from: index) }
        }
        path.processors[index].queue.removeFirst()
        path.processors[index].storedCursor = place + 1
        path.processors[index].isBusy = false
        advance(index)
    }

    /// A hint only: who misses it finds the intent in the database.
    private mutating func hint(_ intent: ApprovedIntent, from index: Int) {
        guard path.processors[index].process.hasBus, isBusUp else { return }
        for executor in path.executors.indices where path.executors[executor].process.hasBus {
            guard !path.roll(lossPercent) else { continue }
            let life = path.executors[executor].process.life
            planPath(.intentToExecutor(executor, life: life, intent), within: 1...15)
        }
    }
}

extension SimulatedProcessor {
    /// A side without an offer is worth the least it can be; without either side, or crossed, there is no mark.
    fileprivate mutating func observe(_ price: PricePublication) {
        if let known = marks[price.market], known.at > price.at { return }
        marks[price.market] =
            price.yesBid == nil && price.yesAsk == nil
            ? nil
            : PortfolioMark.Mark(
                yesBid: price.yesBid?.price ?? .zero, yesAsk: price.yesAsk?.price ?? .one, at: price.at)
    }
}

extension IntentNames {
    /// The same signal makes the same names, as the production names are made.
    static func simulated(_ signal: SignalID) -> IntentNames {
        IntentNames(
            intent: IntentID(stringLiteral: "i-\(signal)"), reservation: ReservationID(stringLiteral: "r-\(signal)"))
    }
}
