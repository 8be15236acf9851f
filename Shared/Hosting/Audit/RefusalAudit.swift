import Logging
import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime

/// Writes down what is refused where no transaction tells of it, and never holds anybody up (docs/AUDIT.md).
///
/// Rows are kept until the database takes them; what a process that is killed had not written is in its metrics, its
/// log and the dead letters. A row whose commit was not answered may be there twice.
public final class RefusalAudit: Sendable {
    private struct State {
        var tally = RefusalTally()
        /// Refusals of the rows that are being written.
        var inFlight = 0
        var waker: AsyncStream<Void>.Continuation?
    }

    /// How soon the database is asked again, and how late a first refusal may be written.
    private static let retryInterval = Duration.milliseconds(250)
    /// How much of a text is kept.
    private static let textLimit = 256
    /// How long the last rows of a process may take.
    private static let patience = Duration.seconds(1)

    private let source: String
    private let clock: MachineClock
    private let log: Logger
    private let pooled: Counter
    private let unwritten: Counter
    private let state = NIOLockedValueBox(State())

    init(source: String, in context: ProcessContext) {
        self.source = source
        clock = context.clock
        log = context.log
        pooled = context.metrics.counter(
            "refusals_pooled_total", "Refusals of more kinds than the audit log tells apart.")
        unwritten = context.metrics.counter(
            "refusals_unwritten_total", "Refusals that the audit log does not tell of.")
    }

    /// Something was refused; `details` are of use to whoever looks into it.
    public func note(_ refusal: Refusal, _ details: [String: String] = [:]) {
        let details = details.mapValues { Self.storable($0) }
        let refusal = Refusal(refusal.kind, from: Self.storable(refusal.source), event: refusal.event)
        let (isToldApart, waker) = state.withLockedValue { state in
            (state.tally.note(refusal, details, at: clock.now), state.waker)
        }
        if !isToldApart { pooled.increment() }
        waker?.yield()
    }

    /// PostgreSQL stores no zero byte.
    private static func storable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.prefix(textLimit).map { $0 == "\0" ? "\u{FFFD}" : $0 }))
    }

    /// Writes what is due, until cancelled.
    func run(_ database: PostgresPool) async throws {
        let (wakes, waker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        state.withLockedValue { $0.waker = waker }
        waker.yield()
        for await _ in wakes {
            while let due = state.withLockedValue({ $0.tally.due }) {
                let isWritten = due <= clock.now ? await write(to: database) : true
                let pause = isWritten ? min(clock.now.duration(to: due), Self.retryInterval) : Self.retryInterval
                if pause > .zero { try await clock.sleep(for: pause) }
            }
        }
    }

    /// At the end of the process: what is counted is written without waiting for its minute.
    func drain(_ database: PostgresPool) async {
        do {
            _ = try await withDeadline(Self.patience, clock: clock) { await self.write(to: database, all: true) }
        } catch {
            log.warning("refusals not written", metadata: [Key.reason: "\(error)"])
        }
        let left = state.withLockedValue { $0.tally.waiting + $0.inFlight }
        if left > 0 { unwritten.increment(by: left) }
    }

    /// - Returns: false when the database is to be asked again.
    private func write(to database: PostgresPool, all: Bool = false) async -> Bool {
        let rows = state.withLockedValue { state in
            let rows = state.tally.take(at: clock.now, all: all)
            state.inFlight += Self.refusals(rows)
            return rows
        }
        if rows.isEmpty { return true }
        return await write(rows, to: database)
    }

    private func write(_ rows: [RefusalTally.Row], to database: PostgresPool) async -> Bool {
        do {
            try await database.retryingTransaction("refusals") { transaction in
                for row in rows { try await entry(row).write(transaction) }
            }
            state.withLockedValue { $0.inFlight -= Self.refusals(rows) }
            return true
        } catch let error as PostgresError where error.blamesRow {
            if rows.count > 1 { return await writeEach(of: rows, to: database) }
            // Asked again it would be refused again.
            state.withLockedValue { $0.inFlight -= Self.refusals(rows) }
            unwritten.increment(by: Self.refusals(rows))
            log.error("refusal cannot be written", metadata: [Key.reason: "\(error)"])
            return true
        } catch {
            state.withLockedValue { state in
                state.inFlight -= Self.refusals(rows)
                state.tally.putBack(rows, at: clock.now)
            }
            log.debug("refusals wait for the database", metadata: [Key.reason: "\(error)"])
            return false
        }
    }

    /// One of them is refused by the database, and keeps none of the others.
    private func writeEach(of rows: [RefusalTally.Row], to database: PostgresPool) async -> Bool {
        var areWritten = true
        for row in rows {
            if await !write([row], to: database) { areWritten = false }
        }
        return areWritten
    }

    private static func refusals(_ rows: [RefusalTally.Row]) -> Int { rows.reduce(0) { $0 + $1.count } }

    private func entry(_ row: RefusalTally.Row) -> AuditEntry {
        AuditEntry(
            row.refusal.event,
            details: row.details.merging(
                [
                    "kind": row.refusal.kind.rawValue, "from": row.refusal.source, "count": "\(row.count)",
                    "by": source,
                ]) { $1 })
    }
}
