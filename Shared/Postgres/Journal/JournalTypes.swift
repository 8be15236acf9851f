import Runtime

/// Where deferred writes wait while the database is away, and how many.
public struct JournalSettings: Sendable {
    /// The folder; each service and instance has one of its own below it.
    public var path = "/var/lib/linesman/journal"
    /// What is on disk and not yet stored, at most.
    public var byteLimit = 256 << 20
    public var recordLimit = 1_000_000
    /// A file that is longer is followed by a new one; what is stored is removed file by file.
    public var segmentBytes = 8 << 20
    /// Rows of one transaction, and how long it may take.
    public var batchLimit = 200
    public var timeout = Duration.seconds(5)
    /// Rows in memory that are on their way to the database or the disk.
    public var pendingLimit = 10_000
    /// Between two attempts while the database is away.
    public var retryBase = Duration.milliseconds(100)
    public var retryCap = Duration.seconds(2)

    public init() {}

    public init(_ reader: SettingsReader) {
        path = reader.text(
            "DB_JOURNAL_PATH", default: path, "Folder for rows that wait while the database is away.")
        byteLimit = reader.integer(
            "DB_JOURNAL_MAX_BYTES", default: byteLimit, in: (1 << 16)...(1 << 40),
            "Most bytes of rows that wait on disk; newer rows are refused and counted.")
        recordLimit = reader.integer(
            "DB_JOURNAL_MAX_RECORDS", default: recordLimit, in: 1...100_000_000,
            "Most rows that wait on disk; newer rows are refused and counted.")
        reader.require(!path.isEmpty, ["DB_JOURNAL_PATH"], "a folder is needed")
    }
}

/// Why a deferred write was not kept.
public struct JournalError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Bounded, so it can label a metric.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        /// A bound of the journal is reached: what is kept stays, what is new is refused.
        case full
        /// The disk is full (ENOSPC, EDQUOT).
        case diskFull
        /// The folder or a file cannot be used.
        case file
        /// Another process has the folder.
        case locked
        /// The record is longer than a record may be.
        case tooLarge
        /// The database refuses the row for good; it is kept as a dead letter.
        case refused
        /// The journal has ended.
        case closed
    }

    public let code: Code
    public let message: String

    public var description: String { "\(code.rawValue): \(message)" }
}

/// What the journal has done and holds.
public struct JournalStatistics: Hashable, Sendable {
    /// On disk and not yet stored.
    public var records = 0
    public var bytes = 0
    /// Stored without the disk.
    public var direct = 0
    /// Written to disk, and stored from there.
    public var journaled = 0
    public var replayed = 0
    /// Not kept, for whatever reason.
    public var refused = 0
    public var deadLetters = 0
    /// Bytes of writes that a crash had cut off, and records whose bytes have changed.
    public var tornBytes = 0
    public var damaged = 0
    /// Why the disk could not be used the last time; nil once it could.
    public var diskFailure: String?

    public init() {}
}

/// The journal's metrics.
struct JournalMetrics: Sendable {
    let direct: Counter
    let journaled: Counter
    let replayed: Counter
    let deadLetters: Counter
    let tornBytes: Counter
    let damaged: Counter
    private let records: Gauge
    private let bytes: Gauge
    private let registry: MetricsRegistry

    init(_ registry: MetricsRegistry) {
        self.registry = registry
        direct = registry.counter("db_journal_direct_total", "deferred rows stored without the disk")
        journaled = registry.counter("db_journal_journaled_total", "deferred rows written to disk")
        replayed = registry.counter("db_journal_replayed_total", "deferred rows stored from disk")
        deadLetters = registry.counter("db_journal_dead_letters_total", "deferred rows that the database refuses")
        tornBytes = registry.counter("db_journal_torn_bytes_total", "bytes of writes that a crash had cut off")
        damaged = registry.counter("db_journal_damaged_total", "records on disk whose bytes have changed")
        records = registry.gauge("db_journal_records", "rows that wait on disk")
        bytes = registry.gauge("db_journal_bytes", "bytes of rows that wait on disk")
        // There before the first: what a counter is born with, nobody who asks for its increase sees.
        for code in JournalError.Code.allCases { refused(code, 0) }
    }

    func refused(_ code: JournalError.Code, _ count: Int) {
        registry.counter(
            "db_journal_refused_total", "deferred rows that were not kept", labels: ["code": code.rawValue]
        ).increment(by: count)
    }

    func set(_ contents: JournalFolder.Contents) {
        records.set(contents.records)
        bytes.set(contents.bytes)
    }
}
