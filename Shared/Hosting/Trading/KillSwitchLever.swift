import Domain
import Postgres
import Redis
import Resilience
import Runtime

/// Engages and releases the kill switch in every place, with whatever can be reached (decision 0039).
///
/// Whoever has no connection of its own, as a command has none, opens one for each step.
public struct KillSwitchLever: Sendable {
    /// How long PostgreSQL and Redis may take.
    public static let patience = Duration.seconds(3)

    public typealias DatabaseStep = @Sendable (PostgresPool) async throws -> Void
    public typealias RedisStep = @Sendable (RedisClient) async throws -> Void

    /// Which places took the engaging.
    public struct Taken: Sendable {
        public var file = false
        public var database = false
        public var redis = false
        /// For whoever gave the order, one for each place.
        public var lines: [String] = []

        public var isAnywhere: Bool { file || database || redis }
    }

    private let file: KillSwitchFile
    private let withDatabase: @Sendable (@escaping DatabaseStep) async throws -> Void
    private let withRedis: @Sendable (@escaping RedisStep) async throws -> Void

    /// Both closures run a step on a connection of theirs, and bound it.
    public init(
        file: KillSwitchFile, withDatabase: @escaping @Sendable (@escaping DatabaseStep) async throws -> Void,
        withRedis: @escaping @Sendable (@escaping RedisStep) async throws -> Void
    ) {
        self.file = file
        self.withDatabase = withDatabase
        self.withRedis = withRedis
    }

    /// Over the connections of a process that runs.
    public init(_ host: ServiceHost) {
        let (database, redis, clock) = (host.database, host.redis, host.clock)
        self.init(file: host.killSwitch.file) { step in
            try await withDeadline(Self.patience, clock: clock) { try await step(database) }
        } withRedis: { step in
            try await withDeadline(Self.patience, clock: clock) { try await step(redis) }
        }
    }

    /// The file first: it needs nobody, and stops this host at once.
    public func engage(reason: String, by: String) async -> Taken {
        var taken = Taken()
        do {
            try file.create("\(WallClock.text(WallClock.real.microseconds))  \(by)  \(reason)")
            taken.file = true
            taken.lines.append("file        engaged: \(file.path)")
        } catch {
            taken.lines.append("file        not made: \(error)")
        }
        async let inDatabase = outcome {
            try await withDatabase { try await Self.change(engaged: true, reason, by, $0) }
        }
        async let inRedis = outcome {
            try await withRedis { try await KillSwitchNotice.put(reason, $0) }
        }
        let (stored, noticed) = await (inDatabase, inRedis)
        (taken.database, taken.redis) = (stored == nil, noticed == nil)
        taken.lines.append("PostgreSQL  " + (stored.map { "not reached: \($0)" } ?? "engaged"))
        taken.lines.append("Redis       " + (noticed.map { "not reached: \($0)" } ?? "told"))
        return taken
    }

    /// The audited place first; what remains engaged is returned.
    ///
    /// - Throws: when PostgreSQL did not take it: then nothing was released.
    public func release(reason: String, by: String) async throws -> [String] {
        try await withDatabase { try await Self.change(engaged: false, reason, by, $0) }
        var left: [String] = []
        if let reason = await outcome({ try await withRedis { _ = try await KillSwitchNotice.remove($0) } }) {
            left.append("Redis may still hold it (\(reason)): release it again when it is back")
        }
        do {
            try file.remove()
        } catch {
            left.append("the file remains: \(error)")
        }
        return left
    }

    private static func change(engaged: Bool, _ reason: String, _ by: String, _ database: PostgresPool) async throws {
        _ = try await database.transaction(engaged ? "engage kill switch" : "release kill switch") {
            try await KillSwitchStore.change(engaged: engaged, reason: reason, by: by, $0)
        }
    }

    /// Why it did not work; nil when it did.
    private func outcome(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch {
            return "\(error)"
        }
    }
}
