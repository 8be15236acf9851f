import Domain

/// The newest state of a game and what we make of it.
public struct GameStateUpdate: WireMessage, Hashable {
    public static let type = "game_state"

    public let state: GameState
    public let shard: ShardID
    public let epoch: Epoch
    /// Ours; nil where the model says nothing (overtime, not live).
    public let homeProbability: Probability?

    public init(state: GameState, shard: ShardID, epoch: Epoch, homeProbability: Probability?) {
        self.state = state
        self.shard = shard
        self.epoch = epoch
        self.homeProbability = homeProbability
    }
}

/// The top of a market's book.
public struct PriceUpdate: WireMessage, Hashable {
    public static let type = "price"

    public let game: GameID
    public let market: MarketID
    public let yesBid: BookLevel?
    public let yesAsk: BookLevel?
    public let at: VenueInstant

    public init(game: GameID, market: MarketID, yesBid: BookLevel?, yesAsk: BookLevel?, at: VenueInstant) {
        self.game = game
        self.market = market
        self.yesBid = yesBid
        self.yesAsk = yesAsk
        self.at = at
    }
}

/// A game is over.
public struct GameEnded: WireMessage, Hashable {
    public static let type = "game_ended"

    public let game: GameID
    public let status: GameStatus
    public let homeScore: Int
    public let awayScore: Int
    public let at: VenueInstant

    public init(game: GameID, status: GameStatus, homeScore: Int, awayScore: Int, at: VenueInstant) {
        self.game = game
        self.status = status
        self.homeScore = homeScore
        self.awayScore = awayScore
        self.at = at
    }
}

/// A shard's advice.
public struct SignalMessage: WireMessage, Hashable {
    public static let type = "signal"

    public let signal: Signal

    public init(signal: Signal) { self.signal = signal }
}

/// An approved intent, as committed with its reservation.
public struct IntentMessage: WireMessage, Hashable {
    public static let type = "intent"

    public let intent: ApprovedIntent

    public init(intent: ApprovedIntent) { self.intent = intent }
}

/// An intent is being committed: who looks for it under the account's lock waits for the commit (decision 0057).
///
/// What `IntentMessage` says for certain, ahead of it; nothing is done on its word.
public struct IntentHint: WireMessage, Hashable {
    public static let type = "intent_hint"

    public let intent: ApprovedIntent

    public init(intent: ApprovedIntent) { self.intent = intent }
}

/// Where an order stands, as committed.
public struct OrderUpdate: WireMessage, Hashable {
    public static let type = "order_update"

    public let order: OrderID
    public let intent: IntentID
    public let game: GameID
    public let market: MarketID
    public let outcome: Outcome
    public let action: Action
    public let limit: Price
    public let quantity: Quantity
    public let filled: Quantity
    public let averagePrice: Price?
    public let fees: Money
    public let state: OrderState
    public let reason: String?

    public init(
        order: OrderID, intent: IntentID, game: GameID, market: MarketID, outcome: Outcome, action: Action,
        limit: Price, quantity: Quantity, filled: Quantity, averagePrice: Price?, fees: Money, state: OrderState,
        reason: String?
    ) {
        self.order = order
        self.intent = intent
        self.game = game
        self.market = market
        self.outcome = outcome
        self.action = action
        self.limit = limit
        self.quantity = quantity
        self.filled = filled
        self.averagePrice = averagePrice
        self.fees = fees
        self.state = state
        self.reason = reason
    }
}

/// What we hold of a market, as committed.
public struct PositionUpdate: WireMessage, Hashable {
    public static let type = "position_update"

    public let position: Position
    public let game: GameID
    /// `open`, `closed` or `settled`.
    public let state: String
    public let settlement: Price?

    public init(position: Position, game: GameID, state: String, settlement: Price?) {
        self.position = position
        self.game = game
        self.state = state
        self.settlement = settlement
    }
}

/// The kill switch was engaged or released in the database.
public struct KillSwitchChange: WireMessage, Hashable {
    public static let type = "kill_switch"

    public let engaged: Bool
    public let reason: String
    public let by: String

    public init(engaged: Bool, reason: String, by: String) {
        self.engaged = engaged
        self.reason = reason
        self.by = by
    }
}

/// The trading rules in the database changed; read them again.
public struct RulesChanged: WireMessage, Hashable {
    public static let type = "rules_changed"

    public init() {}
}

/// Something that an operator must know, raised by any process (DESIGN section 6).
public struct SystemAlert: WireMessage, Hashable {
    public static let type = "system_alert"

    public enum State: String, Codable, Hashable, Sendable {
        case firing
        case recovered
    }

    public let id: AlertID
    /// The kind, named as in the glossary, for example `DatabaseConnectivityIssue`.
    public let kind: String
    /// Stable for one cause, so that it is neither repeated nor confused with another.
    public let fingerprint: String
    public let state: State
    public let summary: String
    public let detail: [String: String]
    /// Wall time in microseconds since 1970.
    public let at: Int64
    /// `info`, `warning` or `critical`; critical when it is not said.
    public let severity: String?
    /// False for what merely happened and has no recovery.
    public let lasting: Bool?

    public init(
        id: AlertID, kind: String, fingerprint: String, state: State, summary: String, detail: [String: String],
        at: Int64, severity: String? = nil, lasting: Bool? = nil
    ) {
        self.id = id
        self.kind = kind
        self.fingerprint = fingerprint
        self.state = state
        self.summary = summary
        self.detail = detail
        self.at = at
        self.severity = severity
        self.lasting = lasting
    }
}

/// The orchestrator has these alerts in its file; whoever raised one need not deliver it.
public struct AlertAcknowledgement: WireMessage, Hashable {
    public static let type = "alert_acknowledgement"

    public let ids: [AlertID]

    public init(ids: [AlertID]) {
        self.ids = ids
    }
}
