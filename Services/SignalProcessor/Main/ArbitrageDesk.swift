import Bus
import Domain
import Hosting
import Logging
import Runtime
import SignalProcessorEngine
import Wire

extension SignalDesk {
    /// Takes arbitrages from their own journal, as signals are taken from theirs.
    func runArbitrages() async throws {
        try await follow(Channels.arbitrages, of: \.signal.shard) { message, sender, trace in
            await self.decide(message.signal, from: sender, trace: trace)
        }
    }

    private func decide(_ signal: ArbitrageSignal, from sender: Incarnation?, trace: TraceID?) async {
        host.venueClock.observe(signal.createdAt)
        let outcome = await storing(signal.id) {
            try await store.process(
                signal, from: sender, trace: trace, engine: engine, marks: marks, at: host.venueClock.now)
        }
        switch outcome {
        case nil: return
        case .known:
            host.context.metrics.counter("signals_redelivered_total", "Signals that were known.").increment()
        case .decided(let verdict):
            engine.committed(verdict)
            host.context.metrics
                .counter("arbitrages_total", "Arbitrages by verdict.", labels: ["verdict": verdict.name]).increment()
            if case .approved = verdict { host.outbox() }
            host.log.info("arbitrage decided", metadata: ["signal": "\(signal.id)", "verdict": "\(verdict.name)"])
        }
    }
}
