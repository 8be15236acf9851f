import Domain
import Resilience

/// Decides for one shard: which games it watches, when it may speak, and what is worth saying.
///
/// Pure: the same events at the same instants give the same effects (DESIGN rule 1). Trading rules run on `now`, which
/// is venue time; the lease runs on `machine` time.
public struct ShardEngine: Sendable {
    public let shard: ShardID
    public private(set) var rules: ShardRules
    public private(set) var isDraining = false

    private let incarnation: Incarnation
    private var games: [GameID: WatchedGame] = [:]
    private var gameOfMarket: [MarketID: GameID] = [:]
    private var ended = EndedGames()
    private var followed: Set<MarketID> = []
    private var polled: [Game] = []
    private var lease: LeaseWatch
    private var signalsMade = 0

    /// The incarnation, together with a counter, makes signal ids unique over restarts.
    public init(shard: ShardID, incarnation: Incarnation, rules: ShardRules) {
        self.shard = shard
        self.incarnation = incarnation
        self.rules = rules
        precondition(incarnation.rawValue.utf8.count <= 100, "incarnation \(incarnation)")
        precondition(rules.signalLife > .zero, "signal life \(rules.signalLife)")
        lease = LeaseWatch(rules: rules)
    }

    /// What a heartbeat reports: every game that is held, with its epoch, by name.
    public var watched: [(game: GameID, epoch: Epoch)] {
        games.sorted { $0.key < $1.key }.map { ($0.key, $0.value.epoch) }
    }

    public var watchedCount: Int { games.count }

    /// Under which epoch the game is held; nil when it is not.
    public func epoch(of game: GameID) -> Epoch? { games[game]?.epoch }

    /// How many markets of each game have no book that is known as of now, but for those whose books have arrived.
    public func missingBooks(at now: VenueInstant, besides arrived: Set<MarketID> = []) -> [GameID: Int] {
        games.mapValues { $0.missingBooks(at: now, besides: arrived) }
    }

    public func standing(at machine: MachineInstant) -> Standing { lease.standing(at: machine) }

    public mutating func handle(
        _ event: ShardEvent, at now: VenueInstant, machine: MachineInstant
    ) -> [ShardEffect] {
        var effects: [ShardEffect] = []
        switch event {
        case .assign(let command, let assigned): assign(assigned, command, machine, &effects)
        case .revoke(let command, let game, let epoch): revoke(game, epoch, command, &effects)
        case .reread(let list, let asked): reread(list, asked: asked, machine, &effects)
        case .state(let state): observe(state, now, machine, &effects)
        case .bookUpdated(let market, let book, let confirmedAt):
            update(market, book, confirmedAt, now, machine, &effects)
        case .booksConfirmed(let venue, let confirmedAt):
            for game in games.keys.sorted() {
                games[game]?.confirmBooks(of: venue, confirmedAt: confirmedAt, at: now)
                // A price that does not move is told again: silence would be taken for a price that is not known.
                for market in games[game]?.freshMarkets(of: venue, at: now) ?? [] {
                    publishPrice(of: market, in: game, now, machine, &effects)
                }
            }
        case .booksInvalidated(let markets): invalidate(markets, now, machine, &effects)
        case .sameTerms(let pairs): rules.sameTerms = pairs
        case .heartbeatSent(let beat): lease.heartbeatSent(beat, at: machine)
        case .granted(let beat, let term):
            if let oddity = lease.granted(beat, term: term) { effects.append(.report(.oddity(oddity))) }
        case .epochsAnswered(let epochs, let asked): answer(epochs, asked: asked, &effects)
        case .tick:
            if let asked = lease.question(at: machine) { effects.append(.askEpochs(asked: asked)) }
        case .drain: isDraining = true
        case .letGo: letGo(&effects)
        }
        return effects
    }
}

// MARK: - Assignments

extension ShardEngine {
    private mutating func assign(
        _ assigned: Assigned, _ command: CommandID, _ machine: MachineInstant, _ effects: inout [ShardEffect]
    ) {
        let isKnown = games[assigned.game.id]?.epoch == assigned.epoch
        let verdict = verdict(on: assigned)
        if verdict == .accepted {
            if isKnown { effects.append(.report(.oddity(.duplicateCommand))) }
            watch(assigned, machine)
            follow(&effects)
        } else {
            // A refusal stands: the game is given to another because of it, so nothing may bring it here after all.
            ended.record(assigned.game.id, assigned.epoch)
        }
        acknowledge(command, assigned.game.id, assigned.epoch, verdict, &effects)
    }

    /// An older epoch than known is stale, the same one is accepted again, a newer one renews (CHECKLIST N2).
    private func verdict(on assigned: Assigned) -> CommandVerdict {
        let id = assigned.game.id
        if let held = games[id], assigned.epoch < held.epoch { return .stale }
        if ended.covers(id, assigned.epoch) { return .stale }
        let names = assigned.markets.map(\.id)
        guard rules.takesSports || assigned.game.sport == .crypto, Set(names).count == names.count,
            assigned.markets.allSatisfy({ $0.game == id }),
            names.allSatisfy({ gameOfMarket[$0] == nil || gameOfMarket[$0] == id })
        else { return .malformed }
        if games[id] != nil { return .accepted }
        if isDraining { return .draining }
        return games.count < rules.maximumGames ? .accepted : .atCapacity
    }

