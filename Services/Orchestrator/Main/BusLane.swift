import Bus
import Domain
import Hosting
import Logging
import OrchestratorEngine
import Runtime
import Wire

/// Sends what the engine wants said, in its order.
struct BusLane: Sendable {
    let host: ServiceHost

    func run(_ effects: AsyncStream<Effect>) async {
        for await effect in effects {
            do {
                try await send(effect)
            } catch {
                // Grants and questions come again with the next heartbeat and cycle, commands until they are observed.
                host.log.warning("message not sent", metadata: [Key.reason: "\(error)"])
            }
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
        case .commitAssignments, .upsertGame, .releaseGame, .readDesiredState, .raiseAlert, .recoverAlert, .report,
            .answerOperator:
            break
        }
    }
}
