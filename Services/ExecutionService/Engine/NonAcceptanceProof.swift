import Resilience

/// What it takes to say that a venue never accepted an order whose answer was lost (DESIGN rule 6).
///
/// A closed connection, then a wait, then two full pagings of the venue's orders and fills, each begun after the wait,
/// neither of them naming it. A failed or partial paging proves nothing: an outage is not "not found". Legal steps:
/// `open -> waiting -> paging -> proven`; a sighting ends it at any step.
public struct NonAcceptanceProof: Hashable, Sendable {
    /// Between the close of the connection and the first paging that counts.
    public let wait: Duration
    public let pagingsNeeded: Int
    public private(set) var connectionClosedAt: MachineInstant?
    public private(set) var pagings = 0

    public init(wait: Duration = .seconds(10), pagingsNeeded: Int = 2) {
        precondition(wait >= .zero && pagingsNeeded >= 1, "wait \(wait), pagings \(pagingsNeeded)")
        self.wait = wait
        self.pagingsNeeded = pagingsNeeded
    }

    public var isProven: Bool { pagings >= pagingsNeeded }

    /// The connection on which the order was written is gone.
    ///
    /// Only the first close counts.
    public mutating func connectionClosed(at now: MachineInstant) {
        if connectionClosedAt == nil { connectionClosedAt = now }
    }

    /// When the next paging would count; nil while the connection is open or the proof is complete.
    public var nextPagingAt: MachineInstant? {
        isProven ? nil : connectionClosedAt.map { $0.advanced(by: wait) }
    }

    /// All orders and all fills were paged through to the end, without a sign of the order.
    ///
    /// - Parameter start: when the first page was asked for.
    public mutating func pagedWithoutIt(startedAt start: MachineInstant) {
        guard let earliest = nextPagingAt, start >= earliest else { return }
        pagings += 1
    }
}
