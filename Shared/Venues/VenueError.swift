import Runtime

/// Why a venue did not do what was asked, classified once, where it is first seen.
public struct VenueError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A bounded set, safe as a metric label.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        // Nothing is known of the other side.
        case timeout
        case connectionFailed = "connection_failed"
        case connectionReset = "connection_reset"
        case serverError = "server_error"
        case unreadableBody = "unreadable_body"
        case bodyTooLarge = "body_too_large"
        case missingField = "missing_field"
        case invalidField = "invalid_field"
        case unexpectedStatus = "unexpected_status"
        /// A list that names a page again which was read already: how it goes on is not known.
        case repeatedCursor = "repeated_cursor"
        // The venue said so.
        case rateLimited = "rate_limited"
        case authentication
        case forbidden
        case notFound = "not_found"
        case marketNotFound = "market_not_found"
        case marketInactive = "market_inactive"
        case exchangePaused = "exchange_paused"
        case insufficientBalance = "insufficient_balance"
        case invalidOrder = "invalid_order"
        case invalidPrice = "invalid_price"
        case invalidRequest = "invalid_request"
        case deprecatedEndpoint = "deprecated_endpoint"
        case fillOrKillUnfilled = "fill_or_kill_unfilled"
        /// The client order id is known already: the very opposite of a proof that nothing was accepted.
        case duplicateOrder = "duplicate_order"
        case conflict
        case refused
        // On our side.
        case signing
        case notConfigured = "not_configured"
        case noBook = "no_book"
        case clockOffset = "clock_offset"
        /// The last look before the write said no, and `detail` why: nothing of the body left.
        case withheld
        case cancelled
    }

    public let code: Code
    /// The HTTP status, when there was an answer.
    public let status: Int?
    /// The field at fault, or the venue's own code for the error.
    public let detail: String
    public let message: String
    /// Whether an order that met this error is certainly not at the venue: an explicit refusal.
    ///
    /// Time-outs, resets, server errors and unreadable bodies prove nothing (DESIGN rule 6).
    public let provesNonAcceptance: Bool
    /// How long the venue asked to be left alone, with a 429 as a rule; nil when it did not say.
    public let retryAfter: Duration?

    public init(
        _ code: Code, status: Int? = nil, detail: String = "", message: String = "",
        provesNonAcceptance: Bool = false, retryAfter: Duration? = nil
    ) {
        self.code = code
        self.status = status
        self.detail = String(detail.prefix(128))
        self.message = String(message.prefix(256))
        self.provesNonAcceptance = provesNonAcceptance
        self.retryAfter = retryAfter
    }

    /// Whether reading again may help.
    public var isTransient: Bool {
        switch code {
        case .timeout, .connectionFailed, .connectionReset, .serverError, .rateLimited, .exchangePaused,
            .repeatedCursor:
            true
        default: false
        }
    }

    public var description: String {
        var text = code.rawValue
        if let status { text += " (\(status))" }
        if !detail.isEmpty { text += " \(detail)" }
        return message.isEmpty ? text : text + ": \(message)"
    }
}
