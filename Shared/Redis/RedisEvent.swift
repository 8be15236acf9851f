import Resilience

/// One of a client's two connections; the raw value is its metric label.
public enum RedisLinkRole: String, Hashable, Sendable, CaseIterable {
    case commands
    case subscriptions
}

/// What happened to a client's connections, for an operator: logged, counted, and handed out by `RedisClient.events`.
public enum RedisEvent: Hashable, Sendable {
    /// Logged in, and the server is ready.
    case connected(RedisLinkRole, RedisServer, isReconnect: Bool)
    /// Connected, but the server loads its data or runs a script; it is asked again on this connection.
    case waiting(RedisLinkRole, RedisError.Code)
    /// A connection that was up has ended.
    case lost(RedisLinkRole, RedisError.Code, retryIn: Duration)
    /// An attempt to connect or to log in has failed.
    case attemptFailed(RedisLinkRole, RedisError.Code, retryIn: Duration)
    case breaker(RedisLinkRole, CircuitBreaker.State)
    /// From `since`, the last sign of life, messages are missed on so many subscriptions.
    case gapOpened(since: MachineInstant, subscriptions: Int)
    /// Every subscription is live again.
    case gapClosed(after: Duration)
    /// The server refuses a name: that subscription is deaf until it is permitted.
    case subscriptionRefused(RedisError.Code)
    /// An error reply that tells of the server's state or of our rights; the same one at most every 10 s.
    case refused(RedisError.Code)
    /// So many connections of an earlier life of this process were still open at the server, and were closed.
    case leftoversRemoved(Int)
    /// The server cuts a subscriber off at so many unread bytes, less than wanted (PITFALLS 5.35).
    case outputBufferLimitTooLow(limit: Int, minimum: Int)
    /// While this client was away the server cut off so many clients for reading too slowly; the lost connection was
    /// probably one of them (PITFALLS 5.36).
    case outputBufferOverrun(clients: Int)
}

extension RedisEvent {
    /// A closed set: the metric label.
    enum Kind: String, Hashable, Sendable, CaseIterable {
        case connected
        case waiting
        case lost
        case attemptFailed = "attempt_failed"
        case breaker
        case gapOpened = "gap_opened"
        case gapClosed = "gap_closed"
        case subscriptionRefused = "subscription_refused"
        case refused
        case leftoversRemoved = "leftovers_removed"
        case outputBufferLimitTooLow = "output_buffer_limit_too_low"
        case outputBufferOverrun = "output_buffer_overrun"
    }

    var kind: Kind {
        switch self {
        case .connected: .connected
        case .waiting: .waiting
        case .lost: .lost
        case .attemptFailed: .attemptFailed
        case .breaker: .breaker
        case .gapOpened: .gapOpened
        case .gapClosed: .gapClosed
        case .subscriptionRefused: .subscriptionRefused
        case .refused: .refused
        case .leftoversRemoved: .leftoversRemoved
        case .outputBufferLimitTooLow: .outputBufferLimitTooLow
        case .outputBufferOverrun: .outputBufferOverrun
        }
    }
}
