import Domain
import OrchestratorEngine

/// The ways from the engine's effects to the world, each carried out in order by one part.
///
/// Messages are bounded and the newest is refused when full: everything there is sent again by the engine. Records and
/// alerts are bounded by the engine itself: one job a game, one firing a kind.
struct EffectLanes: Sendable {
    static let messageLimit = 50_000

    let messages: AsyncStream<Effect>
    let records: AsyncStream<Effect>
    let alerts: AsyncStream<Effect>
    private let toBus: AsyncStream<Effect>.Continuation
    private let toRecords: AsyncStream<Effect>.Continuation
    private let toAlerts: AsyncStream<Effect>.Continuation

    init() {
        (messages, toBus) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.messageLimit))
        (records, toRecords) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
        (alerts, toAlerts) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
    }

    /// - Returns: false when the effect was dropped.
    func put(_ effect: Effect) -> Bool {
        let result: AsyncStream<Effect>.Continuation.YieldResult
        switch effect {
        case .sendCommand, .grant, .requestMarkets, .notify: result = toBus.yield(effect)
        case .commitAssignments, .upsertGame, .releaseGame, .readDesiredState: result = toRecords.yield(effect)
        case .raiseAlert, .recoverAlert: result = toAlerts.yield(effect)
        // Logged, and answered to whoever asked.
        case .report, .answerOperator: return true
        }
        if case .dropped = result { return false }
        return true
    }
}
