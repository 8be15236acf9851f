import Domain
import GameShardEngine
import OrchestratorEngine
import Resilience

/// The orchestrators' shells, and how they share the leadership.
extension Simulation {
    func clock(ofOrchestrator index: Int) -> MachineInstant {
        clock(of: orchestrators[index].process)
    }

    mutating func startOrchestrator(_ index: Int) {
        let life = orchestrators[index].process.life
        agenda.plan(.orchestratorTimer(index, life: life), at: delay(0...100))
        agenda.plan(.leadershipTimer(index, life: life), at: delay(0...50))
        agenda.plan(.look(index, life: life), at: delay(0...300))
    }

    mutating func restartOrchestrator(_ index: Int) {
        var process = orchestrators[index].process
        process.life += 1
        process.isRunning = true
        process.isPaused = false
        let told = orchestrators[index].toldAlerts
        orchestrators[index] = SimulatedOrchestrator(index: index, process: process)
        orchestrators[index].toldAlerts = told
        startOrchestrator(index)
    }

    mutating func orchestratorHappens(_ happening: Happening) {
        switch happening {
        case .orchestratorTimer(let index, let life):
            guard isThere(index, life, happening) else { return }
            give(.tick, toOrchestrator: index)
            repeatOrders(to: index)
            confirmAlerts(of: index)
            agenda.plan(.orchestratorTimer(index, life: life), at: now.advanced(by: .milliseconds(100)))
        case .toOrchestrator(let index, let event, let life):
            guard isThere(index, life ?? orchestrators[index].process.life, happening) else { return }
            // What is heard over the bus is lost while the bus is.
            guard life != nil || (orchestrators[index].process.hasBus && isBusUp) else { return }
            give(event, toOrchestrator: index)
        case .leadershipTimer(let index, let life):
            guard isThere(index, life, happening) else { return }
            lookAtLeadership(index, life)
        case .leadershipAnswered(let index, let life, let term, let asked):
            guard isThere(index, life, happening) else { return }
            takeLeadership(index, life, term, asked)
        case .desiredRead(let index, let life, let desired, let drained, let term):
            guard isThere(index, life, happening) else { return }
            give(.rehydrated(desired, drained: drained, term: term), toOrchestrator: index)
        case .recordAnswered(let index, let life, let answer):
            guard isThere(index, life, happening) else { return }
            orchestrators[index].isLaneBusy = false
            if let answer { give(answer, toOrchestrator: index) }
            advanceLane(index)
        case .look(let index, let life):
            guard isThere(index, life, happening) else { return }
            let shown = scoreboard.sorted { $0.key < $1.key }.map {
                ScoreboardGame(game: database.game($0.key), status: $0.value)
            }
            give(.scoreboard(shown, at: path.isOn ? venueNow : SimulatedGames.scheduledAt), toOrchestrator: index)
            agenda.plan(.look(index, life: life), at: now.advanced(by: .seconds(2)))
        default: break
        }
    }

    private mutating func isThere(_ index: Int, _ life: Int, _ happening: Happening) -> Bool {
        guard orchestrators[index].process.isRunning, orchestrators[index].process.life == life else { return false }
        guard orchestrators[index].process.isPaused else { return true }
        orchestrators[index].inbox.append(happening)
        return false
    }

    /// What an earlier life told and this one, having looked around for a minute, does not see is over.
    private mutating func confirmAlerts(of index: Int) {
        guard orchestrators[index].engine.isLeading, orchestrators[index].hears else {
            return orchestrators[index].judgesSince = nil
        }
        let since = orchestrators[index].judgesSince ?? now
        orchestrators[index].judgesSince = since
        guard now.since(since) >= .seconds(60) else { return }
        orchestrators[index].toldAlerts.formIntersection(orchestrators[index].firing)
    }

    // MARK: Leadership

    /// How the row names this life.
    private func holder(_ index: Int, _ life: Int) -> SimulatedDatabase.Holder {
        SimulatedDatabase.Holder(orchestrator: index, life: life)
    }

