import Domain
import GameShardEngine
import Hosting
import Logging
import Resilience
import Runtime
import Wire

/// Hands events to the engine, one at a time, and its effects to whoever carries them out.
actor GameWatcher {
    private let host: ServiceHost
    private let lanes: Lanes
    private let follow: @Sendable (Set<MarketID>) -> Void
    private var engine: ShardEngine
    /// One for each change of what a heartbeat says of the games: which, under which epochs, with which books; and of
    /// whether the shard may trade on them.
    nonisolated let news: AsyncStream<Void>
    private let tellNews: AsyncStream<Void>.Continuation
    private let blind: Gauge
    private var told: [Heartbeat.WatchedGame] = []
    private var hasRead = false
    private var isReplaced = false
    private var counters: [ShardCount: Counter] = [:]
    private var standing = Standing.silent
    private var polled: [Sport: Set<GameID>] = [:]

    private var stepBooks = StepBooks()
    /// Signals of the step that is being worked off; only in a replay.
    private var stepSignals: [SignalID] = []
    /// Up to when the feed is known to have handed everything over; only in a replay.
    private(set) var arrivedUpTo: VenueInstant?

    /// `follow` is told the markets to be subscribed to, whenever they change.
    init(
        engine: ShardEngine, host: ServiceHost, lanes: Lanes, follow: @escaping @Sendable (Set<MarketID>) -> Void
    ) {
        self.engine = engine
        self.host = host
        self.lanes = lanes
        self.follow = follow
        (news, tellNews) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        blind = host.context.metrics.gauge("shard_games_without_book", "Games with a market whose book is not fresh.")
    }

    func handle(_ event: ShardEvent) {
        handle([event])
    }

    /// Takes what a feed says: at once, or in a replay with the step's scores.
    func take(_ events: [ShardEvent], arrivedUpTo instant: VenueInstant?) {
        guard host.settings.isReplay else { return handle(events) }
        for event in events { stepBooks.add(event) }
        if let instant { arrivedUpTo = max(arrivedUpTo ?? instant, instant) }
        if events.contains(where: mayBeNews) { noteGames() }
    }

    /// Works a replay's step off.
    ///
    /// - Returns: the signals that it led to.
    func workOff(_ states: [GameState]) -> [SignalID] {
        handle(stepBooks.take() + states.map { .state($0) })
        defer { stepSignals = [] }
        return stepSignals
    }

    func handle(_ events: [ShardEvent]) {
        for event in events {
            if case .reread = event { hasRead = true }
            let effects = engine.handle(event, at: host.venueClock.now, machine: host.clock.now)
            for effect in effects { carryOut(effect) }
        }
        noteStanding()
        if events.contains(where: mayBeNews) { noteGames() }
    }

    /// Whether it can change which games are held, or which books are seen.
    private func mayBeNews(_ event: ShardEvent) -> Bool {
        switch event {
        case .assign, .revoke, .reread, .booksInvalidated, .letGo: true
        case .bookUpdated: told.contains { $0.missingBooks != 0 }
        case .state(let state): state.status.isEnd
        case .booksConfirmed, .sameTerms, .heartbeatSent, .granted, .epochsAnswered, .tick, .drain: false
        }
    }

    private func noteGames() {
        let games = games
        if games != told { tellNews.yield() }
        told = games
    }

    private var games: [Heartbeat.WatchedGame] {
        // A book that has come is seen, also where a slow replay works it off seconds later.
        let missing = engine.missingBooks(at: host.venueClock.now, besides: stepBooks.arrived)
        return engine.watched.map {
            Heartbeat.WatchedGame(game: $0.game, epoch: $0.epoch, missingBooks: missing[$0.game])
        }
    }

    /// The games of a sport whose scores are wanted.
    func polled(_ sport: Sport) -> Set<GameID> { polled[sport] ?? [] }

    /// What the heartbeat says: healthy only with the leader's grant and with every check passed.
    func content(checks: [String: Bool]) -> HeartbeatContent {
        let isWell = checks.values.allSatisfy { $0 } && engine.standing(at: host.clock.now) == .leased
        let status: ServiceStatus = engine.isDraining ? .stopping : !hasRead ? .starting : isWell ? .healthy : .degraded
        let games = games
        told = games
        blind.set(games.count { $0.missingBooks != 0 })
        var content = HeartbeatContent(
            status: status, checks: checks, games: games,
            capacity: engine.rules.maximumGames, shardType: engine.rules.takesSports ? "sports" : "crypto")
        content.isSaid = !isReplaced
        return content
    }

    /// Another process has our name: it alone speaks for it from now on.
    func replaced() { isReplaced = true }

    private func carryOut(_ effect: ShardEffect) {
        switch effect {
        case .followMarkets(let markets): follow(markets)
        case .pollScores(let games):
            polled = Dictionary(grouping: games, by: \.sport).mapValues { Set($0.map(\.id)) }
        case .publishState(let state, let home, let epoch):
            let update = GameStateUpdate(state: state, shard: engine.shard, epoch: epoch, homeProbability: home)
            lanes.hints.add(.state(update))
        case .publishPrice(let price):
            let update = PriceUpdate(
                game: price.game, market: price.market, yesBid: price.yesBid, yesAsk: price.yesAsk, at: price.at)
            lanes.hints.add(.price(update))
        case .emit(let signal):
            if host.settings.isReplay { stepSignals.append(signal.id) }
            lanes.messages.add(.signal(signal))
        case .emitArbitrage(let signal):
            if host.settings.isReplay { stepSignals.append(signal.id) }
            lanes.messages.add(.arbitrage(signal))
        case .storeState(let state, let home): lanes.records.add(.state(state, homeProbability: home))
        case .storePregame(let game, let chance): lanes.records.add(.pregame(game, chance))
        case .acknowledge(let command, let game, let epoch, let verdict):
            let answer = CommandAcknowledgement(
                command: command, shard: engine.shard, game: game, epoch: epoch, verdict: .init(verdict))
            lanes.messages.add(.acknowledgement(answer))
        case .askEpochs(let asked): lanes.questions.add(Asked(at: asked))
        case .rereadAssignments: lanes.rereads.add(())
        case .gameEnded(let state, let epoch): end(state, epoch)
        case .report(let count): counter(for: count).increment()
        }
    }

    private func end(_ state: GameState, _ epoch: Epoch) {
        let ended = GameEnded(
            game: state.game, status: state.status, homeScore: state.homeScore, awayScore: state.awayScore,
            at: state.observedAt)
        lanes.messages.add(.ended(ended))
        host.log.info("game ended", metadata: [Key.game: "\(state.game)", Key.epoch: "\(epoch)"])
    }

    private func noteStanding() {
        let now = engine.standing(at: host.clock.now)
        guard now != standing else { return }
        standing = now
        tellNews.yield()
        host.log.info("standing changed", metadata: [Key.state: "\(now.rawValue)"])
    }

    private func counter(for count: ShardCount) -> Counter {
        if let known = counters[count] { return known }
        let (family, value) = count.label
        let counter = host.context.metrics.counter(
            "shard_\(family)_total", "What the engine counted, by kind.", labels: ["kind": value])
        counters[count] = counter
        return counter
    }
}

extension CommandAcknowledgement.Verdict {
    init(_ verdict: CommandVerdict) {
        self =
            switch verdict {
            case .accepted: .accepted
            case .stale: .stale
            case .atCapacity: .atCapacity
            case .draining: .draining
            case .malformed: .malformed
            }
    }
}
