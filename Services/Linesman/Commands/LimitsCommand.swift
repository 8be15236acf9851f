import ArgumentParser
import Foundation
import Hosting
import Postgres
import Resilience
import Runtime

/// `linesman limits`: what a person has changed of the limits while the suite runs (CHECKLIST H37).
struct LimitsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limits",
        abstract: "Show the limits of new entries, or change one without a restart.",
        discussion: """
            A change counts within a second in every signal-processor, lasts over restarts until it is taken back, and \
            is audited. It is judged as the setting that it stands in for: one that is not valid, by itself or beside \
            the others, is refused and changes nothing. An order's limits are checked again by the execution-service, \
            which keeps what it was started with: there they can only be made tighter.
            """,
        subcommands: [Show.self, Set.self, Reset.self], defaultSubcommand: Show.self)

    struct Place: ParsableArguments {
        @Option(help: "The database; the DATABASE_URL of the suite when not given.")
        var database: String?

        @OptionGroup
        var suite: SuiteSettings

        /// The settings with these limits changed, as a signal-processor would read them here.
        ///
        /// - Throws: exit code 78, once every problem was said.
        func settings(_ changes: [String: String]) throws -> SignalProcessorSettings {
            var environment = ProcessInfo.processInfo.environment
            if let database { environment["DATABASE_URL"] = database }
            return try SuiteSettings.complaining {
                try RuntimeLimits.settings(changes, over: environment, try suite.file())
            }
        }

        func run<R: Sendable>(_ body: (PostgresPool) async throws -> R) async throws -> R {
            let pool = try suite.openDatabase(database)
            let result: Result<R, any Error>
            do { result = .success(try await body(pool)) } catch { result = .failure(error) }
            await pool.close(grace: .milliseconds(100))
            do {
                return try result.get()
            } catch let error as PostgresError {
                Console.complain("limits: PostgreSQL does not answer: \(error)")
                throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
            }
        }
    }

    struct Change: ParsableArguments {
        @Option(help: "Why; it is audited.")
        var reason: String

        @Option(help: "How long to wait for a signal-processor to take it, in seconds.")
        var within = 5.0

        @OptionGroup
        var place: Place

        func validate() throws {
            guard !reason.allSatisfy(\.isWhitespace) else { throw ValidationError("--reason must not be empty") }
            guard within >= 0, within <= 3_600 else {
                throw ValidationError("--within must lie between 0 and 3600 seconds, got \(within)")
            }
        }

        /// Waits until somebody decides by it.
        func follow(_ row: Int64, _ what: String, _ pool: PostgresPool) async throws {
            let clock = MachineClock.real
            let end = clock.now.advanced(by: .milliseconds(Int64(within * 1_000)))
            var takers = try await RuntimeLimits.takers(since: row, pool)
            while takers.isEmpty, clock.now < end {
                try await clock.sleep(for: .milliseconds(50))
                takers = try await RuntimeLimits.takers(since: row, pool)
            }
            if takers.isEmpty {
                Console.complain("\(what): stored; no signal-processor has taken it yet")
                throw ArgumentParser.ExitCode(FleetControl.unfinished)
            }
            Console.say("\(what), taken by \(takers.joined(separator: ", "))")
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show each limit, and who has changed it.")

        @OptionGroup
        var place: Place

        func run() async throws {
            let changed = try await place.run { try await RuntimeLimits.read($0) }
            let configured = try LimitsReport.configured(place)
            Console.say(LimitsReport.text(configured, changed))
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change a limit.",
            discussion: """
                Exit codes: 0 a signal-processor has taken it; 75 it is stored, and none has within --within seconds; \
                78 it is refused, and nothing has changed; 69 PostgreSQL cannot be reached.
                """)

        @Argument(help: "LIMIT=VALUE, as it would stand in the settings, for example MAX_GAME_EXPOSURE=25.")
        var setting: String

        @OptionGroup
        var change: Change

        func validate() throws {
            guard setting.contains("=") else { throw ValidationError("LIMIT=VALUE is asked for, got \(setting)") }
        }

        func run() async throws {
            let limit = String(setting.prefix { $0 != "=" })
            let value = String(setting.dropFirst(limit.count + 1))
            let (reason, by) = (change.reason, NSUserName())
            let others = try await change.place.run { try await RuntimeLimits.read($0) }
            var all = Dictionary(others.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
            // A change that is not valid any more must not keep another from being made.
            if (try? change.place.quietly(all)) == nil { all = [:] }
            all[limit] = value
            _ = try change.place.settings(all)
            try await change.place.run { pool in
                let row = try await pool.transaction("change a limit") {
                    try await RuntimeLimits.set(limit, to: value, reason: reason, by: by, $0)
                }
                try await change.follow(row, "\(limit) is \(value)", pool)
            }
        }
    }

    struct Reset: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a change back: what is configured counts again.",
            discussion: """
                Exit codes: 0 a signal-processor has taken it; 75 there was no change, or none has taken it within \
                --within seconds; 69 PostgreSQL cannot be reached.
                """)

        @Argument(help: "The setting.")
        var limit: String

        @OptionGroup
        var change: Change

        func run() async throws {
            let (limit, reason, by) = (limit, change.reason, NSUserName())
            try await change.place.run { pool in
                let row = try await pool.transaction("take a limit back") {
                    try await RuntimeLimits.reset(limit, reason: reason, by: by, $0)
                }
                guard let row else {
                    Console.complain("limits: \(limit) was not changed")
                    throw ArgumentParser.ExitCode(FleetControl.unfinished)
                }
                try await change.follow(row, "\(limit) is as configured", pool)
            }
        }
    }
}

extension LimitsCommand.Place {
    /// The same without a word.
    fileprivate func quietly(_ changes: [String: String]) throws -> SignalProcessorSettings {
        try RuntimeLimits.settings(changes, over: ProcessInfo.processInfo.environment, try suite.file())
    }
}

/// The limits for people.
enum LimitsReport {
    /// What the settings here say of each limit.
    static func configured(_ place: LimitsCommand.Place) throws -> [String: String] {
        try SuiteSettings.complaining {
            let reader = SettingsReader(environment: ProcessInfo.processInfo.environment, file: try place.suite.file())
            _ = SignalProcessorSettings(reader)
            return Dictionary(
                reader.declared.map { ($0.key, $0.value ?? "") }, uniquingKeysWith: { first, _ in first })
        }
    }

    static func text(_ configured: [String: String], _ changed: [ChangedLimit]) -> String {
        let changes = Dictionary(changed.map { ($0.key, $0) }, uniquingKeysWith: { $1 })
        let rows = RuntimeLimits.keys.map { key in
            let own = configured[key] ?? ""
            guard let change = changes[key] else { return "\(key.padded(26)) \(own)" }
            let when = WallClock.text(change.changedAt)
            return "\(key.padded(26)) \(change.value.padded(12)) instead of \(own), by \(change.by) at \(when): "
                + change.reason
        }
        let strange = changes.keys.filter { !RuntimeLimits.keys.contains($0) }.sorted()
        return (rows + strange.map { "\($0.padded(26)) is no limit, and counts for nothing" }).joined(separator: "\n")
    }
}