    private mutating func lookAtLeadership(_ index: Int, _ life: Int) {
        let local = clock(ofOrchestrator: index)
        orchestrators[index].candidacy.note(deafSince: orchestrators[index].engine.deafSince, at: local)
        if hearsLeader(index) { orchestrators[index].candidacy.leaderIsHeard() }
        let told = orchestrators[index].told
        if let told, !orchestrators[index].isOffering, orchestrators[index].candidacy.offers(at: local) {
            record("o\(index) offers term \(told)")
            orchestrators[index].isOffering = true
            if orchestrators[index].process.hasDatabase, !path.trouble.isDiskFull {
                database.offer(told, holder(index, life), at: now)
            }
            agenda.plan(.leadershipTimer(index, life: life), at: now.advanced(by: Candidacy.offer))
            return
        }
        agenda.plan(.leadershipAsked(index, life: life, told: told, asked: local), at: databaseDelay(1...10))
    }

    /// Whether the heartbeats of another that leads arrive.
    private func hearsLeader(_ index: Int) -> Bool {
        guard isBusUp, orchestrators[index].process.hasBus else { return false }
        return orchestrators.contains {
            $0.index != index && $0.told != nil && !$0.isOffering && $0.process.isRunning && !$0.process.isPaused
                && $0.process.hasBus
        }
    }

    /// For so long an answer of PostgreSQL is waited for.
    private static let statementTimeout = Duration.seconds(1)

    mutating func lead(_ index: Int, _ life: Int, _ told: Int64?, _ asked: MachineInstant) {
        // A full disk renews nothing.
        guard orchestrators[index].process.hasDatabase, !path.trouble.isDiskFull else {
            let at = now.advanced(by: Self.statementTimeout)
            agenda.plan(.leadershipAnswered(index, life: life, term: nil, asked: asked), at: at)
            return
        }
        let waited = clock(ofOrchestrator: index).since(asked)
        // Who gave up waiting has closed the connection, and the statement with it.
        guard waited < Self.statementTimeout else {
            return agenda.plan(.leadershipAnswered(index, life: life, term: nil, asked: asked), at: now)
        }
        var term: Int64?
        if let told {
            term = database.renew(told, holder(index, life), at: now) ? told : -1
        } else {
            let patience = orchestrators[index].candidacy.patience(at: clock(ofOrchestrator: index))
            term = database.acquire(holder(index, life), patience: patience, at: now)
        }
        let (answer, deadline) = (databaseDelay(1...10), now.advanced(by: Self.statementTimeout - waited))
        if answer > deadline { term = nil }
        agenda.plan(.leadershipAnswered(index, life: life, term: term, asked: asked), at: min(answer, deadline))
    }

    /// `term` is nil without an answer or while another leads, -1 when the row is not ours any more.
    private mutating func takeLeadership(_ index: Int, _ life: Int, _ term: Int64?, _ asked: MachineInstant) {
        let local = clock(ofOrchestrator: index)
        let wasOffering = orchestrators[index].isOffering
        orchestrators[index].isOffering = false
        if let term, term > 0 {
            orchestrators[index].owesHandOver = true
            orchestrators[index].heldUntil = asked.advanced(by: SimulatedDatabase.leadershipLife)
            if orchestrators[index].told == nil {
                orchestrators[index].told = term
                agenda.plan(
                    .desiredRead(index, life: life, database.desired, drained: database.drained, term: term),
                    at: databaseDelay(1...30))
            }
        } else if orchestrators[index].told != nil,
            term == -1 || wasOffering || local >= orchestrators[index].heldUntil
        {
            orchestrators[index].told = nil
            give(.leadershipLost, toOrchestrator: index)
        }
        handOver(from: index)
        var pause: Duration = orchestrators[index].told == nil ? .milliseconds(500) : .seconds(1)
        if orchestrators[index].told != nil, let offer = orchestrators[index].candidacy.nextOffer {
            pause = min(pause, max(.zero, offer.since(local)))
        }
        agenda.plan(.leadershipTimer(index, life: life), at: now.advanced(by: pause))
    }

    private mutating func handOver(from index: Int) {
        guard orchestrators[index].told == nil, orchestrators[index].owesHandOver,
            orchestrators[index].process.hasDatabase, database.isAnothers(than: index, at: now)
        else { return }
        orchestrators[index].owesHandOver = false
        give(.anotherLeads, toOrchestrator: index)
    }

    // MARK: Effects

