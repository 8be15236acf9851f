import Domain
import Resilience

/// One game of a shard: its newest state, its books, and when it last signalled.
struct WatchedGame: Sendable {
    let game: Game
    private(set) var epoch: Epoch
    private(set) var markets: [Market]
    /// False once the database said that another shard has it; only a newer assignment makes it ours again.
    private(set) var isOurs = true
    private(set) var acceptedAt: MachineInstant
    private(set) var state: GameState?
    private(set) var pregame: Probability?
    private var books: [MarketID: WatchedBook] = [:]
    private var statePublishedAt: VenueInstant?
    private var scoreDoubtedUntil: VenueInstant?
    /// By the team that was backed: YES on one team and NO on the other are the same (team, direction).
    private var signalled: [HomeAway: VenueInstant] = [:]
    private(set) var arbitrageSignalledAt: VenueInstant?

    init(_ assigned: Assigned, rules: ShardRules, at now: MachineInstant) {
        game = assigned.game
        epoch = assigned.epoch
        markets = []
        acceptedAt = now
        follow(assigned, rules: rules)
    }

    /// Takes the same or a newer assignment; books that are still followed stay warm.
    ///
    /// Repeating the same epoch does not undo what the database said; a newer one does.
    mutating func renew(_ assigned: Assigned, rules: ShardRules, at now: MachineInstant) {
        if assigned.epoch > epoch {
            epoch = assigned.epoch
            isOurs = true
            acceptedAt = now
        }
        follow(assigned, rules: rules)
    }

    private mutating func follow(_ assigned: Assigned, rules: ShardRules) {
        markets = assigned.markets.sorted { $0.id < $1.id }
        pregame = pregame ?? assigned.pregameHomeProbability
        let followed = Set(markets.map(\.id))
        books = books.filter { followed.contains($0.key) }
        for market in followed where books[market] == nil { books[market] = WatchedBook(limit: rules.bookLimit) }
    }

    /// The database gives the game to this shard, perhaps under an epoch whose command is still on its way.
    mutating func confirm(_ confirmed: Epoch) {
        if confirmed >= epoch {
            epoch = confirmed
            isOurs = true
        }
    }

    mutating func disown() {
        isOurs = false
    }
}

// MARK: - Scores

extension WatchedGame {
    /// What a state led to.
    struct Observation {
        var oddities: [Oddity] = []
        /// Nothing about it was taken over.
        var isIgnored = false
        var isNew = false
        var isDue = false
    }

    mutating func observe(_ next: GameState, at now: VenueInstant, rules: ShardRules) -> Observation {
        var seen = Observation()
        if now.duration(to: next.observedAt) > rules.stateLimit {
            return Observation(oddities: [.futureState], isIgnored: true)
        }
        if let last = state {
            if next.observedAt < last.observedAt { return Observation(oddities: [.olderState], isIgnored: true) }
            if !last.status.permits(next.status) {
                return Observation(oddities: [.illegalStatus], isIgnored: true)
            }
            if next.isSameMoment(as: last) {
                seen.oddities = [.duplicateState]
            } else {
                seen.isNew = true
                doubt(next, after: last, rules: rules, into: &seen.oddities)
            }
        } else {
            seen.isNew = true
        }
        state = next
        let age = statePublishedAt.map { $0.duration(to: now) } ?? .seconds(Int64.max / 2)
        seen.isDue = seen.isNew || age >= rules.republish
        if seen.isDue { statePublishedAt = now }
        return seen
    }

    /// A score that runs backwards or jumps is kept, but not acted on before it has stood for a moment: feeds correct
    /// themselves, and a correction looks like an edge.
    private mutating func doubt(
        _ next: GameState, after last: GameState, rules: ShardRules, into oddities: inout [Oddity]
    ) {
        let steps = [next.homeScore - last.homeScore, next.awayScore - last.awayScore]
        let largest = SportModel.of(game.sport)?.largestStep ?? 0
        if steps.contains(where: { $0 < 0 }) {
            oddities.append(.scoreBackwards)
        } else if steps.contains(where: { $0 > largest }),
            last.observedAt.duration(to: next.observedAt) <= rules.stateLimit
        {
            oddities.append(.scoreJump)
        } else {
            return
        }
        scoreDoubtedUntil = next.observedAt.advanced(by: rules.scoreConfirmation)
    }

    var homeProbability: Result<Probability, NoSignal> {
        guard let state else { return .failure(.noState) }
        return WinProbability.home(state, sport: game.sport, pregame: pregame).mapError(NoSignal.init)
    }

    private func hasStarted(at now: VenueInstant) -> Bool {
        guard let state else { return now >= game.scheduledAt }
        return state.status == .live || state.status.isEnd || state.period > 0
    }
}

// MARK: - Books

extension WatchedGame {
    func market(_ id: MarketID) -> Market? { markets.first { $0.id == id } }

    /// Markets without a book that is known as of now, but for those whose books have arrived.
    func missingBooks(at now: VenueInstant, besides arrived: Set<MarketID>) -> Int {
        markets.count { !arrived.contains($0.id) && books[$0.id]?.isFresh(at: now) != true }
    }

