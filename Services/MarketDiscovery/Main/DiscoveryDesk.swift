import Bus
import Domain
import Foundation
import Hosting
import Logging
import MarketDiscoveryEngine
import Resilience
import Runtime
import Wire

/// Hears questions, asks the venue, answers; what it cannot answer is asked again by the orchestrator.
actor DiscoveryDesk {
    private let host: ServiceHost
    private let settings: MarketDiscoverySettings
    private let list: @Sendable (_ series: String) async throws -> [Candidate]
    private var engine: MarketDiscoveryEngine
    /// Series to ask the venue for; the engine asks for one at a time, so it holds at most one a sport.
    private let searches: AsyncStream<String>
    private let toSearches: AsyncStream<String>.Continuation

    /// How long an answer can be read back, in seconds.
    static let answerLife = 7 * 86_400

    init(
        host: ServiceHost, settings: MarketDiscoverySettings,
        list: @escaping @Sendable (_ series: String) async throws -> [Candidate]
    ) {
        self.host = host
        self.settings = settings
        self.list = list
        engine = MarketDiscoveryEngine(cacheFor: settings.cacheFor)
        (searches, toSearches) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
    }

    /// An undecodable question becomes a dead letter of the bus and never reaches this loop.
    ///
    /// What was asked while no market-discovery was there is answered by the next one; what falls into a gap is asked
    /// again by the orchestrator.
    func listen() async throws {
        for await delivery in try await host.bus.subscribe(
            to: Channels.discoveryRequests, resuming: host.position(on: Channels.discoveryRequests), first: .now)
        {
            guard case .message(let envelope, _) = delivery else { continue }
            await handle(.requested(envelope.body.game, request: envelope.body.id))
        }
    }

    /// Asks the venue, one series after another.
    func search() async {
        for await series in searches {
            do {
                let began = host.clock.now
                let list = list
                let found = try await withDeadline(settings.requestTimeout, clock: host.clock) {
                    try await list(series)
                }
                host.log.info(
                    "markets listed",
                    metadata: [
                        "series": "\(series)", Key.count: "\(found.count)",
                        Key.duration: "\(began.duration(to: host.clock.now).wholeMilliseconds)",
                    ])
                await handle(.found(series: series, found))
            } catch {
                host.log.warning("markets not listed", metadata: ["series": "\(series)", Key.reason: "\(error)"])
                await handle(.searchFailed(series: series))
            }
        }
    }

    private func handle(_ event: DiscoveryEvent) async {
        for effect in engine.handle(event, at: host.clock.now) {
            switch effect {
            case .search(let series): toSearches.yield(series)
            case .answer(let request, let game, let result): await answer(request, game, result)
            }
        }
    }

    private func answer(_ request: CommandID, _ game: Game, _ result: MatchResult) async {
        let (markets, reason): ([Market], Unmatched?) =
            switch result {
            case .matched(let markets): (markets, nil)
            case .unmatched(let reason): ([], reason)
            }
        host.context.metrics
            .counter("discovery_answers_total", "Answers by result.", labels: ["result": reason?.rawValue ?? "matched"])
            .increment()
        host.log.info(
            "question answered",
            metadata: [
                Key.game: "\(game.id)", Key.count: "\(markets.count)", Key.reason: "\(reason?.rawValue ?? "")",
            ])
        let message = DiscoveryResult(request: request, game: game.id, markets: markets, reason: reason?.rawValue)
        do {
            _ = try await host.bus.publish(message, on: Channels.discoveryResults, trace: host.newTrace())
            try await remember(message)
        } catch {
            host.log.warning("answer not sent", metadata: [Key.game: "\(game.id)", Key.reason: "\(error)"])
        }
    }

    /// For operators: the newest answer about a game, readable for a week (DOMAIN 1.8).
    private func remember(_ result: DiscoveryResult) async throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(result), as: UTF8.self)
        _ = try await host.redis.send(["SET", "discovery:game:\(result.game)", "\(text)", "EX", "\(Self.answerLife)"])
    }
}