    mutating func give(_ event: Event, toOrchestrator index: Int) {
        if case .tick = event {
        } else if case .heartbeat(let beat) = event {
            record("o\(index) hears \(beat.incarnation) beat \(beat.beat) \(beat.status) \(beat.games.keys.sorted())")
        } else {
            record("o\(index) gets \(event)".prefix(300).description)
        }
        for effect in orchestrators[index].engine.handle(event, at: clock(ofOrchestrator: index)) {
            carryOut(effect, of: index)
        }
    }

    /// What it may speak under, by its own clock: who was stopped still believes to lead, and who offers its place does
    /// not.
    private func termHeld(by index: Int) -> Int64? {
        let orchestrator = orchestrators[index]
        guard !orchestrator.isOffering, clock(ofOrchestrator: index) < orchestrator.heldUntil else { return nil }
        return orchestrator.told
    }

    private mutating func carryOut(_ effect: Effect, of index: Int) {
        let process = orchestrators[index].process
        record("o\(index) \(Self.brief(effect))")
        switch effect {
        case .commitAssignments, .upsertGame, .keepMarkets, .releaseGame, .readDesiredState:
            let term = orchestrators[index].engine.term
            orchestrators[index].lane.append(SimulatedOrchestrator.Record(effect: effect, term: term))
            advanceLane(index)
        case .sendCommand(let command):
            log.add(Int64(command.epoch.number) << 1 | (command.isAssignment ? 1 : 0))
            guard let term = termHeld(by: index), term == orchestrators[index].engine.term else { return }
            if process.hasBus { tellShard(command) }
            if plant == .obediencePresumed, !command.isAssignment {
                let answer = Acknowledgement(
                    command: command.id, shard: command.shard, game: command.game, verdict: .accepted)
                agenda.plan(.toOrchestrator(index, .acknowledged(answer), life: process.life), at: now)
            }
        case .grant(let id, let incarnation, let beat, let term):
            guard process.hasBus, termHeld(by: index) == term,
                let shard = shards.firstIndex(where: { $0.id == id }), shards[shard].process.hasBus,
                shards[shard].incarnation == incarnation
            else { return }
            for at in flights() {
                agenda.plan(
                    .toShard(shard, .granted(beat: beat, term: term), life: shards[shard].process.life), at: at)
            }
        case .requestMarkets(let game, let request):
            guard process.hasBus else { return }
            if path.isOn { return askDiscovery(game, request) }
            let answer = Event.discovered(game.id, [SimulatedGames.market(game.id)], reason: nil)
            for at in flights() { agenda.plan(.toOrchestrator(index, answer, life: nil), at: at) }
        case .answerOperator(let request, let answer): keep(request, answer, of: index)
        case .raiseAlert(.allShardsUnhealthy, _, _) where plant == .absenceUntold: break
        case .raiseAlert(.capacityExhausted, _, _) where plant == .crowdUntold: break
        case .recoverAlert(.noMarketDiscoveryServices, _, _) where plant == .recoveryUntold: break
        case .raiseAlert(let kind, _, _):
            orchestrators[index].toldAlerts.insert(kind)
            orchestrators[index].firing.insert(kind)
        case .recoverAlert(let kind, _, _), .handOverAlert(let kind, _):
            orchestrators[index].toldAlerts.remove(kind)
            orchestrators[index].firing.remove(kind)
        case .notify, .report: break
        }
    }

    /// What an operator wants outlives who was told, once PostgreSQL has it.
    private mutating func keep(_ request: CommandID, _ answer: OperatorAnswer, of index: Int) {
        guard let order = operatorOrders[request], let shard = order.shard else { return }
        if answer == .refused(.notLeading) {
            // Whoever wants otherwise by now does not ask for the earlier thing again.
            if unkeptOrders[shard] != nil { unkeptOrders[shard] = request }
            return
        }
        var isKept = false
        if let (holder, term) = leader(index) {
            isKept = database.keep(order, answer, by: holder, under: term, at: now) == nil
        }
        unkeptOrders[shard] = isKept ? nil : request
    }

    /// An answer that was not kept makes an operator give the order again.
    private mutating func repeatOrders(to index: Int) {
        guard !unkeptOrders.isEmpty, let (holder, term) = leader(index), database.isLed(by: holder, term, at: now)
        else { return }
        for (_, request) in unkeptOrders.sorted(by: { $0.key < $1.key }) {
            guard let order = operatorOrders[request] else { continue }
            give(.operatorOrder(order, request: request), toOrchestrator: index)
        }
    }

