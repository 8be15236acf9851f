import Bus
import Domain
import GameShardEngine
import Hosting
import Logging
import Runtime
import Wire

/// What may be missed: the next one replaces it.
enum Hint: Sendable {
    case state(GameStateUpdate)
    case price(PriceUpdate)
}

/// What may not.
enum JournaledMessage: Sendable {
    case signal(Signal)
    case arbitrage(ArbitrageSignal)
    case acknowledgement(CommandAcknowledgement)
    case ended(GameEnded)
}

/// Says on the bus what the engine wants said.
struct Announcer: Sendable {
    let host: ServiceHost

    func announce(_ hint: Hint) async {
        await attempt("hint") {
            switch hint {
            case .state(let update): try await host.bus.publish(update, on: Channels.gameState(update.state.game))
            case .price(let update): try await host.bus.publish(update, on: Channels.price(update.game))
            }
        }
    }

    /// Returns once the journal has it, or the bus keeps it for when Redis is back.
    func announce(_ message: JournaledMessage) async {
        await attempt("message") {
            switch message {
            case .signal(let signal):
                try await host.bus.publish(
                    SignalMessage(signal: signal), on: Channels.signals, trace: host.newTrace())
            case .arbitrage(let signal):
                try await host.bus.publish(
                    ArbitrageMessage(signal: signal), on: Channels.arbitrages, trace: host.newTrace())
            case .acknowledgement(let answer): try await host.bus.publish(answer, on: Channels.acknowledgements)
            case .ended(let ended): try await host.bus.publish(ended, on: Channels.gamesEnded)
            }
        }
        // Written down afterwards: nobody waits for the line.
        switch message {
        case .signal(let signal): note(signal)
        case .arbitrage(let signal): note(signal)
        case .acknowledgement, .ended: break
        }
    }

    private func note(_ signal: Signal) {
        host.log.info(
            "signal",
            metadata: [
                Key.signal: "\(signal.id)", Key.game: "\(signal.game)", Key.market: "\(signal.market)",
                "outcome": "\(signal.outcome.rawValue)", "price": "\(signal.price)",
                "edge_bp": "\(signal.edgeBasisPoints)", "venue_at": "\(signal.createdAt)",
            ])
    }

    private func note(_ signal: ArbitrageSignal) {
        let legs = signal.legs.map { "\($0.outcome.rawValue) of \($0.market) at \($0.price)" }
        host.log.info(
            "arbitrage",
            metadata: [
                Key.signal: "\(signal.id)", Key.game: "\(signal.game)", "legs": "\(legs.joined(separator: ", "))",
                "available": "\(signal.available)", "venue_at": "\(signal.createdAt)",
            ])
    }

    private func attempt(_ what: String, _ publish: () async throws -> Published) async {
        do {
            _ = try await publish()
        } catch {
            host.context.metrics
                .counter("shard_errors_total", "Failures by operation.", labels: ["operation": what]).increment()
            host.log.warning("not published", metadata: [Key.kind: "\(what)", Key.reason: "\(error)"])
        }
    }
}
