import Domain
import GameShardEngine
import Hosting
import Logging
import Postgres
import Runtime
import Venues
import Wire

/// One shard: the engine in its actor, and every part that feeds it or obeys it.
struct GameShard: Sendable {
    private static let tick = Duration.milliseconds(100)
    private static let termsInterval = Duration.seconds(10)

    let host: ServiceHost
    let lanes: Lanes
    let feeds: VenueFeeds
    let watcher: GameWatcher
    let poller: ScorePoller
    let commands: Commands
    let journal: WriteJournal

    init(_ settings: GameShardSettings, _ host: ServiceHost) throws {
        let shard = try ShardID(settings.host.instance)
        let engine = ShardEngine(shard: shard, incarnation: host.incarnation, rules: ShardRules(settings))
        self.host = host
        let feeds = try VenueFeeds(settings, host)
        self.feeds = feeds
        lanes = Lanes(metrics: host.context.metrics)
        watcher = GameWatcher(engine: engine, host: host, lanes: lanes) { feeds.books.setMarkets($0) }
        let store = ShardStore(pool: host.database, shard: shard, incarnation: host.incarnation, log: host.log)
        let steps = ReplaySteps(host: host, books: feeds.books, watcher: watcher, store: store)
        poller = ScorePoller(settings, feeds.scores, watcher, steps: host.settings.isReplay ? steps : nil, host)
        commands = Commands(host: host, shard: shard, store: store, watcher: watcher, lanes: lanes)
        journal = WriteJournal(
            settings: settings.journal, name: "game-shard-\(shard)", pool: host.database, metrics: host.context.metrics
        ) { try ShardRow.apply($0, $1) }
    }

    /// Adds every part to the supervisor; they run until the process ends.
    func start() {
        let announcer = Announcer(host: host)
        let supervisor = host.supervisor
        // On the loop that writes them: what was decided leaves without a change of thread.
        let loop = host.redis.taskExecutor
        supervisor.add("hints", .important) {
            await withTaskExecutorPreference(loop) { await lanes.hints.run { await announcer.announce($0) } }
        }
        supervisor.add("messages", .critical) {
            await withTaskExecutorPreference(loop) { await lanes.messages.run { await announcer.announce($0) } }
        }
        supervisor.add("records", .important) { await commands.keepRecords(in: journal) }
        supervisor.add("journal", .important) { await journal.run() }
        // Half of the drain's bound at most: what is not stored by then is on disk.
        let limit = host.context.process.drainTimeout / 2
        supervisor.onDrain("records") {
            await lanes.records.finish()
            await journal.drain(within: limit)
        }
        supervisor.add("questions", .critical) { await commands.answerQuestions(within: .seconds(1)) }
        supervisor.add("rereads", .critical) { await commands.reread() }
        supervisor.add("commands", .important) { try await commands.follow() }
        supervisor.add("grants", .important) { try await commands.followGrants() }
        supervisor.add("name", .bestEffort) { try await commands.watchName() }
        supervisor.add("ticks", .critical) { try await tick() }
        supervisor.add("same-terms", .important) { try await readSameTerms() }
        feeds.start(telling: watcher, polling: poller)
    }

    /// Whether rows would be kept if the database went away.
    private var journalProbe: HealthProbe {
        HealthProbe("journal", timeout: .seconds(1)) { [journal] in try journal.checkHealth() }
    }

    private func tick() async throws {
        while !Task.isCancelled {
            await watcher.handle(.tick)
            try await host.clock.sleep(for: Self.tick)
        }
    }

    /// Arbitrage across venues needs a person's word that both markets pay on the same terms; it counts within this
    /// interval, and its withdrawal at once where exposure is reserved.
    private func readSameTerms() async throws {
        while !Task.isCancelled {
            do {
                await watcher.handle(.sameTerms(try await commands.store.sameTerms()))
            } catch let error as PostgresError where !Task.isCancelled {
                // What was read last stays: who reserves looks again.
                host.log.warning("same terms not read", metadata: [Key.reason: "\(error)"])
            }
            try await host.clock.sleep(for: Self.termsInterval)
        }
    }

    /// Says how the shard is, with checks that were measured.
    ///
    /// At a stop it first says what it had to say, then lets its games go: the last heartbeat shows none, which the
    /// orchestrator takes for an acknowledgement, so that nobody waits for a lease to end. `claimedAt` is when the name
    /// was claimed: who claimed it last has it for the database, so for the orchestrator too (decision 0060).
    func sendHeartbeats(claimedAt: Int64) {
        let board = host.measureHealth(feeds.probes(poller) + [journalProbe], mustStore: false)
        host.serveStatus(board)
        host.sendHeartbeats(
            on: Channels.heartbeat(commands.shard), hurriedBy: [watcher.news, board.changes],
            onSent: { beat, _ in await watcher.handle(.heartbeatSent(beat: beat)) },
            content: {
                var content = await watcher.content(checks: board.checks)
                content.startedAt = claimedAt
                return content
            })
        host.supervisor.onDrain("games") {
            await watcher.handle(.drain)
            await lanes.messages.finish()
            await watcher.handle(.letGo)
        }
    }
}
