/// What is hurt: a part of the deployment, by what it is rather than by a name, since that may change with each round.
public enum Part: String, Hashable, Sendable, CaseIterable {
    case redis
    case postgres
    /// The orchestrator that leads.
    case leader
    /// Whoever leads and whoever stands by.
    case orchestrators
    case marketDiscovery = "market-discovery"
    case signalProcessor = "signal-processor"
    case executionService = "execution-service"
    /// The shard with the most games; of several the first by name.
    case busiestShard = "busiest-shard"
    case allShards = "all-shards"
    /// Every process of the suite; not its servers.
    case suite
    /// The venue's prices and orders.
    case venue
    /// Whoever says how games stand.
    case scores
    /// Where alerts go.
    case slack
    /// The host that everything runs on.
    case machine
}

/// One fault, that holds until it is undone.
public struct Fault: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        // Of a process or a server.
        /// SIGKILL; undone by a start.
        case kill
        /// SIGTERM and its drain; undone by a start.
        case stop
        /// SIGTERM, and a start as soon as it has ended.
        case restart
        /// SIGSTOP: connections stay open and nothing answers; undone by SIGCONT.
        case freeze
        /// Cut off from Redis and from PostgreSQL: nothing arrives and nothing is closed.
        case partition
        /// Cut off from Redis alone, in the same way.
        case deafen
        /// Frozen three quarters of the time, a fifth of a second at once.
        case stutter
        /// A second process under the same name.
        case impersonate
        /// Its clock is a minute ahead, all at once.
        case stepClock
        /// The memory that it may use is used up, and the kernel ends it; undone by a start.
        case exhaust

        // Of what a server holds.
        /// All data of Redis are deleted; nothing to undo.
        case flush
        /// Redis refuses every write for want of memory.
        case starve
        /// PostgreSQL's back ends are ended, every 300 ms.
        case terminate
        /// The disk under PostgreSQL is full.
        case fillDisk

        // Of the venue.
        /// Connections stay open and say nothing.
        case mute
        /// Every connection for prices is closed, once.
        case disconnect
        /// One order of two is taken, and its answer lost.
        case loseAcknowledgements
        /// One frame of ten is not sent, and its number is gone.
        case skipFrames

        // Of what stands beside.
        /// It answers with an error.
        case refuse
        /// Two busy loops for each core.
        case occupy
    }

    public let kind: Kind
    public let part: Part

    public init(_ kind: Kind, _ part: Part) {
        self.kind = kind
        self.part = part
    }
}
