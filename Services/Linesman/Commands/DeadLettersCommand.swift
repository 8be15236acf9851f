import ArgumentParser
import Bus
import Foundation
import Hosting
import Redis
import Runtime

/// `linesman dead-letters`: messages that a service could not decode, as Redis keeps them.
struct DeadLettersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dead-letters",
        abstract: "Show messages that no service could decode: when, who, on which channel, why, and how they begin.")

    @Option(help: "The Redis server; the REDIS_URL of the suite when not given.")
    var redis: String?

    @OptionGroup
    var suite: SuiteSettings

    @Option(help: "How many of the newest to show, 1 to \(DeadLetterStream.length).")
    var limit = 20

    @Flag(help: "As JSON.")
    var json = false

    @Flag(help: "Remove all of them after they were shown.")
    var clear = false

    func validate() throws {
        guard (1...DeadLetterStream.length).contains(limit) else {
            throw ValidationError("--limit must lie in 1...\(DeadLetterStream.length), got \(limit)")
        }
    }

    func run() async throws {
        let file = try SuiteSettings.complaining { try suite.file() }
        let (letters, total) = try await CommandRedis.run(url: redis, file: file, named: "dead-letters") { client in
            let stream = DeadLetterStream(client)
            let found = try await stream.read(limit: limit)
            if clear { _ = try await stream.clear() }
            return found
        }
        Console.say(json ? try Self.document(letters, total) : Self.table(letters, total, isCleared: clear))
    }

    private struct Document: Encodable {
        let total: Int
        let letters: [DeadLetter]
    }

    static func document(_ letters: [DeadLetter], _ total: Int) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(Document(total: total, letters: letters)), as: UTF8.self)
    }

    /// Newest last, each with its payload's beginning on a line of its own.
    static func table(_ letters: [DeadLetter], _ total: Int, isCleared: Bool) -> String {
        guard !letters.isEmpty else { return "no dead letters" }
        var lines = letters.flatMap { letter in
            let more = letter.size > letter.payloadPrefix.utf8.count ? "…" : ""
            return [
                "\(WallClock.text(letter.at))  \(visible(letter.reader).padded(28)) \(visible(letter.channel))",
                "    why      \(visible(letter.reason))",
                "    payload  \(visible(letter.payloadPrefix))\(more)  (\(letter.size) bytes)",
            ]
        }
        let hidden = total > letters.count ? "the newest \(letters.count) of \(total)" : "\(total)"
        lines.append("\(hidden) dead \(total == 1 ? "letter" : "letters")\(isCleared ? ", all removed" : "")")
        return lines.joined(separator: "\n")
    }

    /// What a stranger sent must not move a terminal's cursor.
    private static func visible(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            scalar.properties.generalCategory == .control || scalar.properties.generalCategory == .format
                ? scalar.escaped(asASCII: true) : String(scalar)
        }.joined()
    }
}

/// A Redis client for the length of one command.
enum CommandRedis {
    static func run<R: Sendable>(
        url: String?, file: SettingsFile? = nil, named name: String,
        _ body: @escaping @Sendable (RedisClient) async throws -> R
    ) async throws -> R {
        var environment = ProcessInfo.processInfo.environment
        let file = try file ?? ProcessRunner.settingsFile(environment)
        if let url { environment["REDIS_URL"] = url }
        let reader = SettingsReader(environment: environment, file: file)
        let settings = RedisSettings(reader)
        do {
            try reader.finish(known: SettingsCatalogue.keys)
        } catch {
            for problem in error.problems { Console.complain("\(problem)") }
            throw ArgumentParser.ExitCode(Runtime.ExitCode.configuration.rawValue)
        }
        let client = RedisClient(
            settings: settings, name: "linesman:\(name)", clock: .real, random: .system, log: .quiet,
            metrics: MetricsRegistry())
        return try await withThrowingTaskGroup(of: R?.self) { tasks in
            tasks.addTask {
                try await client.run()
                return nil
            }
            tasks.addTask {
                try await untilConnected(client)
                return try await body(client)
            }
            defer { tasks.cancelAll() }
            while let result = try await tasks.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    private static func untilConnected(_ client: RedisClient) async throws {
        do {
            try await withDeadline(.seconds(3), clock: .real) {
                for await _ in client.servers() { return }
            }
        } catch is DeadlineExceeded {
            let reason = client.status.commands.lastError.map { " (\($0.rawValue))" } ?? ""
            Console.complain("no Redis answers\(reason); is the suite running? --redis or REDIS_URL names another")
            throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
        }
    }
}
