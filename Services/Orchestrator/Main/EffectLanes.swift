import Domain
import OrchestratorEngine

/// The ways from the engine's effects to the world, each carried out in order by one part.
///
/// Messages are bounded and the newest is refused when full: everything there is sent again by the engine. Records and
/// alerts are bounded by the engine itself: one job a game, one firing a kind.
struct EffectLanes: Sendable {
    static let messageLimit = 50_000

    /// Something to be done, and the term under which it was decided; nil for a standby's.
    struct Job: Sendable {
        let effect: Effect
        let term: Int64?
    }

    let messages: AsyncStream<Job>
    let records: AsyncStream<Job>
    let alerts: AsyncStream<Effect>
    private let toBus: AsyncStream<Job>.Continuation
    private let toRecords: AsyncStream<Job>.Continuation
    private let toAlerts: AsyncStream<Effect>.Continuation

    init() {
        (messages, toBus) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.messageLimit))
        (records, toRecords) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
        (alerts, toAlerts) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
    }

    /// - Returns: false when the effect was dropped.
    func put(_ effect: Effect, term: Int64?) -> Bool {
        switch effect {
        case .sendCommand, .grant, .requestMarkets, .notify:
            if case .dropped = toBus.yield(Job(effect: effect, term: term)) { return false }
        case .commitAssignments, .upsertGame, .keepMarkets, .releaseGame, .readDesiredState:
            toRecords.yield(Job(effect: effect, term: term))
        case .raiseAlert, .recoverAlert, .handOverAlert: toAlerts.yield(effect)
        // Logged, and answered to whoever asked.
        case .report, .answerOperator: break
        }
        return true
    }
}
