import Domain
import ExecutionServiceEngine
import GameShardEngine
import MarketDiscoveryEngine
import OrchestratorEngine
import Resilience
import SignalProcessorEngine

/// Everything between a play and a fill: the games, the venue, the books, and the processes of the order path.
struct OrderPath {
    /// Off where only the fleet is looked at: then nothing here draws a number or plans anything.
    var isOn = false
    /// Whether games are played and quoted.
    var isPlaying = true
    /// Of its own, so that the fleet's schedules stay what they were.
    var random: SeededGenerator
    /// For what few seeds have, so that the others stay what they were.
    var rare: SeededGenerator
    var games: [SimulatedGame] = []
    var books: SimulatedBooks
    var venue: SimulatedVenue
    /// The signals that the bus has stored, and how many went before them.
    var journal = SimulatedJournal<PublishedSignal>()
    var processors: [SimulatedProcessor] = []
    var executors: [SimulatedExecutor] = []
    var discovery: SimulatedDiscovery
    var trouble = PathTrouble()
    var watch = PathWatch()
    /// The feeds of the shards, by index.
    var feeds: [SimulatedFeed] = []

    static let bankroll = Money.dollars(1_000)
    /// What the signal-processor has to keep to.
    let limits: TradingLimits
    /// What the execution-service has to keep to.
    let safeguards: Safeguards
    /// As above, and as the engines are told.
    let told: (limits: TradingLimits, safeguards: Safeguards)

    init(seed: UInt64, profile: SimulationProfile, plant: Plant?) {
        random = SeededGenerator(seed: seed ^ 0x6f72_6465_7270_6174)
        rare = SeededGenerator(seed: seed ^ 0x7261_7265_2064_7261)
        books = SimulatedBooks(cash: Self.bankroll, plant: plant)
        books.fillStanding = profile.takesFillsBack ? .provisional : .confirmed
        books.budgetLimits = profile.budget
        venue = SimulatedVenue(
            cash: Self.bankroll, keepsKeys: profile.keepsKeys, takesFillsBack: profile.takesFillsBack)
        var limits = PathWatch.limits
        limits.dailyLoss = profile.dailyLoss
        var safeguards = Safeguards()
        if profile.isStrict {
            limits.allowsHedging = false
            limits.orderValue = .dollars(10)
            safeguards.orderValue = limits.orderValue
            safeguards.ordersPerHour = 12
        }
        if profile.isCapped {
            limits.marketExposure = .dollars(12)
            limits.totalExposure = .dollars(60)
            safeguards.exitsPerMinute = 2
        }
        self.limits = limits
        self.safeguards = safeguards
        if plant == .valueUnread {
            limits.orderValue = .dollars(1_000)
            safeguards.orderValue = limits.orderValue
        }
        if plant == .contractsUnread {
            limits.orderContracts = 1_000_000
            safeguards.orderContracts = limits.orderContracts
        }
        if plant == .totalUnread { limits.totalExposure = nil }
        told = (limits, safeguards)
        discovery = SimulatedDiscovery(process: SimulatedProcess(clockOffset: .zero))
    }

    mutating func roll(_ percent: Int) -> Bool { percent > 0 && Int.random(in: 0..<100, using: &random) < percent }

    mutating func milliseconds(_ range: ClosedRange<Int>) -> Duration {
        .milliseconds(Int.random(in: range, using: &random))
    }
}

/// What a shard said, and in which of its lives.
struct PublishedSignal: Hashable {
    enum Advice: Hashable {
        case bet(Signal)
        case arbitrage(ArbitrageSignal)
    }

    let advice: Advice
    let sender: Incarnation
}

/// A capped stream of the bus; entries are known by their place.
struct SimulatedJournal<Message> {
    private(set) var messages: [Message] = []
    /// How many were dropped before the first that is kept.
    private(set) var dropped = 0

    var end: Int { dropped + messages.count }

    mutating func append(_ message: Message) { messages.append(message) }

    /// Everything from a place on, and whether something before it is gone.
    func read(from place: Int) -> (messages: ArraySlice<Message>, hasGap: Bool) {
        (messages[max(0, min(place - dropped, messages.count))...], place < dropped)
    }

    /// The bus loses its data.
    mutating func flush() {
        dropped = end
        messages = []
    }
}

/// The connection of one shard to the venue's market data and to the scores.
struct SimulatedFeed {
    var markets: Set<MarketID> = []
    var games: Set<GameID> = []
    var isUp = true
}

/// A real signal-processor engine, and what its shell knows.
struct SimulatedProcessor {
    var process: SimulatedProcess
    var engine: SignalProcessorEngine
    var marks: [MarketID: PortfolioMark.Mark] = [:]
    var losses: DailyLossWatch
    /// The next place of the journal that it has not taken.
    var cursor = 0
    /// The place that a next life begins at.
    var storedCursor = 0
    var queue: [(place: Int, signal: PublishedSignal)] = []
    var isBusy = false
    var attempts = 0
    var inbox: [Simulation.Happening] = []

    init(process: SimulatedProcess, limits: TradingLimits) {
        self.process = process
        engine = SignalProcessorEngine(limits: limits)
        losses = DailyLossWatch(limit: limits.dailyLoss)
    }
}

