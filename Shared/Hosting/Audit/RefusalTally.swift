import Resilience

/// What was refused outside any transaction, for one reason that is told apart from others.
public struct Refusal: Hashable, Sendable {
    /// A bounded set, safe as a metric label.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// A message that cannot be decoded; `source` is its channel.
        case deadLetter = "dead_letter"
        /// A signal that can never be stored; `source` is its channel.
        case signalPutAside = "signal_put_aside"
        /// An answer of a venue that makes no sense; `source` is the error's code.
        case venueAnswer = "venue_answer"
        /// A price that is dated ahead of venue time; `source` is who told it.
        case priceAhead = "price_ahead"
        /// A trading rule that is not understood; `source` is its table.
        case tradingRule = "trading_rule"
        /// An order of a plan that was not stored; `source` is the reason.
        case planOrder = "plan_order"
        /// More than are told apart.
        case others
    }

    public let event: AuditEvent
    public let kind: Kind
    public let source: String

    public init(_ kind: Kind, from source: String, event: AuditEvent = .inputRefused) {
        (self.event, self.kind, self.source) = (event, kind, source)
    }
}

/// Makes few rows of many refusals: the first of each at once, those after it counted until a minute has passed.
///
/// Whatever floods us, there are at most `limit + 1` rows a minute, and as many in memory while they cannot be written;
/// what is refused meanwhile is counted in them. Beyond `limit` all are counted as `others`.
struct RefusalTally: Sendable {
    static let interval = Duration.seconds(60)
    static let limit = 32

    /// What a row says.
    struct Row: Hashable, Sendable {
        let refusal: Refusal
        /// Since the row before.
        let count: Int
        /// Of the first of them.
        let details: [String: String]
    }

    private struct Entry {
        var count = 0
        var details: [String: String] = [:]
        var due: MachineInstant
    }

    private var entries: [Refusal: Entry] = [:]

    /// When a row is to be written next; nil when nothing waits.
    var due: MachineInstant? { entries.values.lazy.filter { $0.count > 0 }.map(\.due).min() }

    /// Refusals that no row tells of yet.
    var waiting: Int { entries.values.reduce(0) { $0 + $1.count } }

    /// - Returns: false when it is not told apart from others.
    mutating func note(_ refusal: Refusal, _ details: [String: String], at now: MachineInstant) -> Bool {
        var refusal = refusal
        if entries[refusal] == nil, entries.count >= Self.limit {
            entries = entries.filter { $0.value.count > 0 || $0.value.due > now }
            if entries.count >= Self.limit { refusal = Refusal(.others, from: "") }
        }
        var entry = entries[refusal] ?? Entry(due: now)
        if entry.count == 0 { entry.details = details }
        entry.count += 1
        entries[refusal] = entry
        return refusal.kind != .others
    }

    /// Takes off the rows that are due, or all that there is to say; who cannot write them puts them back.
    mutating func take(at now: MachineInstant, all: Bool = false) -> [Row] {
        var rows: [Row] = []
        for (refusal, entry) in entries where entry.count > 0 && (all || entry.due <= now) {
            rows.append(Row(refusal: refusal, count: entry.count, details: entry.details))
            entries[refusal] = Entry(due: now.advanced(by: Self.interval))
        }
        return rows.sorted {
            ($0.refusal.kind.rawValue, $0.refusal.source, $0.refusal.event.rawValue)
                < ($1.refusal.kind.rawValue, $1.refusal.source, $1.refusal.event.rawValue)
        }
    }

    /// They were not written: they are due, with what came meanwhile.
    mutating func putBack(_ rows: [Row], at now: MachineInstant) {
        for row in rows {
            entries[row.refusal] = Entry(
                count: row.count + (entries[row.refusal]?.count ?? 0), details: row.details, due: now)
        }
    }
}
