import Bus
import Domain
import Hosting
import Logging
import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime
import SignalProcessorEngine
import Wire

/// Takes signals one after another from the journal and has each decided in a transaction of its own.
actor SignalDesk {
    /// The relay's work for one intent is a commit and seven statements: as long as an order takes to leave.
    private static let announcementDelay = Duration.milliseconds(20)

    private let host: ServiceHost
    private let store: SignalStore
    private let rules: RuleStore
    private var engine: SignalProcessorEngine
    private var ruleAlarm = RuleAlarm()
    /// As they were read last; nil before.
    private var writtenRules: [WrittenRule]?
    /// Understood, and not kept as such yet.
    private var rulesToKeep: [WrittenRule] = []
    /// Looks at the rules that were begun, and the last of them whose answer was taken.
    private var ruleLooks = (begun: 0, taken: 0)
    /// Under a lock of its own: a thousand prices a second wait for no signal, and no signal for them.
    private nonisolated let book = NIOLockedValueBox(MarkBook())
    private nonisolated let unmarked: Counter
    private var isAnnouncing = false

    init(host: ServiceHost, store: SignalStore, rules: RuleStore, limits: TradingLimits) {
        self.host = host
        self.store = store
        self.rules = rules
        engine = SignalProcessorEngine(limits: limits)
        unmarked = host.context.metrics.counter("marks_not_kept_total", "Prices of more markets than are kept.")
    }

    /// The prices that open positions are valued at.
    nonisolated var marks: MarkBook.Marks { book.withLockedValue { $0.marks } }

    nonisolated func observe(_ price: PriceUpdate) {
        if !book.withLockedValue({ $0.observe(price) }) { unmarked.increment() }
    }

    func change(_ limits: TradingLimits) { engine.change(limits) }

    /// Reads what is written, and takes it when it is another than before.
    func reloadRules() async throws {
        ruleLooks.begun += 1
        let look = ruleLooks.begun
        // What an earlier life held to stays where it cannot be read any more: a typing error lifts no bar.
        let earlier = writtenRules == nil ? try await rules.understood() : nil
        let written = try await rules.load()
        // Who looked later may have been answered first.
        guard look > ruleLooks.taken else { return }
        ruleLooks.taken = look
        if written != writtenRules { take(written, after: earlier ?? []) }
        await keepRules()
    }

    private func take(_ written: [WrittenRule], after earlier: [WrittenRule]) {
        if writtenRules == nil { _ = engine.reloadRules(earlier) }
        writtenRules = written
        let refused = engine.reloadRules(written)
        let names = Set(refused.map(\.id))
        rulesToKeep = written.filter { !names.contains($0.id) }
        host.context.metrics.gauge("trading_rules_refused", "Rules that are not understood.").set(refused.count)
        for rule in refused {
            host.log.error("trading rule refused", metadata: ["rule": "\(rule.id)", Key.reason: "\(rule.error)"])
            host.refusals.note(
                Refusal(.tradingRule, from: "trading_rules"), ["rule": "\(rule.id)", "reason": "\(rule.error)"])
        }
        for step in ruleAlarm.observe(written, refused: refused) { RuleAlarm.say(step, to: host.alerts) }
        host.log.info("trading rules read", metadata: ["rules": "\(engine.rules.count)"])
    }

    /// For the next life; whoever holds the rows is waited for by no decision, and the next look tries again.
    private func keepRules() async {
        let kept = rulesToKeep
        guard !kept.isEmpty else { return }
        do {
            let isWhole = try await rules.keep(kept)
            // Others may have been read meanwhile.
            if isWhole, rulesToKeep == kept { rulesToKeep = [] }
        } catch {
            host.log.debug("trading rules not kept", metadata: [Key.reason: "\(error)"])
        }
    }

    /// Reads the rules again and again, and at once when told or after a gap: whoever writes one need not tell.
    func followRules() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask {
                while !Task.isCancelled {
                    try await self.lookAtRules()
                    try await self.host.clock.sleep(for: RuntimeLimits.interval)
                }
            }
            group.addTask {
                for await _ in try await self.host.bus.subscribe(to: Channels.rules) { try await self.lookAtRules() }
            }
        }
    }

    /// What was read last stays in force while the database is away.
    private func lookAtRules() async throws {
        do {
            try await reloadRules()
        } catch let error as PostgresError where error.isWorthAnotherTry && !Task.isCancelled {
            host.log.warning("trading rules not read", metadata: [Key.reason: "\(error)"])
        }
    }

    func run() async throws {
        try await follow(Channels.signals, of: \.signal.shard) { message, sender, trace in
            await self.decide(message.signal, from: sender, trace: trace)
        }
    }

    /// Takes arbitrages from their own journal, as signals are taken from theirs.
    func runArbitrages() async throws {
        try await follow(Channels.arbitrages, of: \.signal.shard) { message, sender, trace in
            await self.decide(message.signal, from: sender, trace: trace)
        }
    }

    /// Goes on where the last life stopped; what it sees again is recognised by its identifier.
    ///
    /// `decide` is told the life of the shard that said it, unless somebody else speaks for it, as rehearsals do.
    private func follow<Message: WireMessage>(
        _ channel: Channel<Message>, of shard: @escaping @Sendable (Message) -> ShardID,
        _ decide: @Sendable (Message, Incarnation?, TraceID?) async -> Void
    ) async throws {
        for await delivery in try await host.bus.subscribe(to: channel, resuming: host.position(on: channel)) {
            switch delivery {
            case .message(let envelope, _):
                let isOwn = envelope.source == "game-shard/\(shard(envelope.body))"
                await decide(envelope.body, isOwn ? envelope.incarnation : nil, envelope.trace)
            case .gap(let gap):
                // What shards say is advice with a short life: what is gone would be refused as stale.
                host.log.warning(
                    "signals were missed", metadata: ["channel": "\(channel)", Key.reason: "\(gap.reason.rawValue)"])
                host.context.metrics.counter("signal_gaps_total", "Gaps in the signals.").increment()
            }
        }
    }

    private func decide(_ signal: Signal, from sender: Incarnation?, trace: TraceID?) async {
        let verdict = await decide(signal.id, from: Channels.signals.name, madeAt: signal.createdAt) {
            try await store.process(
                signal, from: sender, trace: trace, engine: engine, marks: marks, at: host.venueClock.now,
                isClockOff: host.databaseClock.isOff
            ) { hint($0, trace) }
        }
        guard let verdict else { return }
        host.context.metrics
            .counter("signals_total", "Signals by verdict.", labels: ["verdict": verdict.name]).increment()
        if verdict.isApproved { announceLater() }
    }

    private func decide(_ signal: ArbitrageSignal, from sender: Incarnation?, trace: TraceID?) async {
        let verdict = await decide(signal.id, from: Channels.arbitrages.name, madeAt: signal.createdAt) {
            try await store.process(
                signal, from: sender, trace: trace, engine: engine, marks: marks, at: host.venueClock.now,
                isClockOff: host.databaseClock.isOff)
        }
        guard let verdict else { return }
        host.context.metrics
            .counter("arbitrages_total", "Arbitrages by verdict.", labels: ["verdict": verdict.name]).increment()
        // Nobody hinted at it.
        if verdict.isApproved { host.outbox() }
    }

    /// Decides in a transaction, and tries again while the database is away; a signal that can never be stored is put
    /// aside.
    ///
    /// - Returns: the verdict that was committed now; nil for none, or for one that was known.
    private func decide<Verdict>(
        _ signal: SignalID, from channel: String, madeAt instant: VenueInstant,
        _ process: () async throws -> SignalStore.Outcome<Verdict>
    ) async -> Verdict? {
        host.venueClock.observe(instant)
        guard let outcome = await storing(signal, from: channel, process) else { return nil }
        guard case .decided(let verdict) = outcome else {
            host.context.metrics.counter("signals_redelivered_total", "Signals that were known.").increment()
            return nil
        }
        engine.committed(verdict)
        host.log.debug("signal decided", metadata: ["signal": "\(signal)", "verdict": "\(verdict.name)"])
        return verdict
    }

    /// Tries until it is stored; nil when it never can be, or when the process stops.
    private func storing<Outcome: Sendable>(
        _ signal: SignalID, from channel: String, _ process: () async throws -> Outcome
    ) async -> Outcome? {
        var backoff = Backoff(base: .milliseconds(100), cap: .seconds(2), multiplier: 2, jitter: 0.1)
        while !Task.isCancelled {
            do {
                return try await process()
            } catch let error as PostgresError where error.isWorthAnotherTry {
                host.log.warning("signal waits for the database", metadata: [Key.reason: "\(error)"])
                let delay = host.context.random.withGenerator { backoff.next(using: &$0) }
                // Cancelled: the loop's condition sees it.
                try? await host.clock.sleep(for: delay)
            } catch is TradingAccountError {
                // This process is about to end: whoever trades takes it from the journal.
                try? await host.clock.sleep(for: .seconds(1))
            } catch {
                host.context.metrics.counter("signals_put_aside_total", "Signals that can never be stored.").increment()
                host.log.error(
                    "signal cannot be stored", metadata: ["signal": "\(signal)", Key.reason: "\(error)"])
                host.refusals.note(
                    Refusal(.signalPutAside, from: channel), ["signal": signal.rawValue, "reason": "\(error)"])
                return nil
            }
        }
        return nil
    }

    /// Ahead of the commit that it is about: the way to the execution-service takes as long.
    private nonisolated func hint(_ intent: ApprovedIntent, _ trace: TraceID?) {
        // Dropped, or never sendable: the relay's announcement says it too.
        try? host.bus.post(IntentHint(intent: intent), on: Channels.intentHints, trace: trace)
    }

    /// Has the relay announce what is committed, a moment later: the hint is ahead of it, and until then the servers
    /// are the order's own.
    private func announceLater() {
        if isAnnouncing { return }
        isAnnouncing = true
        Task {
            // Cancelled, or not: the relay is to look.
            try? await host.clock.sleep(for: Self.announcementDelay)
            isAnnouncing = false
            host.outbox()
        }
    }
}

extension PostgresError {
    /// Whether the same may succeed later, as when the disk has room again; a commit whose outcome is unknown is asked
    /// again by its identifier.
    var isWorthAnotherTry: Bool {
        switch code {
        case .retryTransaction, .wait, .reconnect, .deadlineExceeded, .unknownCommit, .acquireTimeout, .unavailable:
            true
        case .cancelled, .permanent: blamesServer
        case .closed, .decoding, .encoding, .migration: false
        }
    }
}
