import Bus
import Domain
import Hosting
import Logging
import NIOConcurrencyHelpers
import OrchestratorEngine
import Resilience
import Runtime
import Wire

/// Answers who asks at its start what is watched, by whom, and with which markets (CHECKLIST R56).
///
/// Only the leader answers, from PostgreSQL as it is after the question: whoever asks may take the answer as if it had
/// read itself. Questions that arrive during a read share the next one.
struct StartupAnswers: Sendable {
    /// Questions that may wait; further ones are dropped and counted: they are asked again.
    static let limit = 1_000
    /// Games in one message, which may hold `BUS_MESSAGE_MAX_BYTES`: a game with its markets takes about 2 KiB.
    static let partSize = 100
    /// Shorter than the two seconds for which a shard waits: what is read later reaches nobody.
    static let readTimeout = Duration.milliseconds(1_500)

    private let host: ServiceHost
    private let store: AssignmentStore
    private let waiting = NIOLockedValueBox<[StartupStateRequest]>([])
    private let wake: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation

    init(host: ServiceHost, store: AssignmentStore) {
        self.host = host
        self.store = store
        (wake, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func listen() async throws {
        let questions = try await host.bus.subscribe(to: Channels.startupRequests)
        host.supervisor.add("startup-questions", .important) {
            for await delivery in questions {
                // What falls into a gap is asked again.
                if case .message(let envelope, _) = delivery { take(envelope.body) }
            }
        }
        host.supervisor.add("startup-answers", .important) { await run() }
    }

    private func take(_ question: StartupStateRequest) {
        let isKept = waiting.withLockedValue { waiting in
            guard waiting.count < Self.limit else { return false }
            waiting.append(question)
            return true
        }
        count(isKept ? "asked" : "dropped")
        waker.yield()
    }

    private func run() async {
        var number = 0
        for await _ in wake {
            number += 1
            let questions = waiting.withLockedValue { waiting in
                defer { waiting = [] }
                return waiting
            }
            // A standby knows nothing that the leader does not say better.
            guard !questions.isEmpty, let term = store.leadership.term(at: host.clock.now) else { continue }
            do {
                let games = try await withDeadline(Self.readTimeout, clock: host.clock) { try await store.desired() }
                for question in questions { try await answer(question, games, term: term, number) }
            } catch {
                host.log.warning(
                    "startup state not told", metadata: [Key.count: "\(questions.count)", Key.reason: "\(error)"])
            }
        }
    }

    private func answer(
        _ question: StartupStateRequest, _ games: [DesiredGame], term: Int64, _ number: Int
    ) async throws {
        let entries = games.compactMap { StartupState.Entry($0, for: question) }
        let parts = max(1, (entries.count + Self.partSize - 1) / Self.partSize)
        for part in 1...parts {
            // Stopped meanwhile: another leader may have given games away since.
            guard store.leadership.term(at: host.clock.now) == term else { return count("outdated") }
            let range = (part - 1) * Self.partSize..<min(part * Self.partSize, entries.count)
            let message = StartupState(
                request: question.id, term: term, answer: number, part: part, parts: parts,
                games: Array(entries[range]))
            _ = try await host.bus.publish(message, on: Channels.startupAnswers(question.asker))
        }
        count("answered")
        host.log.info(
            "startup state told", metadata: [Key.kind: "\(question.asker.rawValue)", Key.count: "\(entries.count)"])
    }

    private func count(_ result: String) {
        host.context.metrics
            .counter("startup_questions_total", "Questions for the startup state.", labels: ["result": result])
            .increment()
    }
}

extension StartupState.Entry {
    /// Nil for a game that nobody owns, or that is none of the asker's.
    fileprivate init?(_ game: DesiredGame, for question: StartupStateRequest) {
        guard let shard = game.shard, let epoch = game.epoch, question.shard.map({ $0 == shard }) ?? true else {
            return nil
        }
        let venue = question.asker.venue
        let markets = game.markets.filter { venue == nil || $0.venue == venue }
        if venue != nil, markets.isEmpty { return nil }
        self.init(
            shard: shard,
            assignment: GameAssignment(
                game: game.game, markets: markets, epoch: epoch, pregameHomeProbability: game.pregame))
    }
}
