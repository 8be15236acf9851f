import Foundation

/// How much an alert matters: what is given up first when there is no room, and how it is shown.
public enum AlertSeverity: String, Hashable, Sendable, Codable, CaseIterable, Comparable {
    case info
    case warning
    case critical

    private var rank: Int {
        switch self {
        case .info: 0
        case .warning: 1
        case .critical: 2
        }
    }

    public static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

/// One record of the alert file: something that an operator must know, frozen when it was noticed.
///
/// Every attempt to deliver it says the same, however late (PITFALLS 6, requirement 6).
public struct Alert: Hashable, Sendable, Codable {
    public enum State: String, Hashable, Sendable, Codable {
        case firing
        case recovered
    }

    /// Its place in the alert file; grows by one.
    public internal(set) var sequence: Int64
    public let id: String
    /// Named as in the glossary, for example `DatabaseConnectivityIssue`.
    public let kind: String
    public let severity: AlertSeverity
    /// Stable for one cause: the key of the rate limit, and what a recovery refers to.
    public let fingerprint: String
    public let state: State
    public let summary: String
    public let detail: [String: String]
    /// `service/instance` that noticed.
    public let source: String
    /// Wall time in microseconds since 1970.
    public let at: Int64
    /// Held back by the rate limit: in the file only.
    public internal(set) var isHeld: Bool
    /// How many of the same fingerprint were held back since the last one that was told.
    public internal(set) var suppressed: Int
    /// For a recovery: how long the cause lasted, in milliseconds.
    public internal(set) var lastedMilliseconds: Int64?
    /// The sink that it is about, which therefore does not get it.
    public internal(set) var aboutSink: String?
    /// Whether a recovery follows; false for what merely happened.
    public internal(set) var isLasting: Bool
    /// True for evidence: nobody is ever told of it, also not after a restart.
    ///
    /// Otherwise nil, and not in the line.
    public internal(set) var isFileOnly: Bool?

    init(_ request: AlertRequest, state: State, summary: String? = nil) {
        sequence = 0
        id = request.id
        kind = request.kind
        severity = request.severity
        fingerprint = request.fingerprint
        self.state = state
        self.summary = summary ?? request.summary
        detail = request.detail
        source = request.source
        at = request.at
        isHeld = false
        suppressed = 0
        lastedMilliseconds = nil
        aboutSink = request.aboutSink
        isLasting = request.isLasting
    }

    private enum CodingKeys: String, CodingKey {
        case sequence, id, kind, severity, fingerprint, state, summary, detail, source, at, suppressed
        case isHeld = "held"
        case lastedMilliseconds = "lasted_ms"
        case aboutSink = "about_sink"
        case isLasting = "lasting"
        case isFileOnly = "file_only"
    }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        sequence = try fields.decodeIfPresent(Int64.self, forKey: .sequence) ?? 0
        id = try fields.decode(String.self, forKey: .id)
        kind = try fields.decode(String.self, forKey: .kind)
        severity = try fields.decodeIfPresent(AlertSeverity.self, forKey: .severity) ?? .critical
        fingerprint = try fields.decode(String.self, forKey: .fingerprint)
        state = try fields.decode(State.self, forKey: .state)
        summary = try fields.decode(String.self, forKey: .summary)
        detail = try fields.decodeIfPresent([String: String].self, forKey: .detail) ?? [:]
        source = try fields.decode(String.self, forKey: .source)
        at = try fields.decode(Int64.self, forKey: .at)
        isHeld = try fields.decodeIfPresent(Bool.self, forKey: .isHeld) ?? false
        suppressed = try fields.decodeIfPresent(Int.self, forKey: .suppressed) ?? 0
        lastedMilliseconds = try fields.decodeIfPresent(Int64.self, forKey: .lastedMilliseconds)
        aboutSink = try fields.decodeIfPresent(String.self, forKey: .aboutSink)
        isLasting = try fields.decodeIfPresent(Bool.self, forKey: .isLasting) ?? true
        isFileOnly = try fields.decodeIfPresent(Bool.self, forKey: .isFileOnly)
    }

    /// One line of JSON with sorted keys and its line feed.
    func line() throws -> Data {
        try AlertJSON.encoder.encode(self) + Data("\n".utf8)
    }
}

enum AlertJSON {
    static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }
}

/// What somebody noticed, bounded in every field before anything is done with it.
public struct AlertRequest: Hashable, Sendable {
    public let id: String
    public let kind: String
    public let severity: AlertSeverity
    public let fingerprint: String
    public let summary: String
    public let detail: [String: String]
    public let source: String
    /// Wall time in microseconds since 1970.
    public let at: Int64
    /// Whether the cause lasts until it is resolved; false for what merely happened.
    public let isLasting: Bool
    var aboutSink: String?

    /// A Slack section holds 3,000 characters; longer texts keep their head and their tail.
    static let textLimit = 3_000
    static let nameLimit = 200
    static let detailLimit = 50

    public init(
        id: String, kind: String, severity: AlertSeverity = .critical, fingerprint: String, summary: String,
        detail: [String: String] = [:], source: String, at: Int64, isLasting: Bool = true
    ) {
        self.id = AlertText.bounded(id, to: Self.nameLimit)
        self.kind = AlertText.bounded(kind, to: 64)
        self.severity = severity
        self.fingerprint = Self.bounded(fingerprint: fingerprint)
        self.summary = AlertText.bounded(summary, to: Self.textLimit)
        var kept: [String: String] = [:]
        for (key, value) in detail.sorted(by: { $0.key < $1.key }).prefix(Self.detailLimit) {
            kept[AlertText.bounded(key, to: 64)] = AlertText.bounded(value, to: Self.textLimit)
        }
        self.detail = kept
        self.source = AlertText.bounded(source, to: Self.nameLimit)
        self.at = at
        self.isLasting = isLasting
    }

    /// Two long fingerprints that differ in the middle must stay two.
    static func bounded(fingerprint: String) -> String {
        let plain = AlertText.visible(fingerprint)
        guard plain.utf16.count > nameLimit else { return plain }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in plain.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return AlertText.bounded(plain, to: nameLimit - 17) + "#" + String(hash, radix: 16)
    }
}

/// Texts of strangers, made fit to be shown.
enum AlertText {
    /// Without control characters, which could move a terminal's cursor or hide what follows.
    static func visible(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl =
                scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
            result.append(isControl && scalar != "\n" ? " " : scalar)
        }
        return String(result)
    }

    /// At most `limit` UTF-16 units: two thirds of them from the head, one third from the tail.
    static func bounded(_ text: String, to limit: Int) -> String {
        truncated(visible(text), to: limit)
    }

    static func truncated(_ text: String, to limit: Int) -> String {
        guard text.utf16.count > limit else { return text }
        let mark = " … "
        let room = max(0, limit - mark.utf16.count)
        let tail = prefix(String(text.reversed()), room - room * 2 / 3)
        return prefix(text, room * 2 / 3) + mark + String(tail.reversed())
    }

    /// Whole characters from the start, at most `limit` UTF-16 units.
    private static func prefix(_ text: String, _ limit: Int) -> String {
        var result = ""
        var size = 0
        for character in text {
            size += character.utf16.count
            if size > limit { break }
            result.append(character)
        }
        return result
    }
}
