import Domain
import Hosting
import Postgres
import Runtime
import SignalProcessorEngine
import Wire

/// Carries a verdict out: one transaction per signal that reads, decides, reserves and announces (DESIGN rules 5, 7).
struct SignalStore: Sendable {
    enum Outcome<Verdict: CountedVerdict>: Hashable, Sendable {
        case decided(Verdict)
        /// Was committed before: a redelivery.
        case known
    }

    let pool: PostgresPool
    let account: TradingAccount
    let statistics: DailyStatistics
    var markAge = Duration.seconds(120)

    /// Locks are taken in one order everywhere: account, kill switch, shard and assignment, then rows of its own.
    ///
    /// Everything is read in one round trip and written in another, together with COMMIT.
    ///
    /// `sender` is the life of the shard that said it. `approving` is told an intent that is about to be committed,
    /// under the account's lock, so that whoever looks for it waits for the commit (decision 0057). `isClockOff` says
    /// whether the database's clock and ours are too far apart.
    func process(
        _ signal: Signal, from sender: Incarnation? = nil, trace: TraceID?, engine: SignalProcessorEngine,
        marks: MarkBook.Marks = [:], at now: VenueInstant, isClockOff: Bool = false,
        approving: @Sendable (ApprovedIntent) -> Void = { _ in }
    ) async throws -> Outcome<Verdict> {
        // On the loop that drives the connection: no statement changes threads.
        try await withTaskExecutorPreference(PostgresPool.executor) {
            try await decide(
                signal, from: sender, trace: trace, engine: engine, marks: marks, at: now, isClockOff: isClockOff,
                approving: approving)
        }
    }

    private func decide(
        _ signal: Signal, from sender: Incarnation?, trace: TraceID?, engine: SignalProcessorEngine,
        marks: MarkBook.Marks, at now: VenueInstant, isClockOff: Bool, approving: @Sendable (ApprovedIntent) -> Void
    ) async throws -> Outcome<Verdict> {
        try await pool.retryingTransaction("signal") { transaction in
            var (isKnown, view) = try await reader(transaction, marks, sender).view(for: signal, at: now)
            view.isClockOff = isClockOff
            if isKnown {
                try await AuditEntry(
                    .duplicateDetected, market: signal.market, game: signal.game,
                    details: ["signal": signal.id.rawValue, "shard": signal.shard.rawValue]
                ).write(transaction)
                return .known
            }
            let verdict = engine.decide(signal, portfolio: view, as: .derived(from: signal.id), at: now)
            if case .approved(let intent, _) = verdict { approving(intent) }
            try store(signal, verdict, trace, transaction)
            // The server stores it while the rest is put together.
            transaction.push()
            let entry = entry(on: signal, verdict)
            if case .approved(let intent, let reserved) = verdict {
                let next = try await approve(intent, reserved: reserved, trace: trace, now: now, transaction)
                try AuditEntry.write(entry, next, transaction)
            } else {
                try await entry.write(transaction)
            }
            try await statistics.add(["signals": 1, "signals:\(verdict.name)": 1], at: now, transaction)
            return .decided(verdict)
        }
    }

    func reader(
        _ transaction: PostgresTransaction, _ marks: MarkBook.Marks, _ sender: Incarnation? = nil
    ) -> PortfolioReader {
        PortfolioReader(
            transaction: transaction, account: account, statistics: statistics, sender: sender,
            pricing: .init(marks: marks, age: markAge))
    }

    /// A signal about a market that we do not know cannot refer to it; it is remembered by its identifier alone.
    private func store(
        _ signal: Signal, _ verdict: Verdict, _ trace: TraceID?, _ transaction: PostgresTransaction
    ) throws {
        try transaction.enqueue(
            """
            WITH stored AS (
            INSERT INTO signals (signal_id, game_id, market_id, shard, epoch, kind, outcome, model_probability, price,
                edge_basis_points, play_id, venue_created_at, venue_expires_at, trace, verdict)
            SELECT \(signal.id.rawValue), game_id, market_id, \(signal.shard.rawValue), \(signal.epoch.number),
                \(signal.kind.rawValue), \(signal.outcome.rawValue), \(signal.probability.value),
                \(signal.price.tenThousandths), \(signal.edgeBasisPoints), \(signal.play?.rawValue as String?),
                \(signal.createdAt.microseconds), \(signal.expiresAt.microseconds), \(trace?.rawValue ?? ""),
                \(verdict.name)
            FROM market_mappings WHERE market_id = \(signal.market.rawValue) AND game_id = \(signal.game.rawValue)
            RETURNING signal_id)
            INSERT INTO consumed (consumer, message_id)
            SELECT 'signals', \(signal.id.rawValue) WHERE NOT EXISTS (SELECT FROM stored)
            """)
    }

