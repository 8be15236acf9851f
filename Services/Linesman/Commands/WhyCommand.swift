import ArgumentParser
import Domain
import Foundation
import Hosting
import Postgres
import Runtime

/// `linesman why ORDER`: from the play to the fill, as PostgreSQL remembers it.
struct WhyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why", abstract: "Print the chain play, signal, intent, order, fill of one order.")

    @Argument(help: "An order's id, or the first characters of one that has no other match.")
    var order: String

    @Option(help: "The database; the DATABASE_URL of the suite when not given.")
    var database: String?

    @Flag(help: "As JSON.")
    var json = false

    func run() async throws {
        let pool = try CommandDatabase.open(url: database)
        let chain = try await OrderChain.read(order, from: pool)
        await pool.close()
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            Console.say(String(decoding: try encoder.encode(chain), as: UTF8.self))
        } else {
            Console.say(chain.text())
        }
    }
}

/// A pool for the length of one command.
enum CommandDatabase {
    static func open(url: String?, file: SettingsFile? = nil) throws -> PostgresPool {
        var environment = ProcessInfo.processInfo.environment
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