    private mutating func watch(_ assigned: Assigned, _ machine: MachineInstant) {
        let id = assigned.game.id
        if games[id] == nil {
            games[id] = WatchedGame(assigned, rules: rules, at: machine)
        } else {
            games[id]?.renew(assigned, rules: rules, at: machine)
        }
        gameOfMarket = gameOfMarket.filter { $0.value != id }
        for market in assigned.markets { gameOfMarket[market.id] = id }
    }

    private mutating func revoke(
        _ game: GameID, _ epoch: Epoch, _ command: CommandID, _ effects: inout [ShardEffect]
    ) {
        if let held = games[game], epoch < held.epoch {
            acknowledge(command, game, epoch, .stale, &effects)
            return
        }
        ended.record(game, epoch)
        release(game, &effects)
        acknowledge(command, game, epoch, .accepted, &effects)
    }

    private mutating func release(_ game: GameID, _ effects: inout [ShardEffect]) {
        guard games.removeValue(forKey: game) != nil else { return }
        gameOfMarket = gameOfMarket.filter { $0.value != game }
        follow(&effects)
    }

    /// For good: nothing brings a game back to a shard that stops.
    private mutating func letGo(_ effects: inout [ShardEffect]) {
        isDraining = true
        games = [:]
        gameOfMarket = [:]
        follow(&effects)
    }

    /// PostgreSQL decides which games there are: start, reconnect and recovery are this one path (DESIGN rule 2).
    private mutating func reread(
        _ list: [Assigned], asked: MachineInstant, _ machine: MachineInstant, _ effects: inout [ShardEffect]
    ) {
        lease.confirmed(asked: asked)
        let listed = Set(list.map(\.game.id))
        for (id, held) in games.sorted(by: { $0.key < $1.key })
        where !listed.contains(id) && held.acceptedAt <= asked {
            // A command that is older than this answer must not bring it back.
            ended.record(id, held.epoch)
            games[id] = nil
            gameOfMarket = gameOfMarket.filter { $0.value != id }
        }
        for assigned in list.sorted(by: { $0.game.id < $1.game.id }) {
            let verdict = verdict(on: assigned)
            if verdict == .accepted {
                watch(assigned, machine)
                games[assigned.game.id]?.confirm(assigned.epoch)
            } else {
                effects.append(.report(.command(verdict)))
            }
        }
        follow(&effects)
    }

    private mutating func answer(
        _ epochs: [GameID: Epoch], asked: MachineInstant, _ effects: inout [ShardEffect]
    ) {
        lease.confirmed(asked: asked)
        let isMissing = epochs.contains { id, epoch in
            games[id] == nil && !ended.covers(id, epoch)
        }
        if isMissing, !isDraining { effects.append(.rereadAssignments) }
        for id in games.keys.sorted() {
            if let epoch = epochs[id] {
                games[id]?.confirm(epoch)
            } else if let held = games[id], held.acceptedAt <= asked {
                games[id]?.disown()
            }
        }
    }

    /// Says what to subscribe to and what to poll, when that changed.
    private mutating func follow(_ effects: inout [ShardEffect]) {
        let markets = Set(gameOfMarket.keys)
        if markets != followed { effects.append(.followMarkets(markets)) }
        followed = markets
        let games = games.sorted { $0.key < $1.key }.map(\.value.game)
        if games != polled { effects.append(.pollScores(games)) }
        polled = games
    }

    private func acknowledge(
        _ command: CommandID, _ game: GameID, _ epoch: Epoch, _ verdict: CommandVerdict,
        _ effects: inout [ShardEffect]
    ) {
        effects.append(.acknowledge(command, game, epoch, verdict))
        effects.append(.report(.command(verdict)))
    }
}

// MARK: - Scores and books

extension ShardEngine {
    private mutating func observe(
        _ state: GameState, _ now: VenueInstant, _ machine: MachineInstant, _ effects: inout [ShardEffect]
    ) {
        guard let seen = games[state.game]?.observe(state, at: now, rules: rules),
            let epoch = games[state.game]?.epoch
        else { return effects.append(.report(.oddity(.unknownGame))) }
        effects += seen.oddities.map { .report(.oddity($0)) }
        if seen.isIgnored { return }
        let home = try? games[state.game]?.homeProbability.get()  // its absence is counted by the evaluation
        // What was observed is a fact, whoever else observes it too; a shard cut off from the database keeps it.
        if seen.isNew, games[state.game]?.isOurs == true {
            effects.append(.storeState(state, homeProbability: home))
        }
        if seen.isDue, mayEmit(state.game, machine) {
            effects.append(.publishState(state, homeProbability: home, epoch: epoch))
        }
        if state.status.isEnd {
            effects.append(.gameEnded(state, epoch: epoch))
            ended.record(state.game, epoch)
            release(state.game, &effects)
        } else {
            evaluate(state.game, now, machine, &effects)
            // Books that stand still may have waited for the game to begin.
            seekArbitrage(in: state.game, now, machine, &effects)
        }
    }

