import Domain
import Resilience

/// What an operator may ask of the fleet.
public enum OperatorOrder: Hashable, Sendable {
    /// Give the shard no more games, and move those it has, as fast as others can take them.
    case drain(ShardID)
    /// The shard may have games again.
    case undrain(ShardID)
    /// Move one game; without a target to the shard with the most free capacity that is not its own.
    case reassign(GameID, to: ShardID?)
}

/// What becomes of an operator's order.
public enum OperatorAnswer: Hashable, Sendable {
    /// It is being done; `games` move, of which `withoutRoom` wait until there is room elsewhere.
    case accepted(games: Int, withoutRoom: Int)
    case refused(OperatorRefusal)
}

/// Why an operator's order is not followed.
public enum OperatorRefusal: String, Hashable, Sendable, CaseIterable {
    /// Another orchestrator leads: ask that one.
    case notLeading
    case unknownShard
    case alreadyDrained
    case notDrained
    case unknownGame
    /// Nobody watches it yet, or it is just being moved: ask again.
    case notSettled
    case alreadyThere
    /// The shard is dead, degraded, drained or stopping, or its breaker is open.
    case shardNotWell
    /// The shard watches another kind of game.
    case wrongKind
    case noRoom
}

/// What operators want, and the paced moves that come of it.
extension OrchestratorEngine {
    mutating func obey(
        _ order: OperatorOrder, _ request: CommandID, at now: MachineInstant, into effects: inout [Effect]
    ) {
        let answer =
            switch order {
            case _ where !isLeading: OperatorAnswer.refused(.notLeading)
            case .drain(let shard): drain(shard, at: now)
            case .undrain(let shard): undrain(shard, at: now)
            case .reassign(let game, let shard): reassign(game, to: shard, at: now, into: &effects)
            }
        effects.append(.answerOperator(request, answer))
    }

    private mutating func drain(_ id: ShardID, at now: MachineInstant) -> OperatorAnswer {
        guard shards[id] != nil else { return .refused(.unknownShard) }
        guard drained.insert(id).inserted else { return .refused(.alreadyDrained) }
        joined[id] = nil
        let games = held[id]?.count ?? 0
        return .accepted(games: games, withoutRoom: max(0, games - freeSeats(at: now)))
    }

    private mutating func undrain(_ id: ShardID, at now: MachineInstant) -> OperatorAnswer {
        guard drained.remove(id) != nil else { return .refused(shards[id] == nil ? .unknownShard : .notDrained) }
        joined[id] = now
        return .accepted(games: 0, withoutRoom: 0)
    }

    private mutating func reassign(
        _ id: GameID, to wanted: ShardID?, at now: MachineInstant, into effects: inout [Effect]
    ) -> OperatorAnswer {
        guard let game = games[id] else { return .refused(.unknownGame) }
        guard case .watched(let seat) = game.placement else { return .refused(.notSettled) }
        if let wanted {
            guard wanted != seat.shard else { return .refused(.alreadyThere) }
            guard let shard = shards[wanted] else { return .refused(.unknownShard) }
            guard mayTakeGames(shard, at: now) else { return .refused(.shardNotWell) }
            guard fits(game, shard.kind) else { return .refused(.wrongKind) }
            guard free(on: shard) > inbound(to: wanted) else { return .refused(.noRoom) }
        } else {
            let hasRoom = shards.values.contains {
                $0.id != seat.shard && mayTakeGames($0, at: now) && fits(game, $0.kind) && free(on: $0) > 0
            }
            guard hasRoom else { return .refused(.noRoom) }
        }
        move(id, from: seat, to: wanted, .reassigned, at: now, into: &effects)
        return .accepted(games: 1, withoutRoom: 0)
    }

    /// Takes a game from a shard that is well: its lease goes on, so only an obeyed revoke ends the wait.
    mutating func move(
        _ id: GameID, from seat: Seat, to target: ShardID?, _ reason: MoveReason, at now: MachineInstant,
        into effects: inout [Effect]
    ) {
        games[id]?.preferred = target
        games[id]?.avoided = seat.shard
        games[id]?.leavingSince = now
        place(id, .leaving(seat, until: nil, reason, isRevoked: true))
        revoke(id, from: seat, reason: reason.rawValue, at: now, into: &effects)
    }

    /// Games that are on their way to a shard and not seated there yet.
    func inbound(to id: ShardID) -> Int { leaving.count { games[$0]?.preferred == id } }
}
