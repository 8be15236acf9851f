import Bus
import Domain
import Hosting
import Logging
import OrchestratorEngine
import Runtime
import Wire

/// Sends what the engine wants said, in its order.
///
/// What only a leader may say is dropped once its term is over: a process that was stopped wakes up with a full lane
/// and an engine that still believes.
struct BusLane: Sendable {
    private let host: ServiceHost
    private let leadership: Leadership
    private let outdated: Counter

    init(host: ServiceHost, leadership: Leadership) {
        self.host = host
        self.leadership = leadership
        outdated = host.context.metrics.counter(
            "outdated_messages_total", "Grants and commands that were not sent, because the term was over.")
    }

    func run(_ jobs: AsyncStream<EffectLanes.Job>) async {
        for await job in jobs {
            guard Self.maySay(job, term: leadership.term(at: host.clock.now)) else {
                outdated.increment()
                continue
            }
            do {
                try await send(job.effect)
            } catch {
                // Grants and questions come again with the next heartbeat and cycle, commands until they are observed.
                host.log.warning("message not sent", metadata: [Key.reason: "\(error)"])
            }
        }
    }

    /// Whether it may be said under the term that is ours now; nil when none is.
    static func maySay(_ job: EffectLanes.Job, term: Int64?) -> Bool {
        switch job.effect {
        case .grant(_, _, _, let granting): granting == term
        // Under a later term of ours another may have led in between, and given the game away.
        case .sendCommand: term != nil && job.term == term
        default: true
        }
    }

    private func send(_ effect: Effect) async throws {
        switch effect {
        case .sendCommand(let command):
            _ = try await host.bus.publish(
                ShardCommand(command), on: Channels.commands(command.shard), trace: host.newTrace())
        case .grant(let shard, let incarnation, let beat, let term):
            _ = try await host.bus.publish(
                LeaseGrant(shard: shard, incarnation: incarnation, beat: beat, term: term), on: Channels.grants(shard))
        case .requestMarkets(let game, let request):
            _ = try await host.bus.publish(
                DiscoveryRequest(id: request, game: game), on: Channels.discoveryRequests, trace: host.newTrace())
        case .notify(let note):
            _ = try await host.bus.publish(ServiceNotification(note), on: Channels.notifications)
        case .commitAssignments, .upsertGame, .keepMarkets, .releaseGame, .readDesiredState, .raiseAlert,
            .recoverAlert, .handOverAlert, .report, .answerOperator:
            break
        }
    }
}
