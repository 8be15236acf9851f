import ArgumentParser
import Domain
import Foundation
import Hosting
import Postgres
import Runtime

/// `linesman why`: what was decided and why, as PostgreSQL remembers it, from the play to the fill.
struct WhyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why",
        abstract: "Print what led to an order and what became of it, or why a signal, an intent or a game had none.")

    @Argument(
        help: """
            An order's id, or the first characters of one that has no other match; or the id of a signal, an intent \
            or a game.
            """)
    var id: String

    @Option(help: "The database; the DATABASE_URL of the suite when not given.")
    var database: String?

    @OptionGroup
    var suite: SuiteSettings

    @Flag(help: "As JSON.")
    var json = false

    func run() async throws {
        let pool = try suite.openDatabase(database)
        let story: Story
        do {
            story = try await Story.find(id, in: pool)
        } catch {
            await pool.close(grace: .zero)
            throw error
        }
        await pool.close()
        Console.say(json ? try story.document() : story.text)
    }
}

/// The answer to "why".
enum Story {
    case order(OrderChain)
    case signal(SignalStory)
    case game(GameStory)

    /// Names are tried from the whole to the part: a game, a signal, an intent, and then the beginning of an order's.
    ///
    /// - Throws: `OrderChain.Refusal` when nothing is called so.
    static func find(_ id: String, in database: some PostgresQuerying) async throws -> Story {
        if let game = try await GameStory(id, from: database) { return .game(game) }
        if let signal = try await SignalStory(id, from: database) { return .signal(signal) }
        let intent = try await database.first("SELECT signal_id FROM intents WHERE intent_id = \(id)")
        if let intent, let signal = try await SignalStory(try intent.text("signal_id"), from: database) {
            return .signal(signal)
        }
        return .order(try await OrderChain.read(id, from: database))
    }

    var text: String {
        switch self {
        case .order(let chain): chain.text()
        case .signal(let story): story.text()
        case .game(let story): story.text()
        }
    }

    func document() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data =
            switch self {
            case .order(let chain): try encoder.encode(chain)
            case .signal(let story): try encoder.encode(story)
            case .game(let story): try encoder.encode(story)
            }
        return String(decoding: data, as: UTF8.self)
    }
}

/// A pool for the length of one command, with the settings of a service on this host.
enum CommandDatabase {
    /// Without `file` it is the one that a service would read.
    static func open(url: String?, file: SettingsFile? = nil) throws -> PostgresPool {
        var environment = ProcessInfo.processInfo.environment
        let file = try file ?? ProcessRunner.settingsFile(environment)
        if let url { environment["DATABASE_URL"] = url }
        environment["DB_POOL_MIN_CONNECTIONS"] = "0"
        environment["DB_POOL_MAX_CONNECTIONS"] = "4"
        let reader = SettingsReader(environment: environment, file: file)
        let settings = PostgresSettings(reader)
        try reader.finish(known: SettingsCatalogue.keys)
        return PostgresPool(
            settings: settings, application: "linesman:cli", clock: .real, random: .system, log: .quiet,
            metrics: MetricsRegistry())
    }
}
