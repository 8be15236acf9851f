import Domain
import Hosting
import Logging
import OrchestratorEngine
import Resilience
import Runtime

/// Stores what the engine decided, one after another, and answers what became of it.
struct RecordLane: Sendable {
    let store: AssignmentStore
    let fleet: FleetReconciler
    let announcements: Announcements
    let host: ServiceHost

    func run(_ jobs: AsyncStream<EffectLanes.Job>) async {
        for await job in jobs { await carryOut(job) }
    }

    private func carryOut(_ job: EffectLanes.Job) async {
        switch job.effect {
        case .commitAssignments(let batch, let changes, let term): await commit(batch, changes, term)
        case .upsertGame(let game, let status, let score):
            await attempt("game not stored") {
                guard let term = job.term else { return }
                try await store.upsert(game, status, score, term: term)
            }
        case .keepMarkets(let game, let status, let markets):
            await attempt("markets not stored") {
                guard let term = job.term else { return }
                try await store.keep(markets, of: game, status, term: term)
            }
        case .releaseGame(let game, let status, let score, let seat, let term):
            let isStored = await attempt("end of game not stored") {
                let released = try await store.release(game, status, score, from: seat, term: term)
                if let released { announcements.tell(released) }
            }
            await fleet.take(isStored ? .released(game) : .releaseFailed(game))
        case .readDesiredState:
            await attempt("desired state not read") {
                let read = try await underOneTerm {
                    try await store.leadership.settle()
                    return try await store.wanted()
                }
                guard let (term, (desired, drained)) = read else { return }
                await fleet.take(.rehydrated(desired, drained: drained, term: term))
            }
        case .sendCommand, .grant, .requestMarkets, .notify, .raiseAlert, .recoverAlert, .handOverAlert, .report,
            .answerOperator:
            break
        }
    }

    /// What is read of an earlier term must not count as that of the present one.
    ///
    /// - Returns: nil without a term, and when it changed meanwhile: the engine asks again.
    private func underOneTerm<Value>(_ read: () async throws -> Value) async throws -> (term: Int64, Value)? {
        guard let term = store.leadership.term(at: host.clock.now) else { return nil }
        let value = try await read()
        return store.leadership.term(at: host.clock.now) == term ? (term, value) : nil
    }

    private func commit(_ batch: Int, _ changes: [AssignmentChange], _ term: Int64) async {
        do {
            let began = host.clock.now
            let pregame = try await store.commit(changes, term: term)
            host.context.metrics.histogram("assignment_commit_seconds", "One batch of assignments, stored.")
                .observe(began.duration(to: host.clock.now))
            await fleet.take(.committed(batch: batch, pregame: pregame))
            announcements.tell(changes)
        } catch {
            host.log.warning(
                "assignments not stored", metadata: [Key.count: "\(changes.count)", Key.reason: "\(error)"])
            // Without an answer the engine waits for a reread.
            let stored = try? await store.owners(of: changes.map(\.game.id))
            await fleet.take(.commitFailed(batch: batch, stored: stored))
        }
    }

    @discardableResult
    private func attempt(_ failure: Logger.Message, _ body: () async throws -> Void) async -> Bool {
        do {
            try await body()
            return true
        } catch {
            host.log.warning(failure, metadata: [Key.reason: "\(error)"])
            return false
        }
    }
}
