import Bus
import ChaosEngine
import Domain
import Foundation
import Hosting
import NIOConcurrencyHelpers
import Postgres
import Redis
import Resilience
import Runtime
import Wire

/// Looks at a running suite from three sides: PostgreSQL, the bus, and the pages of the orchestrators.
///
/// Each has a link of its own, and the newest of each is kept; nothing waits for another.
final class WorldSampler: Sendable {
    private struct Heard {
        let at: MachineInstant
        let heartbeat: Heartbeat
    }

    private struct State {
        var truth: (at: MachineInstant, value: Sample.Truth)?
        var brokenRules: [String] = []
        /// When they were held against the books; nil when they never were.
        var booksReadAt: MachineInstant?
        /// Nil until the venue was asked.
        var orders: Sample.Orders?
        var shards: [String: Heard] = [:]
        var services: [String: Heard] = [:]
        /// Newest page by address.
        var pages: [String: (at: MachineInstant, page: SuiteStatus)] = [:]
        var told: Set<String> = []
        var alerts: [Sample.Alert] = []
        var hasLookedAtAlerts: Set<String> = []
    }

    /// What is older was said of another moment.
    private static let life = Duration.seconds(1)
    private static let interval = Duration.milliseconds(100)

    private let places: SuitePlaces
    private let clock: MachineClock
    private let state = NIOLockedValueBox(State())
    private let tap: MessageTap
    private let rows = RowWatch()

    init(_ places: SuitePlaces, clock: MachineClock = .real) {
        self.places = places
        self.clock = clock
        tap = MessageTap(clock: clock)
    }

    // MARK: - What was seen

    /// This moment; alerts are handed out once.
    ///
    /// `delivered` is what has reached the sink since the last time, `filed` what the alert files have got,
    /// `watcherAge` how long ago the outside watcher was called.
    func take(delivered: Set<String>?, filed: [Sample.Alert]?, watcherAge: Duration?) -> Sample {
        let now = clock.now
        return state.withLockedValue { state in
            var truth = state.truth.flatMap { now.since($0.at) < Self.life ? $0.value : nil }
            truth?.brokenRules = state.brokenRules
            truth?.missing = rows.missing
            let page = Self.page(in: state, at: now)
            let alerts = state.alerts
            state.alerts = []
            return Sample(
                truth: truth, shards: state.shards.map { Self.beat($0.key, $0.value, at: now) },
                services: Self.services(state.services.values, at: now), checks: page.map(Self.checks), alerts: alerts,
                delivered: delivered, filed: filed, orders: state.orders, messages: tap.sum,
                streams: Self.streams(in: state), booksAge: state.booksReadAt.map { now.since($0) },
                watcherAge: watcherAge)
        }
    }

    /// Whether a venue can be asked, and its orders have never been compared with ours.
    var hasMissedVenue: Bool { places.venue != nil && state.withLockedValue { $0.orders == nil } }

    /// Whether nobody has listened to the journals.
    var hasMissedJournals: Bool { tap.sum == nil }

    /// After a round that was to lose messages.
    func writeOffMessages() { tap.writeOff() }

    /// The status address of the orchestrator that leads.
    var leader: String? {
        let now = clock.now
        return state.withLockedValue { state in
            state.pages.first { $0.value.page.fleet.isLeading && now.since($0.value.at) < Self.life }?.key
        }
    }

    /// Who leads, or else anybody that answers.
    private static func page(in state: State, at now: MachineInstant) -> SuiteStatus? {
        let fresh = state.pages.sorted { $0.key < $1.key }.map(\.value).filter { now.since($0.at) < life }
        return (fresh.first { $0.page.fleet.isLeading } ?? fresh.first)?.page
    }

    private static func beat(_ name: String, _ heard: Heard, at now: MachineInstant) -> Sample.Beat {
        let games = heard.heartbeat.games.filter { ($0.missingBooks ?? 0) == 0 }
        return Sample.Beat(
            name, isHealthy: heard.heartbeat.status == .healthy, age: now.since(heard.at),
            games: Dictionary(games.map { ($0.game.rawValue, $0.epoch.number) }, uniquingKeysWith: max),
            watched: Dictionary(
                heard.heartbeat.games.map { ($0.game.rawValue, $0.epoch.number) }, uniquingKeysWith: max),
            failing: failing(heard))
    }

    private static func failing(_ heard: Heard) -> [String] {
        heard.heartbeat.checks.filter { !$0.value }.keys.sorted()
    }

    /// Of every process the newest word, by its life.
    private static func streams(in state: State) -> [String: Sample.Streams] {
        let all = (Array(state.shards.values) + Array(state.services.values)).map(\.heartbeat)
        return Dictionary(
            all.map { beat in
                let gaps = beat.metrics.filter { $0.key.hasPrefix("bus_gaps_total") }.values.reduce(0, +)
                let name = "\(beat.service)/\(beat.instance) (\(beat.incarnation.rawValue.prefix(8)))"
                return (name, Sample.Streams(open: Int(beat.metrics["bus_subscriptions"] ?? 0), gaps: Int(gaps)))
            }, uniquingKeysWith: { $1 })
    }

