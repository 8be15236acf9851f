import Domain
import Logging
import NIOConcurrencyHelpers
import Postgres
import Redis
import Resilience
import Runtime

/// Looks at the kill switch again and again, and says what it sees: every executable has one.
///
/// An order does not rely on it: the database's row is read in the transaction that stores the order, the file directly
/// before the write. It is what acknowledges, alerts and takes orders back.
public final class KillSwitchWatch: Sendable {
    /// What is known of each place; Redis can only engage.
    public struct Reading: Hashable, Sendable {
        public var file = KillSwitchState.unknown
        public var database = KillSwitchState.unknown
        public var isNoticed = false

        public init() {}

        /// Engaged anywhere is engaged; released needs both the database and the file (DESIGN rule 14).
        public var state: KillSwitchState { isNoticed ? .engaged : file.combined(with: database) }
    }

    /// How long the database and Redis may take to answer one look.
    static let patience = Duration.seconds(1)
    /// How often it is said again that nothing has changed.
    static let repetition = Duration.seconds(5)

    public let file: KillSwitchFile
    private let interval: Duration
    private let who: (service: String, instance: String, incarnation: String)
    private let redis: RedisClient
    private let database: PostgresPool
    private let context: ProcessContext
    private let reading = NIOLockedValueBox(Reading())
    private let wakeUps: NIOLockedValueBox<[AsyncStream<KillSwitchState>.Continuation]> = .init([])

    init(
        _ settings: KillSwitchSettings, instance: String, redis: RedisClient, database: PostgresPool,
        in context: ProcessContext
    ) {
        file = KillSwitchFile(path: settings.file)
        interval = settings.interval
        who = (context.service, instance, context.incarnation)
        self.redis = redis
        self.database = database
        self.context = context
    }

    public var current: Reading { reading.withLockedValue { $0 } }

    /// The state now and after each change; what comes while nobody asks is replaced by the newest.
    public func states() -> AsyncStream<KillSwitchState> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: KillSwitchState.self, bufferingPolicy: .bufferingNewest(1))
        wakeUps.withLockedValue { $0.append(continuation) }
        continuation.yield(current.state)
        return stream
    }

    /// Looks until cancelled; the file is not held up by servers that do not answer.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { looks in
            looks.addTask { try await self.lookAtFile() }
            looks.addTask { try await self.lookAtRecords() }
            try await looks.waitForAll()
        }
    }

    private func lookAtFile() async throws {
        var said: (KillSwitchState, MachineInstant)?
        while !Task.isCancelled {
            note { $0.file = file.read() }
            let state = current.state
            // Who makes the file waits for our word: it is given at every look while the file is there.
            if isNews(state, said) || current.file == .engaged {
                said = (state, context.clock.now)
                file.acknowledge(acknowledgement(state))
            }
            try await context.clock.sleep(for: interval)
        }
    }

    private func lookAtRecords() async throws {
        var said: (KillSwitchState, MachineInstant)?
        while !Task.isCancelled {
            // What Redis said last holds while it does not answer.
            if let isThere = try? await KillSwitchNotice.isThere(redis, timeout: Self.patience) {
                note { $0.isNoticed = isThere }
            }
            // What cannot be read is unknown.
            let record = try? await KillSwitchStore.look(database, timeout: Self.patience)
            note { $0.database = record?.state ?? .unknown }
            let state = current.state
            if record != nil, isNews(state, said) {
                do {
                    try await KillSwitchStore.acknowledge(acknowledgement(state), database, timeout: Self.patience)
                    said = (state, context.clock.now)
                } catch  where !Task.isCancelled {
                    context.log.debug("kill switch not acknowledged", metadata: [Key.reason: "\(error)"])
                }
            }
            try await context.clock.sleep(for: interval)
        }
    }

    private func isNews(_ state: KillSwitchState, _ said: (state: KillSwitchState, at: MachineInstant)?) -> Bool {
        guard let said else { return true }
        return said.state != state || context.clock.now.since(said.at) >= Self.repetition
    }

    private func acknowledgement(_ state: KillSwitchState) -> KillSwitchAcknowledgement {
        KillSwitchAcknowledgement(
            service: who.service, instance: who.instance, incarnation: who.incarnation, sees: state,
            at: context.wallClock.microseconds)
    }

    private func note(_ change: (inout Reading) -> Void) {
        let (before, after) = reading.withLockedValue { reading in
            let before = reading
            change(&reading)
            return (before, reading)
        }
        guard before.state != after.state else { return }
        context.log.notice(
            "kill switch seen",
            metadata: [
                "state": "\(after.state.rawValue)", "file": "\(after.file.rawValue)",
                "database": "\(after.database.rawValue)", "noticed": "\(after.isNoticed)",
            ])
        for waiting in wakeUps.withLockedValue({ $0 }) { waiting.yield(after.state) }
    }
}
