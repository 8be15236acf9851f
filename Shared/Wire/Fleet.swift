import Domain

/// A game and what to follow for it, under an epoch.
public struct GameAssignment: Codable, Hashable, Sendable {
    public let game: Game
    public let markets: [Market]
    public let epoch: Epoch
    /// The market's chance of a home win before the start, when an earlier owner has seen it.
    public let pregameHomeProbability: Probability?

    public init(game: Game, markets: [Market], epoch: Epoch, pregameHomeProbability: Probability? = nil) {
        self.game = game
        self.markets = markets
        self.epoch = epoch
        self.pregameHomeProbability = pregameHomeProbability
    }
}

/// What the orchestrator tells a shard; resent until it is observed.
public struct ShardCommand: WireMessage, Hashable {
    public static let type = "shard_command"

    public enum Order: Codable, Hashable, Sendable {
        case assign(GameAssignment)
        /// Stop watching; the epoch is the one that ends.
        case revoke(GameID, epoch: Epoch, reason: String)
    }

    public let id: CommandID
    public let shard: ShardID
    public let order: Order

    public init(id: CommandID, shard: ShardID, order: Order) {
        self.id = id
        self.shard = shard
        self.order = order
    }

    public var game: GameID {
        switch order {
        case .assign(let assignment): assignment.game.id
        case .revoke(let game, _, _): game
        }
    }

    public var epoch: Epoch {
        switch order {
        case .assign(let assignment): assignment.epoch
        case .revoke(_, let epoch, _): epoch
        }
    }
}

/// A shard's answer to a command.
public struct CommandAcknowledgement: WireMessage, Hashable {
    public static let type = "command_acknowledgement"

    public enum Verdict: String, Codable, Hashable, Sendable, CaseIterable {
        case accepted
        /// An assignment with a newer epoch is known.
        case stale
        case atCapacity = "at_capacity"
        case draining
        case malformed
    }

    public let command: CommandID
    public let shard: ShardID
    public let game: GameID
    public let epoch: Epoch
    public let verdict: Verdict

    public init(command: CommandID, shard: ShardID, game: GameID, epoch: Epoch, verdict: Verdict) {
        self.command = command
        self.shard = shard
        self.game = game
        self.epoch = epoch
        self.verdict = verdict
    }
}

/// The leader's answer to a heartbeat: the right to go on for one lease from when that heartbeat was sent.
public struct LeaseGrant: WireMessage, Hashable {
    public static let type = "lease_grant"

    public let shard: ShardID
    public let incarnation: Incarnation
    /// The heartbeat that is answered.
    public let beat: Int64
    public let term: Int64

    public init(shard: ShardID, incarnation: Incarnation, beat: Int64, term: Int64) {
        self.shard = shard
        self.incarnation = incarnation
        self.beat = beat
        self.term = term
    }
}

/// Asks which markets belong to this game.
public struct DiscoveryRequest: WireMessage, Hashable {
    public static let type = "discovery_request"

    public let id: CommandID
    public let game: Game

    public init(id: CommandID, game: Game) {
        self.id = id
        self.game = game
    }
}

/// The markets that belong to a game; empty with a reason when there are none.
public struct DiscoveryResult: WireMessage, Hashable {
    public static let type = "discovery_result"

    public let request: CommandID
    public let game: GameID
    public let markets: [Market]
    public let reason: String?

    public init(request: CommandID, game: GameID, markets: [Market], reason: String?) {
        self.request = request
        self.game = game
        self.markets = markets
        self.reason = reason
    }
}

/// A change in the fleet worth telling people (DOMAIN 1.1).
public struct ServiceNotification: WireMessage, Hashable {
    public static let type = "service_notification"

    public enum Kind: String, Codable, Hashable, Sendable, CaseIterable {
        case serviceRestarted = "service_restarted"
        case serviceDead = "service_dead"
        case serviceDegraded = "service_degraded"
        case serviceRecovered = "service_recovered"
        case resyncComplete = "service_resync_complete"
        case breakerOpened = "circuit_breaker_opened"
        case breakerClosed = "circuit_breaker_closed"
    }

    public let kind: Kind
    public let service: String
    public let instance: String
    public let detail: [String: String]

    public init(kind: Kind, service: String, instance: String, detail: [String: String]) {
        self.kind = kind
        self.service = service
        self.instance = instance
        self.detail = detail
    }
}
