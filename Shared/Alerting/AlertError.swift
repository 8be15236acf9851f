/// Why an alert could not be written down or delivered.
public struct AlertError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Hashable, Sendable, CaseIterable {
        /// The alert file cannot be opened, written or synced.
        case file
        /// No space is left where the alert file is.
        case diskFull = "disk_full"
        /// 429: not so fast.
        case throttled
        /// 408, 425 or 5xx: the sink is in trouble.
        case unavailable
        /// No answer in time.
        case timeout
        /// No connection: address, TLS, or nobody listens.
        case unreachable
        /// Somebody else answered: a page instead of the sink's answer.
        case foreign
        /// 400 and the like: this message will never be taken.
        case messageRefused = "message_refused"
        /// 401, 403, 404, 410, a redirect: this address takes nothing any more.
        case sinkRefused = "sink_refused"
    }

    public let code: Code
    /// Never holds a webhook's address.
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "alert \(code.rawValue): \(message)" }

    /// Whether the same message may be taken another time.
    public var isTransient: Bool {
        switch code {
        case .messageRefused, .sinkRefused: false
        case .file, .diskFull, .throttled, .unavailable, .timeout, .unreachable, .foreign: true
        }
    }
}
