import Domain
import Resilience

/// What to do with an intent that waits.
public enum SendDecision: Hashable, Sendable {
    /// Store an order of this attempt, then send it.
    case send(attempt: Int)
    case expire
    case refuse(SendRefusal)
    /// An order of it is still open or unknown: nothing is sent, and nothing is released.
    case wait
}

/// What to do about an order whose fate is not known.
public enum UnknownStep: Hashable, Sendable {
    /// Look at the venue's orders and fills now.
    case page
    /// It is proven that the venue never had it. `retries` when the intent still lives and attempts are left.
    case absent(retries: Bool)
    case wait
}

/// Decides what is sent, and what is concluded from silence.
///
/// Everything durable is in PostgreSQL and handed in; what is kept here, the evidence about unknown orders, may be
/// lost with the process, because losing it only makes the proof start again.
public struct ExecutionServiceEngine: Sendable {
    public let safeguards: Safeguards
    /// Orders that one intent may make, each only after proof that the one before was never accepted.
    public let attempts: Int
    private let proof: NonAcceptanceProof
    private var evidence: [OrderID: NonAcceptanceProof] = [:]

    public init(safeguards: Safeguards, attempts: Int = 2, proof: NonAcceptanceProof = NonAcceptanceProof()) {
        precondition(attempts >= 1, "attempts \(attempts)")
        self.safeguards = safeguards
        self.attempts = attempts
        self.proof = proof
    }

    /// Whether to send an approved intent now.
    ///
    /// `earlier` are its orders so far; another attempt needs every one of them to be proven absent. One that was
    /// called absent and has traded after all was the last: the intent ends, and frees what is left of its reservation.
    public func decide(
        _ intent: ApprovedIntent, earlier: [OrderRecord], reduces: Bool = false, _ context: SendContext,
        at now: VenueInstant
    ) -> SendDecision {
        guard earlier.allSatisfy(\.isProvenAbsent) else {
            return earlier.allSatisfy(\.wasCalledAbsent) ? .expire : .wait
        }
        if intent.expiresAt <= now || earlier.count >= attempts { return .expire }
        if let refusal = safeguards.refusal(of: intent, reduces: reduces, context) { return .refuse(refusal) }
        return .send(attempt: earlier.count + 1)
    }

    /// The same, with what is held of the intent's market: a sale is an exit, or it is refused.
    ///
    /// `counted` is what arbitrages hold of it, in 1/100 contract of YES, below zero of NO: no exit sells that.
    public func decide(
        _ intent: ApprovedIntent, earlier: [OrderRecord], position: Position, counted: Int64 = 0,
        _ context: SendContext, at now: VenueInstant
    ) -> SendDecision {
        let reduces = position.market == intent.market && position.isReduced(by: intent, counted: counted)
        let decision = decide(intent, earlier: earlier, reduces: reduces, context, at: now)
        if case .send = decision, intent.action == .sell, !reduces { return .refuse(.notHeld) }
        return decision
    }

    /// Orders under investigation, sorted.
    public var unknownOrders: [OrderID] { evidence.keys.sorted() }

    /// An order's answer is missing.
    ///
    /// `connectionClosed` says whether the connection it was written on is gone, as it is after a restart.
    public mutating func missing(_ order: OrderID, connectionClosed: Bool, at now: MachineInstant) {
        var found = evidence[order] ?? proof
        if connectionClosed { found.connectionClosed(at: now) }
        evidence[order] = found
    }

    /// The venue's orders and fills were paged through to their ends without a sign of it.
    public mutating func pagedWithout(_ order: OrderID, startedAt start: MachineInstant) {
        evidence[order]?.pagedWithoutIt(startedAt: start)
    }

    /// Its fate is known.
    public mutating func resolved(_ order: OrderID) {
        evidence[order] = nil
    }

    /// What to do next about an order that is unknown or rests.
    ///
    /// Before the proof may begin it is looked for all the same: finding it early is the common case.
    public func next(
        for order: OrderRecord, intentExpiresAt: VenueInstant, at now: VenueInstant, machine: MachineInstant
    ) -> UnknownStep {
        if order.state == .resting { return .page }
        guard order.state == .unknown, let found = evidence[order.request.id] else { return .wait }
        guard found.isProven, order.venueOrder == nil, order.filled.isZero else { return .page }
        return .absent(retries: order.attempt < attempts && now < intentExpiresAt)
    }
}

extension Position {
    /// Whether an intent can only make this position smaller, and sells nothing that an arbitrage counts on.
    public func isReduced(by intent: ApprovedIntent, counted: Int64) -> Bool {
        isReduced(by: intent.outcome, intent.action, intent.quantity)
            && (intent.action == .buy || intent.quantity <= free(of: counted))
    }
}
