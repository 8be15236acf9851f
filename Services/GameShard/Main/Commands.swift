import Bus
import Domain
import GameShardEngine
import Hosting
import Logging
import Postgres
import Resilience
import Runtime
import Wire

/// Listens to the orchestrator, and reads from PostgreSQL what listening cannot know.
///
/// Commands are announced after they were committed, so what came before the subscription is read from PostgreSQL;
/// a start, a reconnect and a gap are one code path (DESIGN rule 2).
struct Commands: Sendable {
    let host: ServiceHost
    let shard: ShardID
    let store: ShardStore
    let watcher: GameWatcher
    let lanes: Lanes

    /// Subscribes, then asks for all assignments.
    func follow() async throws {
        for await delivery in try await subscribedAndReread() {
            switch delivery {
            case .message(let envelope, _): await watcher.handle(Self.event(envelope.body))
            case .gap(let gap):
                host.log.warning("commands were missed", metadata: [Key.reason: "\(gap.reason.rawValue)"])
                lanes.rereads.add(())
            }
        }
    }

    private func subscribedAndReread() async throws -> Subscription<ShardCommand> {
        let commands = try await host.bus.subscribe(to: Channels.commands(shard))
        lanes.rereads.add(())
        return commands
    }

    /// Takes grants for this life's heartbeats; a missed one is replaced by the next.
    func followGrants() async throws {
        for await delivery in try await host.bus.subscribe(to: Channels.grants(shard)) {
            guard case .message(let envelope, _) = delivery, envelope.body.incarnation == host.incarnation else {
                continue
            }
            await watcher.handle(.granted(beat: envelope.body.beat, term: envelope.body.term))
        }
    }

    /// Reads all assignments whenever asked, and does not give up.
    func reread() async {
        await lanes.rereads.run { _ in
            var backoff = Backoff(base: .milliseconds(100), cap: .seconds(2), multiplier: 2, jitter: 0.1)
            while !Task.isCancelled {
                do {
                    let asked = host.clock.now
                    let list = try await assigned()
                    return await watcher.handle(.reread(list, asked: asked))
                } catch {
                    failed("startup question", error)
                    let delay = host.context.random.withGenerator { backoff.next(using: &$0) }
                    // Cancelled: the loop's condition sees it.
                    try? await host.clock.sleep(for: delay)
                }
            }
        }
    }

    /// PostgreSQL's word: by itself, or by the leading orchestrator that can read it when we cannot.
    private func assigned() async throws -> [Assigned] {
        do {
            let list = try await store.assigned()
            host.log.info("assignments read", metadata: [Key.count: "\(list.count)"])
            return list
        } catch {
            failed("reread", error)
        }
        let list = try await StartupQuestion(host: host, shard: shard).ask()
        host.log.info("assignments told by the orchestrator", metadata: [Key.count: "\(list.count)"])
        return list
    }

    /// Asks for the epochs; a question without an answer in time is left without one.
    func answerQuestions(within limit: Duration) async {
        await lanes.questions.run { question in
            do {
                let epochs = try await store.epochs(timeout: limit)
                await watcher.handle(.epochsAnswered(epochs, asked: question.at))
            } catch {
                failed("epochs", error)
            }
        }
    }

    /// How often a shard asks whether its name is still its own.
    static let nameInterval = Duration.seconds(5)

    /// Says once that another process has our name, which has all games then.
    ///
    /// This one stays: started again by a supervisor it would take the name back, and so on for ever. It is heard no
    /// more, so that it is not taken for the other when that one dies.
    func watchName() async throws {
        while !Task.isCancelled {
            // Without an answer nobody has taken it.
            let successor = try? await store.successor()
            if let successor {
                tellReplaced(by: successor)
                await watcher.replaced()
                return
            }
            try await host.clock.sleep(for: Self.nameInterval)
        }
    }

    private func tellReplaced(by successor: Incarnation) {
        host.log.error(
            "another process has this shard's name", metadata: [Key.shard: "\(shard)", "successor": "\(successor)"])
        host.alerts.fire(
            "ShardReplaced", fingerprint: "ShardReplaced:\(shard)",
            "Two processes run as \(shard): the older one watches nothing any more. "
                + "Stop it, or give one of the two a SHARD_ID of its own.",
            fields: ["shard": "\(shard)", "older": "\(host.incarnation)", "newer": "\(successor)"],
            severity: .warning, isLasting: false)
    }

    /// Hands rows to the journal, which stores them now or when the database is back.
    func keepRecords(in journal: WriteJournal) async {
        await lanes.records.run { record in
            do {
                journal.submit(try ShardRow.deferred(record))
            } catch {
                failed("record", error)
            }
        }
    }

    private func failed(_ operation: String, _ error: any Error) {
        host.context.metrics
            .counter("shard_errors_total", "Failures by operation.", labels: ["operation": operation]).increment()
        host.log.warning("database did not answer", metadata: [Key.kind: "\(operation)", Key.reason: "\(error)"])
    }

    private static func event(_ command: ShardCommand) -> ShardEvent {
        switch command.order {
        case .assign(let given): return .assign(command.id, Assigned(given))
        case .revoke(let game, let epoch, _): return .revoke(command.id, game, epoch: epoch)
        }
    }
}
