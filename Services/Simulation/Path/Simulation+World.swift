import Domain
import GameShardEngine
import MarketDiscoveryEngine
import OrchestratorEngine
import Resilience
import SignalProcessorEngine

/// The world outside: games are played, markets are quoted and end, discovery answers.
extension Simulation {
    /// The venue's own time.
    var venueNow: VenueInstant { SimulatedGames.scheduledAt.advanced(by: MachineInstant.origin.duration(to: now)) }

    mutating func planPath(_ happening: PathHappening, after delay: Duration) {
        agenda.plan(.path(happening), at: now.advanced(by: delay))
    }

    mutating func planPath(_ happening: PathHappening, within range: ClosedRange<Int>) {
        planPath(happening, after: path.milliseconds(range))
    }

    mutating func startPath(_ profile: SimulationProfile) {
        path.isOn = true
        let games = SimulatedSchedule.games(SimulatedGames.ids(profile.games))
        let candidates = games.flatMap(SimulatedSchedule.candidates)
        for game in games {
            guard case .matched(let markets) = MarketMatcher.match(game, among: candidates) else {
                preconditionFailure("no markets for \(game.id)")
            }
            database.catalogue[game.id] = (game, markets)
            path.games.append(SimulatedGame(game, markets, using: &path.random))
            for market in markets {
                path.venue.list(market)
                path.books.markets[market.id] = SimulatedBooks.MarketRow(
                    game: game.id, sport: game.sport, venue: market.venue, team: market.team)
            }
        }
        path.feeds = shards.map { _ in SimulatedFeed() }
        for _ in 0..<profile.processors {
            path.processors.append(SimulatedProcessor(process: newProcess(), limits: path.told.limits))
        }
        for _ in 0..<profile.executors {
            let process = newProcess()
            path.executors.append(
                SimulatedExecutor(process: process, safeguards: path.told.safeguards, at: clock(of: process)))
        }
        path.discovery = SimulatedDiscovery(process: newProcess())
        for index in path.processors.indices { startProcessor(index) }
        for index in path.executors.indices { startExecutor(index) }
        planPath(.discoveryBeat(life: 1), within: 0...500)
        planPath(.play, after: .zero)
        planPath(.confirmBooks, after: .seconds(1))
    }

    private mutating func newProcess() -> SimulatedProcess {
        var process = SimulatedProcess(clockOffset: path.milliseconds(0...3_600_000))
        process.driftPerMillion = Int64.random(in: -200...200, using: &path.random)
        process.venueError = path.milliseconds(0...400) - .milliseconds(200)
        return process
    }

    func clock(of process: SimulatedProcess) -> MachineInstant {
        let drift = now.nanoseconds / 1_000_000 * process.driftPerMillion
        return now.advanced(by: process.clockOffset + .nanoseconds(drift))
    }

    func venueClock(of process: SimulatedProcess) -> VenueInstant { venueNow.advanced(by: process.venueError) }

    // MARK: Plays and prices

    mutating func play() {
        guard path.isPlaying else { return }
        planPath(.play, after: .milliseconds(1_000 / profile.ticksPerSecond))
        let index = Int.random(in: 0..<path.games.count, using: &path.random)
        let id = path.games[index].game.id
        guard let status = scoreboard[id] else { return }
        if status.isEnd { return }
        if path.roll(30) {
            if status == .live { path.games[index].play(using: &path.random) }
            if let state = path.games[index].state(status, at: venueNow) { tellFeeds(.state(state), of: id) }
        } else {
            let market = path.games[index].markets[Int.random(in: 0..<2, using: &path.random)]
            guard path.venue.listings[market.id]?.isTrading == true else { return }
            let book = path.games[index].quote(market, at: venueNow, using: &path.random)
            path.venue.quote(market.id, book)
            for shard in shards.indices where path.feeds[shard].markets.contains(market.id) {
                tellFeed(.bookUpdated(market.id, book, confirmedAt: venueNow), of: shard)
            }
        }
    }

    private mutating func tellFeeds(_ event: ShardEvent, of game: GameID) {
        for shard in shards.indices where path.feeds[shard].games.contains(game) { tellFeed(event, of: shard) }
    }

    private mutating func tellFeed(_ event: ShardEvent, of shard: Int) {
        guard path.feeds[shard].isUp else { return }
        let at = now.advanced(by: path.milliseconds(5...30))
        agenda.plan(.toShard(shard, event, life: shards[shard].process.life), at: at)
    }

    mutating func confirmBooks() {
        planPath(.confirmBooks, after: .seconds(1))
        for shard in shards.indices { tellFeed(.booksConfirmed(.kalshi, at: venueNow), of: shard) }
    }

    /// A link that is lost is noticed, one that is back brings every book anew.
    mutating func feed(of shard: Int, isUp: Bool) {
        guard path.isOn, path.feeds[shard].isUp != isUp else { return }
        if !isUp { tellFeed(.booksInvalidated(path.feeds[shard].markets), of: shard) }
        path.feeds[shard].isUp = isUp
        if isUp { tellAllBooks(to: shard, path.feeds[shard].markets) }
    }

