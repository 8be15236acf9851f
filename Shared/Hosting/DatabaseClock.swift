import Logging
import NIOConcurrencyHelpers
import Postgres
import Runtime

/// How far the database's clock is ahead of ours, as one question tells.
///
/// The database read its clock at some moment between our asking and its answer, so the offset is known to within the
/// round trip, and the middle to within half of it.
public struct DatabaseClockOffset: Hashable, Sendable {
    /// In microseconds, the database's time less ours.
    public let range: ClosedRange<Int64>

    /// `asked` and `answered` are our wall clock, `told` the database's, in microseconds since 1970.
    ///
    /// Nil when our clock went back meanwhile: then nothing was measured.
    public init?(asked: Int64, told: Int64, answered: Int64) {
        guard answered >= asked else { return nil }
        range = (told - answered)...(told - asked)
    }

    /// The smallest offset that fits, 0 when the clocks may be equal; in microseconds.
    public var least: Int64 { min(max(0, range.lowerBound), range.upperBound) }

    /// Whether the clocks may be within the bound.
    public func isWithin(_ bound: Duration) -> Bool { Duration.microseconds(abs(least)) <= bound }

    /// Whether they certainly are, or certainly are not: a slow answer neither accuses nor acquits.
    public func decides(on bound: Duration) -> Bool {
        let most = max(abs(range.lowerBound), abs(range.upperBound))
        return !isWithin(bound) || Duration.microseconds(most) <= bound
    }
}

/// Compares the database's clock with ours, and says when no entry may be decided or sent: what is approved expires by
/// either of them (DESIGN rule 8).
///
/// Measured at the start and each second, by processes that ask for it. The last measurement that decides counts, also
/// while the database is away or slow; before the first of them nothing is decided or sent.
public final class DatabaseClockWatch: Sendable {
    static let kind = "databaseClockOffset"
    static let interval = Duration.seconds(1)

    private let bound: Duration
    private let database: PostgresPool
    private let alerts: ServiceAlerts
    private let source: String
    private let clock: MachineClock
    private let wall: WallClock
    private let log: Logger
    private let metrics: MetricsRegistry
    private let state = NIOLockedValueBox<DatabaseClockOffset?>(nil)

    init(
        bound: Duration, database: PostgresPool, alerts: ServiceAlerts, source: String, in context: ProcessContext
    ) {
        self.bound = bound
        self.database = database
        self.alerts = alerts
        self.source = source
        clock = context.clock
        wall = context.wallClock
        log = context.log
        metrics = context.metrics
    }

    /// Whether the clocks were further apart than the bound when that was last certain, or were not compared yet.
    public var isOff: Bool { state.withLockedValue { $0.map { !$0.isWithin(bound) } ?? true } }

    /// Fails while `isOff`.
    public var probe: HealthProbe {
        HealthProbe("database_clock", timeout: .seconds(1)) { [self] in
            if isOff { throw DatabaseClockIsOff(text: summary) }
        }
    }

    private struct DatabaseClockIsOff: Error, CustomStringConvertible {
        let text: String
        var description: String { text }
    }

    private var summary: String {
        guard let least = state.withLockedValue({ $0?.least }) else { return "the database's clock was not read yet" }
        let seconds = "\(abs(least) / 1_000_000).\(abs(least) / 100_000 % 10)"
        return "this machine's clock is \(seconds) s \(least > 0 ? "behind" : "ahead of") the database's"
    }

    func run() async throws {
        while !Task.isCancelled {
            do {
                try await measure()
            } catch let error as PostgresError where !Task.isCancelled {
                log.debug("database's clock not read", metadata: [Key.reason: "\(error)"])
            }
            try await clock.sleep(for: Self.interval)
        }
    }

    func measure() async throws {
        // On a connection of its own for the while: waiting for one is no part of the round trip.
        let (asked, told, answered) = try await database.transaction("database clock") { [wall] transaction in
            let asked = wall.microseconds
            let told = try await VenueBalances.now(transaction)
            return (asked, told, wall.microseconds)
        }
        guard let offset = DatabaseClockOffset(asked: asked, told: told, answered: answered),
            offset.decides(on: bound)
        else { return }
        let before = state.withLockedValue { known in
            defer { known = offset }
            return known
        }
        metrics.gauge(
            "db_clock_offset_seconds", "How far the database's clock is certainly ahead of ours; below zero behind."
        ).set(Double(offset.least) / 1_000_000)
        let isOff = !offset.isWithin(bound)
        // At the start too: an earlier life may have told of it.
        if before?.isWithin(bound) == !isOff { return }
        tell(isOff, offset)
    }

    private func tell(_ isOff: Bool, _ offset: DatabaseClockOffset) {
        let fingerprint = "\(Self.kind):\(source)"
        guard isOff else {
            return alerts.resolve(fingerprint, kind: Self.kind, "The database's clock and this machine's agree again")
        }
        log.error("database's clock is off", metadata: ["offset_us": "\(offset.least)"])
        alerts.fire(
            Self.kind, fingerprint: fingerprint, summary + ": no new entries",
            fields: [
                "offset_seconds": "\(Double(offset.least) / 1_000_000)",
                "uncertain_by_seconds": "\(Double(offset.range.upperBound - offset.range.lowerBound) / 2_000_000)",
                "bound_seconds": "\(bound.inSeconds)",
            ])
    }
}