/// A real execution-service engine with its lanes and its reconciliation, and what their shells know.
struct SimulatedExecutor {
    var process: SimulatedProcess
    var engine: ExecutionServiceEngine
    var lanes = OrderLanes()
    var reconciliation: ReconciliationEngine
    var isReconciled = false
    var prices: [MarketID: PricePublication] = [:]
    /// As it was read last, by the clocks of the process and of the database.
    var balance: (money: Money, at: MachineInstant, asked: MachineInstant)?
    /// When an exit was last asked for, and of how much: one that nobody takes is not asked for at every look.
    var exitsAsked: [MarketID: (at: MachineInstant, net: Int64)] = [:]
    /// What it has booked as resting, for when it cannot read the books.
    var resting: [OrderID: VenueOrderID] = [:]
    /// The plans that it works on.
    var drivers: [IntentID: SimulatedDriver] = [:]
    var inbox: [Simulation.Happening] = []

    init(process: SimulatedProcess, safeguards: Safeguards, at now: MachineInstant) {
        self.process = process
        engine = ExecutionServiceEngine(safeguards: safeguards)
        reconciliation = ReconciliationEngine(at: now)
    }
}

/// A real market-discovery engine.
struct SimulatedDiscovery {
    var process: SimulatedProcess
    var engine = MarketDiscoveryEngine()
    var inbox: [Simulation.Happening] = []
}

/// How badly off the order path is, as the schedule of faults has it.
struct PathTrouble {
    /// Of the statements that reach PostgreSQL, 0 to 100: half of them are done all the same.
    var lostAnswers = 0
    /// Everything that writes is refused, everything that reads is answered.
    var isDiskFull = false
    /// What a statement takes to PostgreSQL at most, and its answer back, in milliseconds.
    var slowness = 0
    /// Of what is sent to the venue, 0 to 100.
    var lostRequests = 0
    var lostReplies = 0
    var lateRequests = 0
    var refusals = 0
    var tooMany = 0
    var isVenueDown = false
    var isVenueListless = false
    var lingering = 0
    var isKillFilePresent = false
    var isKillFileUnknown = false
}

/// What happens on the order path.
indirect enum PathHappening {
    case play
    case confirmBooks
    case settle(MarketID, Price)
    case publish(shard: Int, life: Int, PublishedSignal, attempt: Int)
    case entryHeard(Int, life: Int, place: Int)
    case follow(Int, life: Int)
    case followed(Int, life: Int)
    case decide(Int, life: Int, place: Int, PublishedSignal)
    case decided(Int, life: Int, place: Int, SimulatedBooks.SignalOutcome?)
    case planDecided(Int, life: Int, place: Int, SimulatedBooks.PlanDecision?)
    case lookForLosses(Int, life: Int)
    case priceToProcessor(Int, life: Int, PricePublication)
    case priceToExecutor(Int, life: Int, PricePublication)
    case intentToExecutor(Int, life: Int, ApprovedIntent)
    case discoveryAsked(Game, CommandID)
    case discoveryListed(life: Int, series: String, isFound: Bool)
    case discoveryBeat(life: Int)
    case lookForExits(Int, life: Int)
    case exitAsked(Int, life: Int, OrderQueue.Item)
    case sweepPlans(Int, life: Int)
    case drive(Int, life: Int, IntentID)
    case legSend(Int, life: Int, IntentID, LegOrder, SimulatedBooks.Claimed, began: MachineInstant)
    case legAnswered(Int, life: Int, IntentID, OrderID, OrderNews)
    case conclude(FillID, isTrue: Bool)
    case followFills(Int, life: Int)
    case cancelAll(Int, life: Int)
    case tellUntold(Int, life: Int)
    case sweep(Int, life: Int)
    case swept(Int, life: Int, open: [SimulatedBooks.OpenOrder], waiting: [OrderQueue.Item])
    case claim(Int, life: Int, IntentID, began: MachineInstant)
    case claimed(Int, life: Int, IntentID, began: MachineInstant, SimulatedBooks.Claim?)
    case arrive(Int, life: Int, SimulatedBooks.Claimed, replyBy: MachineInstant)
    case linger(Int, Int, life: Int, SimulatedBooks.Claimed, replyBy: MachineInstant)
    case book(Int, life: Int, OrderID, OrderNews, lane: IntentID?)
    case booked(Int, life: Int, OrderID, OrderNews, lane: IntentID?, OrderBooking?)
    case resolve(Int, life: Int)
    case step(Int, life: Int, [SimulatedBooks.OpenOrder])
    case look(Int, life: Int, OrderRecord, started: MachineInstant, rest: [SimulatedBooks.OpenOrder])
    case looked(
        Int, life: Int, OrderRecord, started: MachineInstant, found: OrderNews?, isWhole: Bool,
        rest: [SimulatedBooks.OpenOrder])
    case readBalance(Int, life: Int)
    case balanceRead(Int, life: Int, Money?, at: MachineInstant, asked: MachineInstant)
    case payOut(Int, life: Int)
    case reconcile(Int, life: Int)
    case reconcileAtVenue(Int, life: Int, started: MachineInstant, mark: Int?, unread: Set<MarketID>)
    case reconcileAtHome(
        Int, life: Int, started: MachineInstant, mark: Int?, unread: Set<MarketID>, VenueSnapshot?)
    case reconciled(Int, life: Int, started: MachineInstant, ReconciliationLook, [Discrepancy], OwnSnapshot?)
    case killSwitch(isEngaged: Bool)
}
