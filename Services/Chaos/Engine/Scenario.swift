/// What is hurt: a part of the deployment, by what it is rather than by a name, since that may change with each round.
public enum Part: String, Hashable, Sendable, CaseIterable {
    case redis
    case postgres
    /// The orchestrator that leads.
    case leader
    case marketDiscovery = "market-discovery"
    case signalProcessor = "signal-processor"
    case executionService = "execution-service"
    /// The shard with the most games; of several the first by name.
    case busiestShard = "busiest-shard"
    case allShards = "all-shards"
}

/// One fault, that holds until it is undone.
public struct Fault: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// SIGKILL; undone by a start.
        case kill
        /// SIGTERM and its drain; undone by a start.
        case stop
        /// SIGSTOP: connections stay open and nothing answers; undone by SIGCONT.
        case freeze
    }

    public let kind: Kind
    public let part: Part

    public init(_ kind: Kind, _ part: Part) {
        self.kind = kind
        self.part = part
    }
}

/// By what one sees that the suite itself knows of the fault.
public enum Detection: Hashable, Sendable {
    /// PostgreSQL names another owner for each game of the victim.
    case gamesMoved
    /// A check of the orchestrator's status page fails, or the service of that kind is not well there.
    case checkFails(String)
    /// A higher term: another orchestrator leads.
    case otherLeads
    /// An alert of this kind is there.
    case alert(String)
}

/// One rehearsed failure: what is broken, how long, and what must be true of it in figures.
public struct Scenario: Hashable, Sendable {
    /// Since when a recovery counts.
    public enum Start: Hashable, Sendable {
        /// The suite heals itself: others take over while the victim is away.
        case fault
        /// Nobody can take the victim's place.
        case undo
    }

    public let name: String
    /// In one sentence, what it shows.
    public let shows: String
    public let fault: Fault
    /// How long the fault holds.
    public let holds: Duration
    public let detection: Detection
    public let detectWithin: Duration
    public let recovery: Start
    public let recoverWithin: Duration
    /// Kinds that must be told, and their end too.
    public let alerts: Set<String>
    /// Kinds that may be told besides.
    public let mayAlert: Set<String>
    /// What the negative control breaks instead, without undoing it in time; nothing can recover from it.
    public let control: Fault
    public let needsStandby: Bool

    /// Whether a game may have another owner at the end.
    var mayMoveGames: Bool { [.busiestShard, .allShards].contains(fault.part) }

    public init(
        _ name: String, _ shows: String, fault: Fault, holds: Duration, detection: Detection, detectWithin: Duration,
        recovery: Start, recoverWithin: Duration, alerts: Set<String> = [], mayAlert: Set<String> = [],
        control: Fault? = nil, needsStandby: Bool = false
    ) {
        self.name = name
        self.shows = shows
        self.fault = fault
        self.holds = holds
        self.detection = detection
        self.detectWithin = detectWithin
        self.recovery = recovery
        self.recoverWithin = recoverWithin
        self.alerts = alerts
        self.mayAlert = mayAlert
        self.control = control ?? fault
        self.needsStandby = needsStandby
    }
}
