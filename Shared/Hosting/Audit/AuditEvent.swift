import Domain

/// What the audit log tells of (CHECKLIST R92); docs/AUDIT.md says who writes each, and in which transaction.
///
/// The first fifteen are the field's (DOMAIN 1.7); the others are ours. The raw value is what is stored: none is ever
/// renamed.
public enum AuditEvent: String, Hashable, Sendable, Codable, CaseIterable {
    /// An intent was approved and stored: an order is asked for.
    case executionRequested = "execution_requested"
    /// The order was marked as sent, directly before its request was written.
    case orderPlaced = "order_placed"
    case orderFilled = "order_filled"
    case orderPartialFill = "order_partial_fill"
    /// The venue said no.
    case orderRejected = "order_rejected"
    /// It ended without the venue having had it: never sent, or proven not to have arrived.
    case orderFailed = "order_failed"
    case orderCancelled = "order_cancelled"
    case killSwitchActivated = "kill_switch_activated"
    case killSwitchDeactivated = "kill_switch_deactivated"
    /// An intent was refused: too many orders in the last minute or hour.
    case rateLimitExceeded = "rate_limit_exceeded"
    /// The same signal again: nothing was done.
    case duplicateDetected = "duplicate_detected"
    /// An intent was refused: the balance does not cover it, is too old, or could not be read.
    case insufficientBalance = "insufficient_balance"
    /// An intent was refused: its price is out of bounds, or the market has moved away.
    case priceSanityFailed = "price_sanity_failed"
    case dailyLossWarning = "daily_loss_warning"
    case dailyLossExceeded = "daily_loss_exceeded"

    case signalApproved = "signal_approved"
    case signalRefused = "signal_refused"
    /// The order was stored under its venue key; nothing has been sent.
    case orderStored = "order_stored"
    case orderResting = "order_resting"
    /// The answer was lost, or tells of more than we have seen.
    case orderUnknown = "order_unknown"
    /// Fills of an order whose state they do not change.
    case orderFills = "order_fills"
    /// It was not sent, on purpose: shadow mode.
    case orderExpired = "order_expired"
    case intentExpired = "intent_expired"
    /// An intent was refused for a reason that has no event of its own.
    case intentRefused = "intent_refused"
    /// A position is to be sold before its market ends; `reason` says why.
    case exitRequested = "exit_requested"
    /// The venue took back what it had called a trade.
    case fillReversed = "fill_reversed"
    case positionSettled = "position_settled"
    /// A market was settled in which nothing of ours ever traded: nothing is paid.
    case settlementUnmatched = "settlement_unmatched"
    case reconciliationMismatch = "reconciliation_mismatch"
    case reconciliationEqual = "reconciliation_equal"
    /// A fill in the account of an order that is not ours.
    case foreignFill = "foreign_fill"
    /// A person made an order that we did not know Linesman's own, with its fills.
    case orderAdopted = "order_adopted"
    /// One leg of an arbitrage was missed; the other one is covered or sold again.
    case legMissed = "leg_missed"
    case legNakedTooLong = "leg_naked_too_long"
    /// The kill switch or an open reconciliation holds back what would make the legs even.
    case legHeldBack = "leg_held_back"
    /// An order of an arbitrage that had been given up has traded.
    case planStraggler = "plan_straggler"
    case planFinished = "plan_finished"
    /// A person has found that two markets pay on the same terms, or takes it back.
    case termsMatched = "terms_matched"
    case termsUnmatched = "terms_unmatched"
    /// A person has changed a limit of new entries, or taken a change back.
    case limitChanged = "limit_changed"
    /// A signal-processor decides by the limits as they are now.
    case limitsTaken = "limits_taken"
    /// A person has the database trade for another account, paper or live.
    case accountChanged = "account_changed"
    /// What an operator asked the orchestrator to do, before it is done.
    case operatorOrder = "operator_order"
    case operatorAnswer = "operator_answer"
    /// What came in made no sense: the first of its kind and minute, or how many came after it.
    case inputRefused = "input_refused"

    /// The fifteen of DOMAIN 1.7.
    public static let ofTheField: [AuditEvent] = Array(allCases.prefix(15))
}

extension AuditEntry {
    public init(
        _ event: AuditEvent, intent: IntentID? = nil, order: OrderID? = nil, market: MarketID? = nil,
        game: GameID? = nil, details: [String: String] = [:]
    ) {
        self.init(event.rawValue, intent: intent, order: order, market: market, game: game, details: details)
    }
}
