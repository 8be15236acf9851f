import Alerting
import Logging
import Postgres
import Resilience
import Runtime

/// Chains the audit log each second, and writes the chain's end into the alert file each hour (decision 0042).
///
/// Any number of them may run: the lock is in the database, and each writes into its own file.
public struct AuditSealer: Sendable {
    /// The kind of the records in the alert file.
    public static let headKind = "auditHead"
    static let lateKind = "auditUnsealed"

    private let chain: AuditChain
    private let settings: AuditSettings
    private let alerts: ServiceAlerts
    private let clock: MachineClock
    private let log: Logger
    private let sealed: Counter
    private let failures: Counter
    private let waiting: Gauge
    private let age: Gauge

    public init(_ database: PostgresPool, _ settings: AuditSettings, alerts: ServiceAlerts, in context: ProcessContext)
    {
        chain = AuditChain(database)
        self.settings = settings
        self.alerts = alerts
        clock = context.clock
        log = context.log
        sealed = context.metrics.counter("audit_rows_sealed_total", "Rows of the audit log chained by this process.")
        failures = context.metrics.counter("audit_seal_failures_total", "Rounds of sealing that failed.")
        waiting = context.metrics.gauge("audit_rows_unsealed", "Rows of the audit log that wait for their seal.")
        age = context.metrics.gauge("audit_unsealed_seconds", "How long the oldest of them has waited.")
    }

    /// Never ends by itself: PostgreSQL away is waited out.
    public func run() async throws {
        var headDue = clock.now
        var isFailing = false
        while true {
            do {
                try await round()
                if clock.now >= headDue {
                    try await keepHead()
                    headDue = clock.now.advanced(by: settings.headInterval)
                }
                isFailing = false
            } catch  where !Task.isCancelled {
                failures.increment()
                if !isFailing { log.warning("audit log not sealed", metadata: [Key.error: "\(error)"]) }
                isFailing = true
            }
            try await clock.sleep(for: settings.sealInterval)
        }
    }

    /// Seals all that is settled, and tells when rows wait too long.
    func round() async throws {
        var isWhole = false
        while !isWhole {
            switch try await chain.seal() {
            case .sealed(let count, let all):
                sealed.increment(by: count)
                isWhole = all
            case .busy: isWhole = true
            }
        }
        let backlog = try await chain.backlog()
        waiting.set(Double(backlog.rows))
        age.set(backlog.age.inSeconds)
        guard backlog.age >= settings.patience else {
            return alerts.resolve(Self.lateKind, kind: Self.lateKind, "The audit log is sealed again.")
        }
        guard !alerts.dispatcher.isFiring(Self.lateKind) else { return }
        alerts.fire(
            Self.lateKind, fingerprint: Self.lateKind,
            "Rows of the audit log wait for their seal: a transaction is open for too long.",
            fields: [
                "rows": "\(backlog.rows)", "seconds": "\(backlog.age.components.seconds)",
                "waits_for": try await chain.oldestWriter() ?? "-",
            ], severity: .warning)
    }

    func keepHead() async throws {
        guard let head = try await chain.head() else { throw AuditChain.Failure.noEnd }
        alerts.dispatcher.record(
            Self.headKind, "The audit log's chain has \(head.position) rows and ends with \(head.hash).",
            fields: ["position": "\(head.position)", "hash": "\(head.hash)"])
    }
}

extension KeptHead {
    /// Nil for any other record, or one that is not readable.
    public init?(_ record: Alert, source: String) {
        guard record.kind == AuditSealer.headKind, let position = record.detail["position"].flatMap({ Int64($0) }),
            let hash = record.detail["hash"].flatMap({ AuditHash(hex: $0) })
        else { return nil }
        self.init(AuditHead(position: position, hash: hash), keptAt: record.at, source: source)
    }
}