    private mutating func tellAllBooks(to shard: Int, _ markets: Set<MarketID>) {
        for market in markets.sorted() {
            guard let listing = path.venue.listings[market], listing.isTrading, !listing.book.isEmpty else { continue }
            tellFeed(.bookUpdated(market, listing.book, confirmedAt: venueNow), of: shard)
        }
    }

    /// What a shard's engine wants done beyond its answers to the orchestrator.
    mutating func carryOut(_ effect: ShardEffect, of shard: Int) {
        guard path.isOn else { return }
        switch effect {
        case .followMarkets(let markets):
            let new = markets.subtracting(path.feeds[shard].markets)
            path.feeds[shard].markets = markets
            tellAllBooks(to: shard, new)
        case .pollScores(let games): path.feeds[shard].games = Set(games.map(\.id))
        case .emit(let signal):
            log.add(signal.id.rawValue)
            say(.bet(signal), by: shard)
        case .emitArbitrage(let signal) where profile.hasArbitrage:
            log.add(signal.id.rawValue)
            say(.arbitrage(signal), by: shard)
        case .publishPrice(let price): tell(price, from: shard)
        default: break
        }
    }

    private mutating func say(_ advice: PublishedSignal.Advice, by shard: Int) {
        let published = PublishedSignal(advice: advice, sender: shards[shard].incarnation)
        planPath(.publish(shard: shard, life: shards[shard].process.life, published, attempt: 1), within: 1...5)
    }

    private mutating func tell(_ price: PricePublication, from shard: Int) {
        guard shards[shard].process.hasBus, isBusUp else { return }
        for index in path.processors.indices where path.processors[index].process.hasBus && !path.roll(lossPercent) {
            planPath(.priceToProcessor(index, life: path.processors[index].process.life, price), within: 1...15)
        }
        for index in path.executors.indices where path.executors[index].process.hasBus && !path.roll(lossPercent) {
            planPath(.priceToExecutor(index, life: path.executors[index].process.life, price), within: 1...15)
        }
    }

    // MARK: The end of a game

    /// The venue settles some time after the last play.
    mutating func gameEnds(_ id: GameID) {
        guard path.isOn, let game = path.games.first(where: { $0.game.id == id }) else { return }
        let isHomeWin = game.homeScore >= game.awayScore
        for market in game.markets {
            path.venue.halt(market.id)
            let value: Price = (market.team == .home) == isHomeWin ? .one : .zero
            planPath(.settle(market.id, value), within: 2_000...20_000)
        }
        if let state = game.state(.final, at: venueNow) { tellFeeds(.state(state), of: id) }
    }

    // MARK: Discovery

    mutating func askDiscovery(_ game: Game, _ request: CommandID) {
        for at in flights() { agenda.plan(.path(.discoveryAsked(game, request)), at: at) }
    }

    mutating func discoveryHappens(_ happening: PathHappening) {
        let process = path.discovery.process
        guard process.isRunning else { return }
        guard !process.isPaused else { return path.discovery.inbox.append(.path(happening)) }
        switch happening {
        case .discoveryAsked(let game, let request):
            guard process.hasBus, isBusUp else { return }
            giveDiscovery(.requested(game, request: request))
        case .discoveryListed(let life, let series, let isFound) where life == process.life:
            let all = path.games.flatMap { SimulatedSchedule.candidates(of: $0.game) }
            giveDiscovery(isFound ? .found(series: series, all) : .searchFailed(series: series))
        case .discoveryBeat(let life) where life == process.life:
            planPath(.discoveryBeat(life: life), after: .milliseconds(500))
            guard process.hasBus else { return }
            watch.discoveryCause.lastSaid = now
            tellOrchestrators(
                .serviceHeartbeat(
                    ServiceHeartbeat(
                        service: "market-discovery", instance: "d0",
                        incarnation: Incarnation(stringLiteral: "d0-\(life)"), status: .healthy)))
        default: break
        }
    }

    private mutating func giveDiscovery(_ event: DiscoveryEvent) {
        for effect in path.discovery.engine.handle(event, at: clock(of: path.discovery.process)) {
            switch effect {
            case .search(let series):
                let isFound = !path.trouble.isVenueDown
                planPath(
                    .discoveryListed(life: path.discovery.process.life, series: series, isFound: isFound),
                    within: isFound ? 20...200 : 5_000...5_000)
            case .answer(_, let game, let result):
                guard path.discovery.process.hasBus else { continue }
                switch result {
                case .matched(let markets): tellOrchestrators(.discovered(game.id, markets, reason: nil))
                case .unmatched(let reason):
                    tellOrchestrators(.discovered(game.id, [], reason: reason.rawValue))
                }
            }
        }
    }
}
