/// The server a connection leads to.
public struct RedisServer: Hashable, Sendable {
    /// New at each start of the server; empty if the login may not read it.
    public let runID: String
    /// Which connection this is, counted from 1.
    public let connection: Int
}

/// A version of the server, as `redis_version` spells it.
public struct RedisVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let major: Int
    public let minor: Int

    /// `SET … NX GET`, which marks the data of a journal, came with 7.0.
    public static let minimum = RedisVersion(major: 7, minor: 0)

    public init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// - Returns: nil for anything that does not begin with two numbers.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 2, let major = Int(parts[0]), let minor = Int(parts[1]) else { return nil }
        self.init(major: major, minor: minor)
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    public var description: String { "\(major).\(minor)" }
}

/// How much unread data the server keeps for a subscriber before it cuts it off; zero means no limit.
public struct OutputBufferLimit: Hashable, Sendable {
    /// Bytes that end the connection at once.
    public let hard: Int
    /// Bytes that end it when they are exceeded for `softSeconds`.
    public let soft: Int
    public let softSeconds: Int

    public init(hard: Int, soft: Int, softSeconds: Int) {
        self.hard = hard
        self.soft = soft
        self.softSeconds = softSeconds
    }

    /// Reads the class `pubsub` of `client-output-buffer-limit`: `normal 0 0 0 slave … pubsub 33554432 8388608 60`.
    init?(setting: String) {
        let words = setting.split(separator: " ")
        guard let place = words.firstIndex(of: "pubsub"), words.count >= place + 4,
            let hard = Int(words[place + 1]), let soft = Int(words[place + 2]), let seconds = Int(words[place + 3])
        else { return nil }
        self.init(hard: hard, soft: soft, softSeconds: seconds)
    }

    /// The smaller of the limits that are set.
    public var smallest: Int? { [hard, soft].filter { $0 > 0 }.min() }

    /// Whether the hard limit is below `minimum`, or the soft one below a quarter of it, which is how the server's own
    /// defaults relate.
    func isBelow(_ minimum: Int) -> Bool {
        (hard > 0 && hard < minimum) || (soft > 0 && soft < minimum / 4)
    }
}

/// What a server says of itself when a client logs in; what the login may not read is missing.
struct RedisServerFacts: Hashable, Sendable {
    var runID = ""
    var version: RedisVersion?
    /// `redis_version` as it was given.
    var versionText: String?
    var pubsubLimit: OutputBufferLimit?
    /// Clients the server has cut off for reading too slowly, since its start; newer servers than 7.2 tell.
    var overruns: Int?

    /// Takes what it knows from the text of INFO.
    mutating func read(info: String) {
        for line in info.split(whereSeparator: \.isNewline) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...]
            switch line[..<colon] {
            case "run_id": runID = String(value)
            case "redis_version":
                versionText = String(value)
                version = RedisVersion(value)
            case "client_output_buffer_limit_disconnections": overruns = Int(value)
            default: break
            }
        }
    }

    /// - Throws: `serverTooOld`.
    func requireVersion() throws(RedisError) {
        guard let version, version < .minimum else { return }
        throw RedisError(
            .serverTooOld,
            "the server is Redis \(version), which lacks SET NX GET: upgrade it to \(RedisVersion.minimum)")
    }
}