    /// The best of each kind: one that is healthy and was heard last.
    private static func services(_ heard: some Sequence<Heard>, at now: MachineInstant) -> [Sample.Beat] {
        Dictionary(grouping: heard, by: \.heartbeat.service).map { kind, all in
            let beats = all.map {
                Sample.Beat(
                    kind, isHealthy: $0.heartbeat.status == .healthy, age: now.since($0.at), failing: failing($0))
            }
            return beats.min {
                ($0.isHealthy && $0.isFresh ? 0 : 1, $0.age) < ($1.isHealthy && $1.isFresh ? 0 : 1, $1.age)
            } ?? Sample.Beat(kind, isHealthy: false, age: .seconds(3_600))
        }.sorted { $0.name < $1.name }
    }

    private static func checks(_ page: SuiteStatus) -> [String: Bool] {
        var checks = page.checks
        for (kind, all) in Dictionary(grouping: page.fleet.services, by: \.service) where kind != "orchestrator" {
            checks[kind] = all.contains { $0.status == "healthy" }
        }
        return checks
    }

    // MARK: - Looking

    /// Looks until cancelled.
    func run() async throws {
        let pool = try CommandDatabase.open(url: places.database)
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.watchTruth(pool) }
            tasks.addTask { await self.watchBooks(pool) }
            if let venue = self.places.venue { tasks.addTask { await self.compareOrders(venue, pool) } }
            tasks.addTask { await self.tap.compare(with: pool) }
            tasks.addTask { await self.listen() }
            for address in self.places.orchestrators { tasks.addTask { await self.watchPage(address) } }
        }
        await pool.close(grace: .zero)
    }

    /// False when cancelled.
    private func pause(_ length: Duration = interval) async -> Bool { (try? await clock.sleep(for: length)) != nil }

    /// The rules that hold at every committed state; they read whole tables, so once a second.
    private func watchBooks(_ pool: PostgresPool) async {
        repeat {
            let begin = clock.now
            // Not answered: what was read grows old, and no round ends without a newer look.
            guard let broken = try? await BooksCheck.broken(BooksCheck.always + BooksCheck.sums, pool),
                (try? await rows.ask(pool)) != nil
            else { continue }
            state.withLockedValue { state in
                state.brokenRules = broken
                state.booksReadAt = begin
            }
        } while await pause(.seconds(1))
    }

    private struct VenueOrders: Decodable {
        let total: Int
        let names: [String]

        enum CodingKeys: String, CodingKey {
            case total
            case names = "client_order_ids"
        }
    }

    /// Twice a second: first what the venue has, then whether PostgreSQL knows it, then what PostgreSQL has placed,
    /// then whether the venue has that.
    private func compareOrders(_ venue: String, _ pool: PostgresPool) async {
        let http = LocalHTTP()
        var ledger = OrderLedger()
        var read = 0
        var begin: Int64?
        func note(_ ledger: OrderLedger) { state.withLockedValue { $0.orders = ledger.sum } }
        func readVenue() async throws {
            let answer: VenueOrders = try await http.get("\(venue)/orders?after=\(read)")
            read = answer.total
            ledger.venueHasTaken(answer.names)
        }
        repeat {
            do {
                guard let since = begin else {
                    // What was before is nobody's concern; venue first, so that no later order is left out.
                    read = (try await http.get("\(venue)/orders?after=\(Int32.max)", as: VenueOrders.self)).total
                    begin = try await Self.now(pool)
                    continue
                }
                try await readVenue()
                // Also where PostgreSQL does not answer next.
                note(ledger)
                let asked = ledger.asked
                let known = try await Self.known(asked, pool)
                ledger.databaseKnows(of: asked, known)
                let placed = try await Self.placed(since: since, pool)
                try await readVenue()
                ledger.databaseHasPlaced(placed)
                note(ledger)
            } catch {
                // Whoever does not answer now is asked again; what was read stays.
            }
        } while await pause(.milliseconds(500))
    }

    private static func now(_ pool: PostgresPool) async throws -> Int64 {
        let rows = try await pool.query(
            "SELECT (extract(epoch FROM now()) * 1000000)::int8 AS now", timeout: .seconds(1))
        guard let row = rows.first else { throw ChaosFailure("PostgreSQL gave no row") }
        return try row.int64("now")
    }

    private static func known(_ names: [String], _ pool: PostgresPool) async throws -> [String: Bool] {
        guard !names.isEmpty else { return [:] }
        let rows = try await pool.query(
            """
            SELECT order_id, CASE WHEN venue_order_id IS NULL THEN 0 ELSE 1 END AS placed FROM orders
            WHERE order_id = ANY(\(names)::text[])
            """, timeout: .seconds(1))
        return try Dictionary(
            rows.map { (try $0.text("order_id"), try $0.int("placed") == 1) }, uniquingKeysWith: { first, _ in first })
    }

    private static func placed(since begin: Int64, _ pool: PostgresPool) async throws -> Set<String> {
        let rows = try await pool.query(
            """
            SELECT order_id FROM orders WHERE venue_order_id IS NOT NULL
                AND stored_at > to_timestamp(\(begin)::float8 / 1000000)
            """, timeout: .seconds(1))
        return Set(try rows.map { try $0.text("order_id") })
    }

    private func watchTruth(_ pool: PostgresPool) async {
        repeat {
            // Not answered: what was known grows old.
            guard let truth = try? await Self.truth(pool), (try? await rows.look(pool)) != nil else { continue }
            let now = clock.now
            state.withLockedValue { $0.truth = (now, truth) }
        } while await pause()
    }

    private func watchPage(_ address: String) async {
        let http = LocalHTTP()
        repeat {
            // As above.
            guard let page: SuiteStatus = try? await http.get("\(address)/status") else { continue }
            let now = clock.now
            state.withLockedValue { state in
                state.pages[address] = (now, page)
                let isFirst = state.hasLookedAtAlerts.insert(address).inserted
                for alert in page.recentAlerts {
                    let isNew = state.told.insert("\(alert.kind) \(alert.state) \(alert.at)").inserted
                    // What was told before anybody looked is of another time.
                    guard isNew, !isFirst else { continue }
                    state.alerts.append(
                        Sample.Alert(alert.kind, isFiring: alert.state == "firing", summary: alert.summary))
                }
            }
        } while await pause()
    }

    private func listen() async {
        let settings = RedisSettings(
            SettingsReader(environment: [
                "REDIS_URL": places.redis, "REDIS_RECONNECT_BASE_DELAY_MS": "100",
                "REDIS_RECONNECT_MAX_DELAY_MS": "500", "REDIS_BREAKER_COOLDOWN_MS": "500",
            ]))
        let client = RedisClient(
            settings: settings, name: "linesman:chaos", clock: clock, random: .system, log: .quiet,
            metrics: MetricsRegistry())
        guard let incarnation = try? Incarnation(RandomSource.system.uuid()) else { return }
        let bus = Bus(
            client: client, identity: BusIdentity(source: "chaos/1", incarnation: incarnation), settings: BusSettings(),
            clock: clock, log: .quiet, metrics: MetricsRegistry())
        await withTaskGroup(of: Void.self) { tasks in
            // All end by cancellation.
            tasks.addTask { try? await client.run() }
            tasks.addTask { try? await bus.run() }
            tasks.addTask { await self.tap.listen(on: bus) }
            tasks.addTask {
                guard let beats = try? await bus.subscribe(matching: Channels.shardHeartbeats) else { return }
                for await delivery in beats { self.hear(delivery, isShard: true) }
            }
            tasks.addTask {
                guard let beats = try? await bus.subscribe(to: Channels.heartbeats) else { return }
                for await delivery in beats { self.hear(delivery, isShard: false) }
            }
        }
    }

    private func hear(_ delivery: Delivery<Heartbeat>, isShard: Bool) {
        guard case .message(let envelope, _) = delivery else { return }
        let heard = Heard(at: clock.now, heartbeat: envelope.body)
        state.withLockedValue { state in
            if isShard {
                state.shards[envelope.body.instance] = heard
            } else {
                state.services["\(envelope.body.service)/\(envelope.body.instance)"] = heard
            }
        }
    }

    private static func truth(_ pool: PostgresPool) async throws -> Sample.Truth {
        let counts = try await pool.query(
            """
            SELECT (SELECT term FROM leadership) AS term, (SELECT count(*) FROM signals) AS signals,
                (SELECT count(*) FROM intents) AS intents, (SELECT count(*) FROM orders) AS orders,
                (SELECT count(*) FROM fills) AS fills,
                (SELECT count(*) FROM orders WHERE state = 'unknown') AS unknown,
                (SELECT count(*) FROM outbox
                    WHERE published_at IS NULL AND created_at < now() - interval '1 second') AS unannounced,
                (SELECT count(*) FROM signals s WHERE s.verdict = 'approved'
                    AND s.received_at > now() - interval '10 minutes'
                    AND EXISTS (SELECT FROM assignment_log l WHERE l.game_id = s.game_id AND l.epoch > s.epoch
                        AND l.at < s.received_at - interval '1 second')) AS stale
            """, timeout: .seconds(1)
        ).first
        guard let counts else { throw ChaosFailure("PostgreSQL gave no row") }
        let games = try await pool.query(
            """
            SELECT game_id, CASE WHEN state = 'assigned' THEN shard END AS owner, epoch FROM assignments
            WHERE state <> 'released' ORDER BY game_id
            """, timeout: .seconds(1))
        return Sample.Truth(
            term: try counts.int64("term"),
            games: try games.map {
                Sample.Game(
                    try $0.text("game_id"), owner: try $0.textOrNil("owner"), epoch: try $0.int64("epoch"))
            },
            signals: try counts.int("signals"), intents: try counts.int("intents"), orders: try counts.int("orders"),
            fills: try counts.int("fills"), unannounced: try counts.int("unannounced"),
            unknown: try counts.int("unknown"), staleApprovals: try counts.int("stale"))
    }
}
