import Domain

/// How a process says that it is doing (CHECKLIST R38).
///
/// `dead` is only ever concluded by others.
public enum ServiceStatus: String, Hashable, Sendable, Codable, CaseIterable {
    case starting
    case healthy
    case degraded
    case unhealthy
    case stopping
    case dead
}

/// "I am here, this is how I am, and this is what I hold" (CHECKLIST R36).
public struct Heartbeat: WireMessage, Hashable {
    public static let type = "heartbeat"

    /// A game that the sender watches, and under which epoch.
    public struct WatchedGame: Codable, Hashable, Sendable {
        public let game: GameID
        public let epoch: Epoch
        /// How many of its markets have no fresh book: 0 when the sender sees all of them; nil from senders that do
        /// not say.
        public let missingBooks: Int?

        public init(game: GameID, epoch: Epoch, missingBooks: Int? = nil) {
            self.game = game
            self.epoch = epoch
            self.missingBooks = missingBooks
        }

        private enum CodingKeys: String, CodingKey {
            case game
            case epoch
            case missingBooks = "missing_books"
        }
    }

    public let service: String
    public let instance: String
    public let incarnation: Incarnation
    public let processID: Int32
    /// Wall time in microseconds since 1970.
    public let startedAt: Int64
    /// Counts this incarnation's heartbeats from 1; a grant names it.
    public let beat: Int64
    public let status: ServiceStatus
    /// Each is the result of a real probe.
    public let checks: [String: Bool]
    public let metrics: [String: Double]
    public let games: [WatchedGame]
    /// How many games it can hold; nil for services that hold none.
    public let capacity: Int?
    /// `sports` or `crypto`; nil for services that are not shards.
    public let shardType: String?
    public let build: String

    public init(
        service: String, instance: String, incarnation: Incarnation, processID: Int32, startedAt: Int64, beat: Int64,
        status: ServiceStatus, checks: [String: Bool], metrics: [String: Double], games: [WatchedGame] = [],
        capacity: Int? = nil, shardType: String? = nil, build: String
    ) {
        self.service = service
        self.instance = instance
        self.incarnation = incarnation
        self.processID = processID
        self.startedAt = startedAt
        self.beat = beat
        self.status = status
        self.checks = checks
        self.metrics = metrics
        self.games = games
        self.capacity = capacity
        self.shardType = shardType
        self.build = build
    }

    private enum CodingKeys: String, CodingKey {
        case service
        case instance
        case incarnation
        case processID = "process_id"
        case startedAt = "started_at"
        case beat
        case status
        case checks
        case metrics
        case games
        case capacity
        case shardType = "shard_type"
        case build
    }
}