    /// In whose name and under which term an orchestrator stores; nil for a standby, and where nothing can be stored.
    private func leader(_ index: Int) -> (SimulatedDatabase.Holder, term: Int64)? {
        let process = orchestrators[index].process
        guard process.hasDatabase, !path.trouble.isDiskFull, let term = orchestrators[index].engine.term else {
            return nil
        }
        return (holder(index, process.life), term)
    }

    private static func brief(_ effect: Effect) -> String {
        switch effect {
        case .commitAssignments(let batch, let changes, let term):
            let list = changes.map { "\($0.game.id)->\($0.to.shard)/\($0.to.epoch) \($0.reason)" }
            return "commit \(batch) under \(term): \(list.joined(separator: ", "))"
        case .sendCommand(let command):
            let verb = command.isAssignment ? "assign" : "revoke"
            return "\(verb) \(command.id) \(command.game)/\(command.epoch) \(command.shard)"
        case .upsertGame(let game, let status, _): return "upsert \(game.id) \(status)"
        case .keepMarkets(let game, _, _): return "keep markets of \(game.id)"
        case .requestMarkets(let game, _): return "ask markets of \(game.id)"
        default: return "\(effect)"
        }
    }

    /// One record after another, as the lane does.
    private mutating func advanceLane(_ index: Int) {
        guard !orchestrators[index].isLaneBusy, !orchestrators[index].lane.isEmpty else { return }
        orchestrators[index].isLaneBusy = true
        let record = orchestrators[index].lane.removeFirst()
        agenda.plan(.recordStored(index, life: orchestrators[index].process.life, record), at: databaseDelay(1...15))
    }

    mutating func store(_ index: Int, _ life: Int, _ record: SimulatedOrchestrator.Record) {
        let hasDatabase = orchestrators[index].process.hasDatabase
        let isLost = !hasDatabase || roll(failPercent)
        // A lost answer says nothing about what was done.
        let isDone = (!isLost || (hasDatabase && roll(50))) && !path.trouble.isDiskFull
        let answer = self.answer(to: record, of: holder(index, life), isLost: isLost, isDone: isDone)
        let at = hasDatabase ? databaseDelay(1...15) : now.advanced(by: .seconds(2))
        agenda.plan(.recordAnswered(index, life: life, answer), at: at)
    }

    private mutating func answer(
        to record: SimulatedOrchestrator.Record, of holder: SimulatedDatabase.Holder, isLost: Bool, isDone: Bool
    ) -> Event? {
        switch record.effect {
        case .commitAssignments(let batch, let changes, let term):
            if isDone, database.isLed(by: holder, term, at: now) { watchHandOver(changes) }
            let isStored = isDone && database.commit(changes, by: holder, under: term, at: now) == nil
            if isStored { for change in changes { log.add(change.to.epoch.number) } }
            if isStored, !isLost { return .committed(batch: batch, pregame: [:]) }
            // Who owns them is asked then; where an answer was lost every second of these questions has none either.
            let hasDatabase = orchestrators[holder.orchestrator].process.hasDatabase
            let isTold = !isLost || (hasDatabase && batch % 2 == 0)
            return .commitFailed(batch: batch, stored: isTold ? database.owners(of: changes.map(\.game.id)) : nil)
        case .releaseGame(let game, let status, _, _, let term):
            guard isDone, case .success = database.release(game, status, by: holder, under: term, at: now), !isLost
            else { return .releaseFailed(game) }
            return .released(game)
        case .upsertGame(let game, let status, _):
            if isDone, let term = record.term { database.upsert(game, status, by: holder, under: term, at: now) }
            return nil
        case .keepMarkets(let game, let status, let markets):
            if isDone, let term = record.term {
                database.keep(markets, of: game, status, by: holder, under: term, at: now)
            }
            return nil
        case .readDesiredState:
            guard !isLost, let term = orchestrators[holder.orchestrator].told else { return nil }
            return .rehydrated(database.desired, drained: database.drained, term: term)
        default: return nil
        }
    }
}

extension OperatorOrder {
    /// The shard that is to be empty, or not any more.
    fileprivate var shard: ShardID? {
        switch self {
        case .drain(let shard), .undrain(let shard): shard
        case .reassign: nil
        }
    }
}
