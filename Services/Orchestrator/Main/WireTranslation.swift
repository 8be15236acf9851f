import Domain
import OrchestratorEngine
import Wire

/// Between what travels and what the engine knows.
extension ShardHeartbeat {
    /// Nil for a heartbeat that is no shard's, or whose instance is no shard's name.
    init?(_ heartbeat: Heartbeat) {
        guard let capacity = heartbeat.capacity, let shard = try? ShardID(heartbeat.instance) else { return nil }
        self.init(
            shard: shard, kind: heartbeat.shardType.flatMap(ShardKind.init(rawValue:)) ?? .sports,
            incarnation: heartbeat.incarnation, startedAt: heartbeat.startedAt, beat: heartbeat.beat,
            status: ReportedStatus(heartbeat.status), failedChecks: heartbeat.failedChecks,
            games: Dictionary(heartbeat.games.map { ($0.game, $0.epoch) }, uniquingKeysWith: max), capacity: capacity)
    }
}

extension ServiceHeartbeat {
    init(_ heartbeat: Heartbeat) {
        self.init(
            service: heartbeat.service, instance: heartbeat.instance, incarnation: heartbeat.incarnation,
            status: ReportedStatus(heartbeat.status), failedChecks: heartbeat.failedChecks)
    }
}

extension Heartbeat {
    fileprivate var failedChecks: [String] { checks.filter { !$0.value }.keys.sorted() }
}

extension ReportedStatus {
    init(_ status: ServiceStatus) {
        self =
            switch status {
            case .starting: .starting
            case .healthy: .healthy
            case .degraded: .degraded
            // Nobody says of itself that it is dead.
            case .unhealthy, .dead: .unhealthy
            case .stopping: .stopping
            }
    }
}

extension Acknowledgement {
    init(_ answer: CommandAcknowledgement) {
        let verdict: Verdict =
            switch answer.verdict {
            case .accepted: .accepted
            case .stale: .stale
            case .atCapacity: .atCapacity
            case .draining: .draining
            case .malformed: .malformed
            }
        self.init(command: answer.command, shard: answer.shard, game: answer.game, verdict: verdict)
    }
}

extension ShardCommand {
    init(_ command: Command) {
        let order: ShardCommand.Order =
            switch command.order {
            case .assign(let game, let markets, let pregame):
                .assign(
                    GameAssignment(
                        game: game, markets: markets, epoch: command.epoch, pregameHomeProbability: pregame))
            case .revoke(let reason): .revoke(command.game, epoch: command.epoch, reason: reason)
            }
        self.init(id: command.id, shard: command.shard, order: order)
    }
}

extension ServiceNotification {
    init(_ note: FleetChange) {
        func shard(_ kind: Kind, _ id: ShardID, _ detail: [String: String] = [:]) -> ServiceNotification {
            ServiceNotification(kind: kind, service: "game-shard", instance: id.rawValue, detail: detail)
        }
        self =
            switch note {
            case .shardDead(let id, let games):
                shard(.serviceDead, id, ["games": games.prefix(100).map(\.rawValue).joined(separator: " ")])
            case .shardRestarted(let id, let from, let to):
                shard(.serviceRestarted, id, ["from": from.rawValue, "to": to.rawValue])
            case .shardDegraded(let id, let checks):
                shard(.serviceDegraded, id, ["failed_checks": checks.joined(separator: " ")])
            case .shardRecovered(let id): shard(.serviceRecovered, id)
            case .resyncComplete(let id, let games, let took):
                shard(.resyncComplete, id, ["games_resent": "\(games)", "duration_ms": "\(took.wholeMilliseconds)"])
            case .breakerOpened(let id, let failures): shard(.breakerOpened, id, ["failures": "\(failures)"])
            case .breakerClosed(let id): shard(.breakerClosed, id)
            case .serviceDead(let service, let instance):
                ServiceNotification(kind: .serviceDead, service: service, instance: instance, detail: [:])
            case .serviceRestarted(let service, let instance):
                ServiceNotification(kind: .serviceRestarted, service: service, instance: instance, detail: [:])
            case .serviceRecovered(let service, let instance):
                ServiceNotification(kind: .serviceRecovered, service: service, instance: instance, detail: [:])
            }
    }
}