    private func entry(on signal: Signal, _ verdict: Verdict) -> AuditEntry {
        var entry = AuditEntry(
            .signalRefused, market: signal.market, game: signal.game,
            details: [
                "signal": signal.id.rawValue, "verdict": verdict.name, "shard": signal.shard.rawValue,
                "epoch": "\(signal.epoch)", "price": "\(signal.price)", "probability": "\(signal.probability)",
                "edge_basis_points": "\(signal.edgeBasisPoints)", "outcome": signal.outcome.rawValue,
            ])
        if case .approved(let intent, let reserved) = verdict {
            entry.event = AuditEvent.signalApproved.rawValue
            entry.intent = intent.id
            entry.details["quantity"] = "\(intent.quantity)"
            entry.details["reserved"] = "\(reserved)"
        }
        return entry
    }

    /// What an approval stores and announces; what the audit says of it is the caller's to write.
    private func approve(
        _ intent: ApprovedIntent, reserved: Money, trace: TraceID?, now: VenueInstant,
        _ transaction: PostgresTransaction
    ) async throws -> AuditEntry {
        // The bound in the database's own time; in a replay the venue's comes first.
        let life = now.duration(to: intent.expiresAt).inSeconds
        try transaction.enqueue(
            """
            WITH reserved AS (
            INSERT INTO reservations (reservation_id, game_id, market_id, sport, amount)
            VALUES (\(intent.reservation.rawValue), \(intent.game.rawValue), \(intent.market.rawValue),
                \(intent.sport.rawValue), \(reserved.microdollars)))
            INSERT INTO intents (intent_id, signal_id, reservation_id, game_id, market_id, epoch, outcome, action,
                limit_price, quantity, venue_expires_at, expires_at, trace)
            VALUES (\(intent.id.rawValue), \(intent.signal.rawValue), \(intent.reservation.rawValue),
                \(intent.game.rawValue), \(intent.market.rawValue), \(intent.epoch.number),
                \(intent.outcome.rawValue), \(intent.action.rawValue), \(intent.limit.tenThousandths),
                \(intent.quantity.hundredths), \(intent.expiresAt.microseconds),
                now() + make_interval(secs => \(life)), \(trace?.rawValue ?? ""))
            """)
        try await OutboxStore.append(
            IntentMessage(intent: intent), on: Channels.intents, key: intent.game.rawValue, trace: trace,
            in: transaction)
        return AuditEntry(
            .executionRequested, intent: intent.id, market: intent.market, game: intent.game,
            details: [
                "signal": intent.signal.rawValue, "reservation": intent.reservation.rawValue,
                "limit": "\(intent.limit)", "quantity": "\(intent.quantity)", "reserved": "\(reserved)",
            ])
    }
}

extension SignalStore {
    /// How the trading day of `now` stands.
    struct DayStanding: Hashable, Sendable {
        let day: String
        let realised: Money
        /// Nil when an open position has no mark.
        let marked: Money?
    }

    func dayStanding(marks: MarkBook.Marks, at now: VenueInstant) async throws -> DayStanding {
        try await pool.retryingTransaction("day's standing") { transaction in
            let (realised, marked) = try await reader(transaction, marks).dayResult(at: now)
            return DayStanding(day: try await statistics.name(of: now, transaction), realised: realised, marked: marked)
        }
    }

    /// Leaves a trace of the warning.
    func recordWarning(of loss: Money, limit: Money) async throws {
        try await pool.retryingTransaction("daily loss warning") { transaction in
            try await AuditEntry(.dailyLossWarning, details: ["loss": "\(loss)", "limit": "\(limit)"])
                .write(transaction)
        }
    }

    /// Engages the kill switch for the loss of the day, once a day and limit for all processes and lives; only exits
    /// pass from then on (decision 0083).
    ///
    /// Who releases it on the same day is not overruled before a deeper limit is reached: entries stay refused by the
    /// limit itself.
    func halt(for loss: Money, limit: Money, by author: String, at now: VenueInstant) async throws -> LossHalt {
        try await pool.retryingTransaction("daily loss") { transaction in
            _ = try await account.lock(transaction)
            let marker = DailyStatistics.halted(account)
            let deepest = try await statistics.sum(of: [marker], at: now, transaction)
            guard limit.microdollars > deepest else {
                return try await KillSwitchStore.read(transaction) == .released ? .released : .stands
            }
            try await statistics.add([marker: limit.microdollars - deepest], at: now, transaction)
            try await AuditEntry(.dailyLossExceeded, details: ["loss": "\(loss)", "limit": "\(limit)"])
                .write(transaction)
            let changed = try await KillSwitchStore.change(
                engaged: true, reduceOnly: true, reason: "daily loss: \(loss) of \(limit)", by: author, transaction)
            return changed ? .engaged : .stands
        }
    }
}

extension IntentNames {
    /// The same signal makes the same intent and reservation, whoever processes it and however often.
    static func derived(from signal: SignalID) -> IntentNames {
        func name(_ kind: String) -> String { UUIDv5.make(namespace: .dns, name: "\(kind).linesman/\(signal)") }
        return IntentNames(
            intent: IntentID(stringLiteral: name("intent")),
            reservation: ReservationID(stringLiteral: name("reservation")))
    }
}
