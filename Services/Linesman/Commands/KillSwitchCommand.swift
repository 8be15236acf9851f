import ArgumentParser
import Domain
import Foundation
import Hosting
import Runtime

/// `linesman kill-switch engage|release|status` (DESIGN rule 14).
struct KillSwitchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill-switch",
        abstract: "Stop all new orders at once, let them go again, or show who has seen it.",
        discussion: """
            Engaged means: engaged in PostgreSQL, or the file is there, or either cannot be read. What rests at a \
            venue is cancelled.
            """,
        subcommands: [Engage.self, Release.self, Status.self], defaultSubcommand: Status.self)

    /// Where the switch is.
    struct Places: ParsableArguments {
        @Option(help: "The switch's file; the KILL_SWITCH_FILE of the suite when not given.")
        var file: String?

        @Option(help: "The database; the DATABASE_URL of the suite when not given.")
        var database: String?

        @Option(help: "The Redis server; the REDIS_URL of the suite when not given.")
        var redis: String?

        @OptionGroup
        var suite: SuiteSettings

        @Option(help: "How long to wait for every process to say that it has seen it, in seconds.")
        var within = 3.0

        func validate() throws {
            guard within >= 0, within <= 3_600 else {
                throw ValidationError("--within must lie between 0 and 3600 seconds, got \(within)")
            }
        }

        func desk() throws -> KillSwitchDesk {
            let (places, settings) = try SuiteSettings.complaining {
                try suite.read(given: ["KILL_SWITCH_FILE": file], KillSwitchSettings.init)
            }
            return KillSwitchDesk(
                file: KillSwitchFile(path: places.file), database: database, redis: redis, settings: settings,
                by: NSUserName())
        }
    }

    struct Engage: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop all new orders: in the file, in PostgreSQL and in Redis, whichever can be reached.",
            discussion: """
                Exit codes: 0 PostgreSQL has it, so it holds on every host; 75 only the file or Redis has it: give it \
                again when PostgreSQL is back; 69 nothing took it.
                """)

        @Option(help: "Why, for the audit and for whoever releases it.")
        var reason = "engaged by an operator"

        @OptionGroup
        var places: Places

        func run() async throws {
            let desk = try places.desk()
            let took = await desk.engage(reason: reason)
            for line in took.lines { Console.say(line) }
            guard took.isAnywhere else {
                Console.complain("kill-switch: nothing took it; stop the processes instead: orders may still leave")
                throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
            }
            let seen = try await desk.untilSeen(.engaged, within: .seconds(places.within))
            Console.say(KillSwitchDesk.table(seen, expecting: .engaged))
            if took.database { for line in await desk.openPositions(.engaged) { Console.say(line) } }
            if !took.database {
                Console.complain("kill-switch: PostgreSQL does not have it: give it again when it is back")
                throw ArgumentParser.ExitCode(FleetControl.unfinished)
            }
        }
    }

    struct Release: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let orders go again: in PostgreSQL with its audit first, then in Redis, then the file.",
            discussion: """
                Exit codes: 0 released everywhere; 69 PostgreSQL cannot be reached, and nothing was released; 75 a \
                part of it remains and is named.
                """)

        @Option(help: "Why trading may go on; it is audited.")
        var reason: String

        @OptionGroup
        var places: Places

        func validate() throws {
            guard !reason.allSatisfy(\.isWhitespace) else { throw ValidationError("--reason must not be empty") }
        }

        func run() async throws {
            let desk = try places.desk()
            let left: [String]
            do {
                left = try await desk.release(reason: reason)
            } catch {
                Console.complain("kill-switch: nothing is released, PostgreSQL did not take it down: \(error)")
                throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
            }
            guard left.isEmpty else {
                for line in left { Console.complain("kill-switch: \(line)") }
                throw ArgumentParser.ExitCode(FleetControl.unfinished)
            }
            Console.say("released; a file on another host must be removed there")
            let seen = try await desk.untilSeen(.released, within: .seconds(places.within))
            Console.say(KillSwitchDesk.table(seen, expecting: .released))
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the switch in each place, and what each process sees.")

        @OptionGroup
        var places: Places

        func run() async throws {
            let desk = try places.desk()
            let (state, lines) = await desk.status()
            Console.say("kill switch: \(state.rawValue)" + (state == .unknown ? ", which counts as engaged" : ""))
            for line in lines { Console.say(line) }
            Console.say(KillSwitchDesk.table(await desk.acknowledgements().seen, expecting: state))
        }
    }
}
