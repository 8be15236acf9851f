import Domain
import Hosting
import Logging
import Postgres
import Runtime
import SignalProcessorEngine

/// Watches the loss of the day: warns the operator, and at the limit engages the kill switch (CHECKLIST R93, N17).
///
/// Entries are refused by the same figures in the transaction that would reserve: this is not what keeps the limit,
/// it is what stops everything else and says so.
actor LossAlarm {
    static let warning = "dailyLossWarning"
    static let exceeded = "dailyLossExceeded"
    static let unmarked = "unmarkedPosition"
    /// Looks in a row without a mark before it is told: a price comes again every five seconds of venue time.
    static let patience = 3

    private let host: ServiceHost
    private let store: SignalStore
    private var watch: DailyLossWatch
    /// Nil before the first look: what an earlier life has told may be over by now.
    private var lastState: DailyLossWatch.State?
    private var looksWithoutMark = 0
    private var wasTold = false

    init(host: ServiceHost, store: SignalStore, watch: DailyLossWatch) {
        self.host = host
        self.store = store
        self.watch = watch
    }

    func run(every interval: Duration, marks: @Sendable () async -> MarkBook.Marks) async throws {
        while !Task.isCancelled {
            do {
                try await look(marks: await marks(), at: host.venueClock.now)
            } catch let error as PostgresError where error.isWorthAnotherTry {
                host.log.warning("daily loss waits for the database", metadata: [Key.reason: "\(error)"])
            }
            try await host.clock.sleep(for: interval)
        }
    }

    func change(limit: Money) { watch.change(limit: limit) }

    /// One look; what could not be carried out is tried again by the next.
    func look(marks: MarkBook.Marks, at now: VenueInstant) async throws {
        let standing = try await store.dayStanding(marks: marks, at: now)
        tellMissing(standing.marked == nil)
        var next = watch
        switch next.observe(realised: standing.realised, marked: standing.marked, on: standing.day) {
        case .warn(let loss):
            host.alerts.fire(
                Self.warning, fingerprint: Self.warning, "The loss of the day nears its limit",
                fields: fields(loss, standing), severity: .warning)
            try await store.recordWarning(of: loss, limit: watch.limit)
        case .halt(let loss):
            let halt = try await store.halt(for: loss, limit: watch.limit, by: host.source, at: now)
            if halt == .engaged { host.outbox() }
            // Of another limit, or another day: what was told of the one before is no longer true.
            if lastState == .halted { resolveExceeded() }
            host.alerts.fire(
                Self.exceeded, fingerprint: Self.exceeded, Self.summary(of: halt), fields: fields(loss, standing))
            host.log.error(
                "daily loss reached",
                metadata: ["loss": "\(loss)", "limit": "\(watch.limit)", "kill_switch": "\(halt.rawValue)"])
        case nil: break
        }
        watch = next
        tellRecovery()
    }

    /// What was done about it, and not what was meant to be.
    private static func summary(of halt: LossHalt) -> String {
        switch halt {
        case .engaged, .stands: "The loss of the day has reached its limit: the kill switch is engaged"
        case .released:
            "The loss of the day has reached its limit; the kill switch, which a person has released since, stays "
                + "released: no entries, but whatever else trades goes on"
        }
    }

    private func fields(_ loss: Money, _ standing: SignalStore.DayStanding) -> [String: String] {
        [
            "loss": "\(loss)", "limit": "\(watch.limit)", "day": standing.day, "realised": "\(standing.realised)",
            "marked": standing.marked.map { "\($0)" } ?? "unknown",
        ]
    }

    /// A new day begins at nothing, and another limit may be far.
    private func tellRecovery() {
        if watch.state == .normal, lastState != .normal {
            host.alerts.resolve(Self.warning, kind: Self.warning, "The loss of the day is far from its limit")
        }
        if watch.state != .halted, lastState == .halted || lastState == nil { resolveExceeded() }
        lastState = watch.state
    }

    private func resolveExceeded() {
        host.alerts.resolve(Self.exceeded, kind: Self.exceeded, "A new trading day, or another limit")
    }

    private func tellMissing(_ isMissing: Bool) {
        looksWithoutMark = isMissing ? looksWithoutMark + 1 : 0
        if looksWithoutMark == Self.patience {
            host.alerts.fire(
                Self.unmarked, fingerprint: Self.unmarked,
                "An open position has no price: its loss cannot be seen, and there are no entries",
                severity: .warning)
        } else if !isMissing, lastState == nil || wasTold {
            host.alerts.resolve(Self.unmarked, kind: Self.unmarked, "Every open position has a price again")
        }
        wasTold = looksWithoutMark >= Self.patience
    }
}
