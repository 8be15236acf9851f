import Domain
import GameShardEngine
import OrchestratorEngine
import Resilience

/// What every process of the simulation has: a life, links that can be cut, and a clock of its own.
struct SimulatedProcess {
    var life = 1
    var isRunning = true
    /// Stopped by a signal: nothing it is sent is lost, nothing is done.
    var isPaused = false
    var hasBus = true
    var hasDatabase = true
    /// How far its clock is from true time; up to an hour.
    var clockOffset: Duration
    /// How much faster than true time it goes, in millionths.
    var driftPerMillion: Int64 = 0
    /// How far what it takes for the venue's time is off.
    var venueError = Duration.zero

    var isAble: Bool { isRunning && !isPaused && hasBus && hasDatabase }
}

/// A real shard engine, and what its shell knows.
struct SimulatedShard {
    let id: ShardID
    var process: SimulatedProcess
    var engine: ShardEngine
    var beat: Int64 = 0
    var nextBeat = MachineInstant.origin
    /// Its name is this life's: nothing is heard, said or read before.
    var hasClaimed = false
    var isIll = false
    var isStopping = false
    /// Commands that could not be delivered, in order: the journal keeps them.
    var journal: [Command] = []
    /// What arrived while it was stopped.
    var inbox: [Simulation.Happening] = []

    static func rules(_ profile: SimulationProfile) -> ShardRules {
        var rules = ShardRules()
        rules.maximumGames = profile.capacity
        if profile.hasOrderPath { rules.minimumEdgeBasisPoints = 400 }
        return rules
    }

    var incarnation: Incarnation { Self.incarnation(id, process.life) }

    static func incarnation(_ id: ShardID, _ life: Int) -> Incarnation { Incarnation(stringLiteral: "\(id)-\(life)") }
}

/// A real orchestrator engine, and what its shell knows.
struct SimulatedOrchestrator {
    /// What is to be stored or read, and the term under which it was decided; nil for a standby's.
    struct Record {
        let effect: Effect
        let term: Int64?
    }

    let index: Int
    var process: SimulatedProcess
    var engine = OrchestratorEngine()
    /// The term that the engine was told.
    var told: Int64?
    /// Until when the row was written to be ours, by our own clock.
    var heldUntil = MachineInstant.origin
    /// What the record lane still has to do, in order.
    var lane: [Record] = []
    var isLaneBusy = false
    var hears = true
    /// Whether it makes room for one that hears.
    var candidacy = Candidacy(life: SimulatedDatabase.leadershipLife)
    /// Its place is free for others, until it takes it back.
    var isOffering = false
    /// What it would have to be told when another leads.
    var owesHandOver = true
    /// Firings that were told and not ended, in this life or an earlier one.
    var toldAlerts: Set<AlertKind> = []
    /// Of them those of this life.
    var firing: Set<AlertKind> = []
    /// Since when it has led and heard without a break.
    var judgesSince: MachineInstant?
    var inbox: [Simulation.Happening] = []
}