    /// - Returns: the pregame home probability, when this book was the first to give one.
    mutating func update(
        _ market: Market, _ book: OrderBook, confirmedAt: VenueInstant, at now: VenueInstant
    ) -> Probability? {
        books[market.id]?.update(book, confirmedAt: confirmedAt, now: now)
        guard pregame == nil, !hasStarted(at: now), case .success(let tradable)? = books[market.id]?.tradable(at: now),
            let middle = tradable.midProbability
        else { return nil }
        pregame = market.team == .home ? middle : middle.complement
        return pregame
    }

    mutating func confirmBooks(of venue: Venue, confirmedAt: VenueInstant, at now: VenueInstant) {
        for market in markets where market.venue == venue {
            books[market.id]?.confirm(at: confirmedAt, now: now)
        }
    }

    /// The venue's markets whose books are known as of now.
    func freshMarkets(of venue: Venue, at now: VenueInstant) -> [MarketID] {
        markets.filter { $0.venue == venue && books[$0.id]?.isFresh(at: now) == true }.map(\.id)
    }

    mutating func invalidateBook(_ market: MarketID) {
        books[market]?.invalidate()
    }

    /// The top of the book, when it is due to be published.
    mutating func price(_ market: MarketID, at now: VenueInstant, rules: ShardRules) -> PricePublication? {
        guard books[market]?.isDue(at: now, republish: rules.republish) == true else { return nil }
        let book = books[market]?.book
        return PricePublication(
            game: game.id, market: market, yesBid: book?.bestBid(.yes), yesAsk: book?.bestAsk(.yes), at: now)
    }
}

// MARK: - Evaluation

extension WatchedGame {
    /// The best bet that may be advised now, or why there is none (CHECKLIST R72, R74, R75, R77).
    func evaluate(at now: VenueInstant, rules: ShardRules) -> Result<Edge, NoSignal> {
        let home: Probability
        switch gatedProbability(at: now, rules: rules) {
        case .success(let probability): home = probability
        case .failure(let reason): return .failure(reason)
        }
        guard (rules.lowestProbability...rules.highestProbability).contains(home.value) else {
            return .failure(.extremeProbability)
        }
        let edge: Edge
        switch bestEdge(home: home, at: now, rules: rules) {
        case .success(let best): edge = best
        case .failure(let reason): return .failure(reason)
        }
        guard edge.basisPoints >= rules.minimumEdgeBasisPoints else { return .failure(.edgeTooSmall) }
        if let last = signalled[edge.backed], last.duration(to: now) < rules.debounce { return .failure(.debounced) }
        return .success(edge)
    }

    mutating func recordSignal(backing team: HomeAway, at now: VenueInstant) {
        signalled[team] = now
    }

    private func gatedProbability(at now: VenueInstant, rules: ShardRules) -> Result<Probability, NoSignal> {
        guard let state else { return .failure(.noState) }
        let home: Probability
        switch homeProbability {
        case .success(let probability): home = probability
        case .failure(let reason): return .failure(reason)
        }
        if state.homeScore == 0, state.awayScore == 0 { return .failure(.scoreless) }
        if SportModel.of(game.sport)?.canDraw ?? true { return .failure(.drawPossible) }
        if state.observedAt.duration(to: now) > rules.stateLimit { return .failure(.staleState) }
        if let scoreDoubtedUntil, now < scoreDoubtedUntil { return .failure(.unconfirmedScore) }
        return .success(home)
    }

    /// What may be traded on now, by market; the first reason when nothing may.
    func tradableBooks(at now: VenueInstant) -> (books: [(market: Market, book: OrderBook)], refusal: NoSignal?) {
        var tradable: [(market: Market, book: OrderBook)] = []
        var refusal: NoSignal?
        for market in markets {
            switch books[market.id]?.tradable(at: now) {
            case .success(let book)?: tradable.append((market, book))
            case .failure(let reason)?: refusal = refusal ?? reason
            case nil: refusal = refusal ?? .noBook
            }
        }
        return (tradable, refusal)
    }

    /// Why the game may not be traded at all now; nil when it may.
    func closedGate(at now: VenueInstant, rules: ShardRules) -> NoSignal? {
        if case .failure(let reason) = gatedProbability(at: now, rules: rules) { reason } else { nil }
    }

    mutating func recordArbitrage(at now: VenueInstant) {
        arbitrageSignalledAt = now
    }

    /// The largest net edge over all markets with a book that may be traded on; the first by name when equal.
    private func bestEdge(home: Probability, at now: VenueInstant, rules: ShardRules) -> Result<Edge, NoSignal> {
        var best: Edge?
        let (tradable, refusal) = tradableBooks(at: now)
        for (market, book) in tradable {
            for outcome in Outcome.allCases {
                guard
                    let edge = Edge.buying(
                        outcome, of: market, in: book, home: home, reference: rules.referenceQuantity)
                else { continue }
                if edge.basisPoints > best?.basisPoints ?? .min { best = edge }
            }
        }
        if let best { return .success(best) }
        return .failure(refusal ?? .noBook)
    }
}
