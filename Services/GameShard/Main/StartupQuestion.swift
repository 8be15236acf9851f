import Bus
import Domain
import GameShardEngine
import Hosting
import Logging
import Runtime
import Wire

/// Asks the leading orchestrator which games are this shard's, while PostgreSQL does not answer us (CHECKLIST R56).
///
/// The leader answers from PostgreSQL, read after the question: its word is as good as our own reading.
struct StartupQuestion: Sendable {
    /// Nobody led, or nobody heard us.
    struct Unanswered: Error, CustomStringConvertible {
        let description = "no orchestrator answered"
    }

    let host: ServiceHost
    let shard: ShardID

    /// Between two askings: a hint may be lost.
    static let repeatAfter = Duration.milliseconds(700)
    static let limit = Duration.seconds(2)

    func ask() async throws -> [Assigned] {
        let answers = try await host.bus.subscribe(to: Channels.startupAnswers(.gameShard))
        let question = StartupStateRequest(
            id: try CommandID(host.context.random.uuid()), asker: .gameShard, shard: shard)
        return try await withThrowingTaskGroup(of: [Assigned]?.self) { tasks in
            tasks.addTask { await Self.collect(question.id, answers) }
            tasks.addTask {
                let end = host.clock.now.advanced(by: Self.limit)
                while host.clock.now < end {
                    _ = try await host.bus.publish(question, on: Channels.startupRequests)
                    try await host.clock.sleep(for: Self.repeatAfter)
                }
                throw Unanswered()
            }
            defer { tasks.cancelAll() }
            guard let games = try await tasks.next() ?? nil else { throw Unanswered() }
            return games
        }
    }

    /// All parts of one answer; what was asked twice may be answered twice.
    private static func collect(_ id: CommandID, _ answers: Subscription<StartupState>) async -> [Assigned]? {
        struct Answer: Hashable {
            let term: Int64
            let number: Int
        }
        var answer: Answer?
        var parts: [Int: [StartupState.Entry]] = [:]
        for await delivery in answers {
            guard case .message(let envelope, _) = delivery, envelope.body.request == id else { continue }
            let state = envelope.body
            let own = Answer(term: state.term, number: state.answer)
            if own != answer { parts = [:] }
            answer = own
            parts[state.part] = state.games
            guard parts.count == state.parts else { continue }
            return parts.sorted { $0.key < $1.key }.flatMap(\.value).map { Assigned($0.assignment) }
        }
        return nil
    }
}

extension Assigned {
    init(_ given: GameAssignment) {
        self.init(
            game: given.game, markets: given.markets, epoch: given.epoch,
            pregameHomeProbability: given.pregameHomeProbability)
    }
}
