import Bus
import ChaosEngine
import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime
import Wire

/// Listens to every journal of the suite, and asks PostgreSQL for what must have been taken in from it.
final class MessageTap: Sendable {
    /// Nil until every journal is listened to.
    private let ledger = NIOLockedValueBox<MessageLedger?>(nil)
    private let clock: MachineClock

    init(clock: MachineClock) { self.clock = clock }

    var sum: Sample.Messages? { ledger.withLockedValue { $0?.sum } }

    /// After a round that was to lose some.
    func writeOff() { ledger.withLockedValue { $0?.writeOff() } }

    // MARK: - The bus

    /// Listens until cancelled.
    func listen(on bus: Bus) async {
        await withTaskGroup(of: Void.self) { tasks in
            // Advice is taken in by the signal-processor, whatever becomes of it.
            let signals = await follow(Channels.signals, on: bus) { $0.signal.id.rawValue }
            let rest: [(@Sendable () async -> Void)?] = [
                await follow(Channels.acknowledgements, on: bus), await follow(Channels.marketAssignments, on: bus),
                await follow(Channels.discoveryRequests, on: bus), await follow(Channels.discoveryResults, on: bus),
                await follow(Channels.gamesEnded, on: bus), await follow(Channels.intents, on: bus),
                await follow(Channels.orders, on: bus), await follow(Channels.positions, on: bus),
                await follow(Channels.alerts, on: bus),
            ]
            // Cancelled before all were there.
            let all = ([signals] + rest).compactMap { $0 }
            guard all.count == rest.count + 1 else { return }
            ledger.withLockedValue { $0 = MessageLedger() }
            for one in all { tasks.addTask { await one() } }
        }
    }

    /// Subscribes; nil when it could not.
    ///
    /// - Returns: what hears it until cancelled.
    private func follow<Message: WireMessage>(
        _ channel: Channel<Message>, on bus: Bus, taking name: @escaping @Sendable (Message) -> String? = { _ in nil }
    ) async -> (@Sendable () async -> Void)? {
        // Without it the round says that nobody listened.
        guard let stream = try? await bus.subscribe(to: channel, timeout: .seconds(30)) else { return nil }
        return { [ledger] in
            for await delivery in stream {
                guard case .message(let envelope, let channel) = delivery else { continue }
                ledger.withLockedValue {
                    $0?.heard(
                        envelope.sequence, on: channel, from: envelope.source, life: envelope.incarnation.rawValue,
                        taking: name(envelope.body))
                }
            }
        }
    }

    // MARK: - PostgreSQL

    /// Asks for what is not known to be taken in, until cancelled.
    func compare(with pool: PostgresPool) async {
        repeat {
            let asked = ledger.withLockedValue { $0?.asked(atMost: 1_000) } ?? []
            guard !asked.isEmpty else { continue }
            // Who does not answer now is asked again.
            guard
                let rows = try? await pool.query(
                    "SELECT signal_id FROM signals WHERE signal_id = ANY(\(asked)::text[])", timeout: .seconds(1))
            else { continue }
            let known = Set(rows.compactMap { try? $0.text("signal_id") })
            ledger.withLockedValue { $0?.databaseHas(known) }
        } while (try? await clock.sleep(for: .milliseconds(300))) != nil
    }
}