    private mutating func update(
        _ market: MarketID, _ book: OrderBook, _ confirmedAt: VenueInstant, _ now: VenueInstant,
        _ machine: MachineInstant, _ effects: inout [ShardEffect]
    ) {
        guard let game = gameOfMarket[market], let known = games[game]?.market(market) else {
            effects.append(.report(.oddity(.unknownMarket)))
            return
        }
        if let pregame = games[game]?.update(known, book, confirmedAt: confirmedAt, at: now) {
            effects.append(.storePregame(game, pregame))
        }
        publishPrice(of: market, in: game, now, machine, &effects)
        evaluate(game, now, machine, &effects)
        seekArbitrage(in: game, now, machine, &effects)
    }

    private mutating func invalidate(
        _ markets: Set<MarketID>, _ now: VenueInstant, _ machine: MachineInstant, _ effects: inout [ShardEffect]
    ) {
        for market in markets.sorted() {
            guard let game = gameOfMarket[market] else { continue }
            games[game]?.invalidateBook(market)
            publishPrice(of: market, in: game, now, machine, &effects)
        }
    }

    private mutating func publishPrice(
        of market: MarketID, in game: GameID, _ now: VenueInstant, _ machine: MachineInstant,
        _ effects: inout [ShardEffect]
    ) {
        guard mayEmit(game, machine) else { return }
        if let price = games[game]?.price(market, at: now, rules: rules) { effects.append(.publishPrice(price)) }
    }
}

// MARK: - Signals

extension ShardEngine {
    private func mayEmit(_ game: GameID, _ machine: MachineInstant) -> Bool {
        games[game]?.isOurs == true && lease.standing(at: machine) != .silent
    }

    /// At most one signal: the strongest bet of the game.
    private mutating func evaluate(
        _ game: GameID, _ now: VenueInstant, _ machine: MachineInstant, _ effects: inout [ShardEffect]
    ) {
        guard let watched = games[game] else { return }
        if isDraining { return effects.append(.report(.noSignal(.draining))) }
        guard mayEmit(game, machine) else { return effects.append(.report(.noSignal(.notAuthorised))) }
        switch watched.evaluate(at: now, rules: rules) {
        case .failure(let reason):
            effects.append(.report(.noSignal(reason)))
        case .success(let edge):
            games[game]?.recordSignal(backing: edge.backed, at: now)
            let signal = signal(edge, watched, now)
            effects.append(.emit(signal))
            effects.append(.report(.signal(signal.kind)))
        }
    }

    private mutating func seekArbitrage(
        in game: GameID, _ now: VenueInstant, _ machine: MachineInstant, _ effects: inout [ShardEffect]
    ) {
        switch arbitrage(in: game, at: now, machine: machine) {
        case .success(let signal):
            effects.append(.emitArbitrage(signal))
            effects.append(.report(.signal(signal.kind)))
        case .failure(let reason): effects.append(.report(.noArbitrage(reason)))
        }
    }

    /// The arbitrage of a game that is worth saying now, or why there is none.
    mutating func arbitrage(
        in game: GameID, at now: VenueInstant, machine: MachineInstant
    ) -> Result<ArbitrageSignal, NoSignal> {
        guard let watched = games[game] else { return .failure(.noState) }
        if isDraining { return .failure(.draining) }
        guard mayEmit(game, machine) else { return .failure(.notAuthorised) }
        return watched.arbitrage(at: now, rules: rules).flatMap { legs in
            signalsMade += 1
            // None where a minimum of nothing lets through what the fees' rounding takes.
            guard
                let signal = try? ArbitrageSignal(
                    id: SignalID("\(incarnation)-\(signalsMade)"), game: game, sport: watched.game.sport,
                    epoch: watched.epoch, shard: shard, legs: legs, createdAt: now,
                    expiresAt: now.advanced(by: rules.arbitrageLife))
            else { return .failure(.noArbitrage) }
            games[game]?.recordArbitrage(at: now)
            return .success(signal)
        }
    }

    private mutating func signal(_ edge: Edge, _ watched: WatchedGame, _ now: VenueInstant) -> Signal {
        signalsMade += 1
        do {
            return try Signal(
                id: SignalID("\(incarnation)-\(signalsMade)"), kind: edge.kind, game: watched.game.id,
                sport: watched.game.sport, market: edge.market.id, venue: edge.market.venue, epoch: watched.epoch,
                shard: shard, outcome: edge.outcome, probability: edge.probability, price: edge.ask.price,
                available: edge.ask.quantity, edgeBasisPoints: edge.basisPoints, play: watched.state?.play,
                createdAt: now, expiresAt: now.advanced(by: rules.signalLife))
        } catch {
            preconditionFailure("an edge always makes a signal: \(error)")
        }
    }
}
