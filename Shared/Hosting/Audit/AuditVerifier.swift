/// Something that is not as it was sealed.
public struct AuditFinding: Hashable, Sendable, Codable {
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
        /// What the row says is not what was sealed.
        case edited
        /// Places of the chain have no row.
        case missing
        /// The row does not follow the one before it: it was moved, or one of the two was sealed anew.
        case brokenLink = "broken_link"
        /// Rows are sealed by their transactions; this one stands behind a later one, so it came in afterwards.
        case outOfOrder = "out_of_order"
        /// A second row at the same place.
        case doubled
        /// A row that is older than the end of the chain, and not in it.
        case inserted
        /// A place without a hash, or a hash without a place.
        case halfSealed = "half_sealed"
        /// The chain ends elsewhere than `audit_chain` says.
        case endDiffers = "end_differs"
        /// The chain is not the one whose head was kept outside the database.
        case headDiffers = "head_differs"
    }

    public let kind: Kind
    /// The place in the chain, where it has one.
    public let position: Int64?
    /// The row's id, where there is a row.
    public let row: Int64?
    /// One sentence for people.
    public let text: String

    init(_ kind: Kind, position: Int64? = nil, row: Int64? = nil, _ text: String) {
        self.kind = kind
        self.position = position
        self.row = row
        self.text = text
    }
}

/// A head of the chain that was written down outside the database.
public struct KeptHead: Hashable, Sendable {
    public let head: AuditHead
    /// Microseconds since 1970.
    public let keptAt: Int64
    /// Where it was found.
    public let source: String

    public init(_ head: AuditHead, keptAt: Int64, source: String) {
        self.head = head
        self.keptAt = keptAt
        self.source = source
    }
}

/// Walks the chain from its first row and says what is not as it was sealed.
///
/// Pure: the rows are handed in by place. One change makes one finding where it can: behind a gap or a broken link the
/// walk goes on with what is there.
public struct AuditVerifier: Sendable {
    /// At most these many are kept; all are counted.
    public static let findingsLimit = 100

    public private(set) var findings: [AuditFinding] = []
    public private(set) var findingsCount = 0
    /// Rows seen.
    public private(set) var rows: Int64 = 0
    /// The last row seen.
    public private(set) var head = AuditHead.origin
    private(set) var last: AuditRow?
    private var kept: [Int64: [KeptHead]]

    public init(kept: [KeptHead] = []) {
        self.kept = Dictionary(grouping: kept, by: \.head.position)
        compareKept(.origin)
    }

    public mutating func take(_ sealed: SealedRow) {
        let (row, position) = (sealed.row, sealed.position)
        rows += 1
        if position <= head.position {
            return add(.doubled, position, row, "row \(row.id) stands at place \(position), which has a row")
        }
        let isBehindGap = position > head.position + 1
        if isBehindGap {
            let (first, last) = (head.position + 1, position - 1)
            let places = first == last ? "place \(first) has" : "places \(first) to \(last) have"
            add(.missing, first, nil, "\(places) no row: removed")
        }
        check(sealed, after: isBehindGap ? sealed.previous : head.hash)
        if let last, row.place <= last.place {
            add(
                .outOfOrder, position, row,
                "row \(row.id) at place \(position) belongs before row \(last.id): it came in after the seal")
        } else {
            last = row
        }
        head = AuditHead(position: position, hash: sealed.hash ?? .origin)
        compareKept(head)
    }

    /// The row's own hash, and its link to the row before it; nil is a link that nothing is known of.
    private mutating func check(_ sealed: SealedRow, after previous: AuditHash?) {
        let (row, position) = (sealed.row, sealed.position)
        func fits(_ link: AuditHash?) -> Bool { link.map { row.hash(at: position, after: $0) } == sealed.hash }
        if sealed.previous != previous, fits(previous) {
            add(.edited, position, row, "row \(row.id) at place \(position) has another previous_hash than was sealed")
        } else if !fits(sealed.previous) {
            add(.edited, position, row, "row \(row.id) at place \(position) is not what was sealed")
        } else if sealed.previous != previous {
            add(
                .brokenLink, position, row,
                "row \(row.id) at place \(position) does not follow the row before it: one of the two was moved, or "
                    + "sealed anew")
        }
    }

    /// What is known when all rows were seen.
    ///
    /// `end` is what `audit_chain` says, `inserted` are rows without a seal that belong before the last sealed one, and
    /// `halfSealed` are rows with a place or a hash alone; both by id.
    public mutating func finish(end: AuditHead?, inserted: [Int64], halfSealed: [Int64]) {
        for id in inserted {
            add(.inserted, row: id, "row \(id) is older than the end of the chain and was never sealed")
        }
        for id in halfSealed { add(.halfSealed, row: id, "row \(id) has a place or a hash, but not both") }
        if let end {
            if end.position > head.position {
                add(
                    .missing, head.position + 1, nil,
                    "places \(head.position + 1) to \(end.position) have no row: removed at the end")
            } else if end != head {
                add(
                    .endDiffers, head.position, nil,
                    "the chain ends at place \(head.position) with \(head.hash), but audit_chain says place "
                        + "\(end.position) with \(end.hash)")
            }
        } else {
            add(.endDiffers, nil, nil, "audit_chain has no row")
        }
        for (position, heads) in kept.sorted(by: { $0.key < $1.key }) {
            for kept in heads {
                add(
                    .headDiffers, position, nil,
                    "a head was kept for place \(position) (\(kept.source)), but "
                        + (position > head.position ? "the chain ends at \(head.position)" : "that place has no row"))
            }
        }
    }

    private mutating func compareKept(_ head: AuditHead) {
        for kept in kept.removeValue(forKey: head.position) ?? [] where kept.head.hash != head.hash {
            add(
                .headDiffers, head.position, nil,
                "place \(head.position) had the hash \(kept.head.hash) when it was kept (\(kept.source)), now it has "
                    + "\(head.hash): the chain was written anew")
        }
    }

    private mutating func add(_ kind: AuditFinding.Kind, _ position: Int64?, _ row: AuditRow?, _ text: String) {
        add(AuditFinding(kind, position: position, row: row?.id, text))
    }

    private mutating func add(_ kind: AuditFinding.Kind, row: Int64, _ text: String) {
        add(AuditFinding(kind, row: row, text))
    }

    private mutating func add(_ finding: AuditFinding) {
        findingsCount += 1
        if findings.count < Self.findingsLimit { findings.append(finding) }
    }
}
