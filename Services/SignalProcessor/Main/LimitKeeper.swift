import Hosting
import Logging
import Postgres
import Runtime
import SignalProcessorEngine

/// Takes the limits that a person changes while this process runs (CHECKLIST H37).
///
/// What is stored may be anything: each change is judged again by the settings that it stands in for. One that is not
/// valid changes nothing and is told of; where an earlier value of the same limit was taken, that one stays.
actor LimitKeeper {
    static let kind = "limitRefused"

    private let host: ServiceHost
    private let environment: [String: String]
    private let file: SettingsFile?
    private let use: @Sendable (SignalProcessorSettings) async -> Void
    /// As it was read last; nil before.
    private var seen: [ChangedLimit]?
    private var taken: [String: String] = [:]
    /// What was told of each refused limit.
    private var refused: [String: String] = [:]

    /// `use` is handed the settings that count from then on.
    init(
        host: ServiceHost, in context: ProcessContext, use: @escaping @Sendable (SignalProcessorSettings) async -> Void
    ) {
        self.host = host
        self.use = use
        environment = context.environment
        file = context.settingsFile
    }

    func follow() async throws {
        while !Task.isCancelled {
            do {
                try await look()
            } catch let error as PostgresError where error.isWorthAnotherTry && !Task.isCancelled {
                host.log.warning("limits not read", metadata: [Key.reason: "\(error)"])
            }
            try await host.clock.sleep(for: RuntimeLimits.interval)
        }
    }

    /// Reads what is stored, and takes it when it is another than before.
    func look() async throws {
        let written = try await RuntimeLimits.read(host.database)
        if written == seen || written.isEmpty && seen == nil { return seen = written }
        let (settings, changes, problems) = try judge(written)
        await use(settings)
        taken = changes
        tell(problems)
        host.context.metrics.gauge("limits_changed", "Limits that a person has changed.").set(Double(changes.count))
        host.log.notice("limits taken", metadata: ["changed": "\(changes.sorted { $0.key < $1.key })"])
        try await RuntimeLimits.take(changes, by: host.source, host.database)
        seen = written
    }

    /// All of it, or as much of it as is valid.
    private func judge(
        _ written: [ChangedLimit]
    ) throws -> (SignalProcessorSettings, changes: [String: String], problems: [String: SettingsError]) {
        var changes = Dictionary(written.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
        do {
            return (try RuntimeLimits.settings(changes, over: environment, file), changes, [:])
        } catch {
            // One that is not valid must not lift the others.
            changes = [:]
        }
        var problems: [String: SettingsError] = [:]
        var settings = try RuntimeLimits.settings([:], over: environment, file)
        func take(_ key: String, _ value: String) throws(SettingsError) {
            var next = changes
            next[key] = value
            settings = try RuntimeLimits.settings(next, over: environment, file)
            changes = next
        }
        for limit in written {
            do {
                try take(limit.key, limit.value)
            } catch {
                problems[limit.key] = error
                // It was valid beside what was taken then; beside what is taken now it may not be.
                if let earlier = taken[limit.key] { try? take(limit.key, earlier) }
            }
        }
        return (settings, changes, problems)
    }

    /// Each once, until what is wrong with it is something else.
    private func tell(_ problems: [String: SettingsError]) {
        let now = problems.mapValues { "\($0)" }
        for (key, problem) in now.sorted(by: { $0.key < $1.key }) where refused[key] != problem {
            host.log.error("limit refused", metadata: [Key.setting: "\(key)", Key.reason: "\(problem)"])
            host.alerts.fire(
                Self.kind, fingerprint: "\(Self.kind):\(key)",
                "A changed limit is not valid; what counted before stays",
                fields: ["limit": key, "problem": problem, "in_force": taken[key] ?? "as configured"],
                severity: .warning)
        }
        // What an earlier life has told may be over by now.
        let told = Set(refused.keys).union(seen == nil ? RuntimeLimits.keys : [])
        for key in told.subtracting(now.keys).sorted() {
            host.alerts.resolve("\(Self.kind):\(key)", kind: Self.kind, "The limit is valid, or as configured")
        }
        refused = now
    }
}
