import Foundation

/// Something that an operator must know, from the moment it was noticed; its text never changes afterwards.
public struct Alert: Hashable, Sendable, Codable {
    public enum State: String, Hashable, Sendable, Codable {
        case firing
        case recovered
    }

    public let id: String
    /// Named as in the glossary, for example `databaseConnectivityIssue`.
    public let kind: String
    /// Stable for one cause: the key of the rate limit, and what a recovery refers to.
    public let fingerprint: String
    public let state: State
    public let summary: String
    public let detail: [String: String]
    /// `service/instance` that noticed.
    public let source: String
    /// Wall time in microseconds since 1970.
    public let at: Int64
    /// How many of the same fingerprint were held back since the last one that was delivered.
    public internal(set) var suppressed: Int
    /// For a recovery: how long the cause lasted, in milliseconds.
    public internal(set) var lastedMilliseconds: Int64?

    public init(
        id: String, kind: String, fingerprint: String, state: State, summary: String, detail: [String: String],
        source: String, at: Int64
    ) {
        self.id = id
        self.kind = kind
        self.fingerprint = fingerprint
        self.state = state
        self.summary = summary
        self.detail = detail
        self.source = source
        self.at = at
        suppressed = 0
        lastedMilliseconds = nil
    }

    /// One line of JSON with sorted keys.
    func line() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }
}
