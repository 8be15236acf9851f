import Domain
import Foundation
import Hosting
import Postgres
import Redis
import Resilience
import Runtime

/// Changes and reads the kill switch from the command line, with whatever can be reached.
struct KillSwitchDesk: Sendable {
    static let patience = KillSwitchLever.patience
    /// A process that has said nothing for so long is silent: it says something every 5 s.
    static let silence = 15.0

    let file: KillSwitchFile
    let database: String?
    let redis: String?
    let settings: SettingsFile?
    let by: String
    var clock = MachineClock.real

    /// What a process says that it sees.
    struct Seen: Hashable, Sendable {
        let name: String
        let sees: KillSwitchState
        /// In seconds.
        let age: Double
    }

    // MARK: Engage and release

    func engage(reason: String) async -> KillSwitchLever.Taken { await lever.engage(reason: reason, by: by) }

    /// What remains engaged is returned.
    ///
    /// - Throws: when PostgreSQL did not take it: then nothing was released.
    func release(reason: String) async throws -> [String] { try await lever.release(reason: reason, by: by) }

    private var lever: KillSwitchLever {
        KillSwitchLever(file: file) { step in
            try await withDatabase { try await step($0) }
        } withRedis: { step in
            try await withRedis { try await step($0) }
        }
    }

    // MARK: Looking

    func status() async -> (KillSwitchState, [String]) {
        var lines: [String] = []
        let inFile = file.read()
        lines.append("file        \(inFile.rawValue): \(file.path)")
        for note in (file.notes ?? "").split(separator: "\n").suffix(5) { lines.append("            \(note)") }
        var state = inFile
        do {
            let record = try await withDatabase { try await KillSwitchStore.look($0, timeout: Self.patience) }
            state = state.combined(with: record?.state ?? .unknown)
            lines.append(
                "PostgreSQL  "
                    + (record.map { "\($0.state.rawValue) since \(WallClock.text($0.at)) by \($0.by): \($0.reason)" }
                        ?? "unknown: there is no row"))
        } catch {
            state = state.combined(with: .unknown)
            lines.append("PostgreSQL  unknown: \(error)")
        }
        do {
            let isThere = try await withRedis { try await KillSwitchNotice.isThere($0, timeout: Self.patience) }
            if isThere { state = .engaged }
            lines.append("Redis       \(isThere ? "engaged" : "holds nothing")")
        } catch {
            lines.append("Redis       not reached: \(error)")
        }
        lines += await openPositions(state)
        return (state, lines)
    }

    /// What stays at risk, and whether exits wait too; nothing when the database cannot say.
    func openPositions(_ state: KillSwitchState) async -> [String] {
        let found = try? await withDatabase { pool -> (count: Int, cost: Money)? in
            try await pool.first(
                """
                SELECT count(*) AS n, coalesce(sum(cost), 0)::int8 AS cost FROM positions
                WHERE state = 'open' AND net_quantity <> 0
                """
            ).map { (try $0.int("n"), try Money(microdollars: $0.int64("cost"))) }
        }
        guard let found = found ?? nil, found.count > 0 else { return [] }
        let positions = found.count == 1 ? "1 position is" : "\(found.count) positions are"
        let exits = state == .reduceOnly ? "exits pass" : "exits wait too while it is engaged"
        return ["Positions   \(positions) open, $\(found.cost.rounded) at cost; \(exits)"]
    }

    /// From the database and from the files of this host, the newer of both.
    ///
    /// `isComplete` says whether the database answered: the files alone do not tell who is missing.
    func acknowledgements() async -> (seen: [Seen], isComplete: Bool) {
        let now = WallClock.real.microseconds
        var found: [String: Seen] = [:]
        func add(_ seen: KillSwitchAcknowledgement, _ age: Double) {
            let name = "\(seen.service)/\(seen.instance)"
            if let known = found[name], known.age <= age { return }
            found[name] = Seen(name: name, sees: seen.sees, age: max(0, age))
        }
        for seen in file.readAcknowledgements() { add(seen, Double(now - seen.at) / 1_000_000) }
        // Without the database the files of this host are all there is.
        let stored = try? await withDatabase {
            try await KillSwitchStore.acknowledgements($0, timeout: Self.patience)
        }
        for (seen, age) in stored ?? [] { add(seen, age) }
        return (found.values.sorted { $0.name < $1.name }, stored != nil)
    }

    /// Waits until every process that is not silent sees it, at most so long.
    func untilSeen(_ state: KillSwitchState, within limit: Duration) async throws -> [Seen] {
        let began = clock.now
        while true {
            let (seen, isComplete) = await acknowledgements()
            let isSeen = !seen.isEmpty && !seen.contains { $0.age < Self.silence && $0.sees != state }
            let waited = clock.now.since(began)
            if waited >= limit || isSeen && (isComplete || waited >= Self.patience) { return seen }
            try await clock.sleep(for: .milliseconds(100))
        }
    }

    static func table(_ seen: [Seen], expecting state: KillSwitchState) -> String {
        guard !seen.isEmpty else { return "no process has said what it sees" }
        return seen.map { seen in
            let age = "\(seen.age.formatted(decimals: 1)) s ago"
            let judgement =
                seen.age >= silence ? "  silent" : seen.sees == state ? "" : "  HAS NOT SEEN IT"
            return "  \(seen.name.padded(32)) \(seen.sees.rawValue.padded(9)) \(age)\(judgement)"
        }.joined(separator: "\n")
    }

    // MARK: Reaching

    private func withDatabase<R: Sendable>(
        _ body: @escaping @Sendable (PostgresPool) async throws -> R
    ) async throws -> R {
        let pool = try CommandDatabase.open(url: database, file: settings)
        let result = await outcomeOf { try await withDeadline(Self.patience, clock: clock) { try await body(pool) } }
        await pool.close(grace: .milliseconds(100))
        return try result.get()
    }

    private func withRedis<R: Sendable>(
        _ body: @escaping @Sendable (RedisClient) async throws -> R
    ) async throws -> R {
        try await withDeadline(Self.patience, clock: clock) {
            try await CommandRedis.run(url: redis, file: settings, named: "kill-switch", body)
        }
    }

    private func outcomeOf<R>(_ body: () async throws -> R) async -> Result<R, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }
}
