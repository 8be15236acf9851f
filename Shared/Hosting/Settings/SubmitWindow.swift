/// How long an order may be on its way, so that no proof of its absence is complete before it is (DESIGN rule 6).
///
/// A second process may take an order up as soon as its row is committed, and begin to wait for its proof. Whoever
/// stored the order may still write it: it is held up for less than a quarter of that wait, its answer is waited for
/// during half of it at most, and the grace is no longer than the last quarter. So the last byte leaves before the
/// first paging that counts, whatever is set.
public struct SubmitWindow: Hashable, Sendable {
    /// What a venue may take beyond an order's time-out before its answer is given up.
    public static let grace = Duration.milliseconds(250)
    /// The shortest wait with a quarter as long as the grace.
    public static let shortestProofWait = Duration.seconds(1)

    /// From the close of a connection to the first paging that counts.
    public let proofWait: Duration
    /// How long an order's answer is waited for.
    public let timeout: Duration

    /// A time-out longer than half of the wait is cut to it.
    public init(proofWait: Duration, timeout: Duration) {
        precondition(proofWait >= Self.shortestProofWait && timeout > .zero, "wait \(proofWait), time-out \(timeout)")
        self.proofWait = proofWait
        self.timeout = min(timeout, Self.longestTimeout(of: proofWait))
    }

    public static func longestTimeout(of proofWait: Duration) -> Duration { proofWait / 2 }

    /// Whether an order may still be written this long after its storing began.
    public func permits(heldUp: Duration) -> Bool { heldUp < proofWait / 4 }
}
