import ArgumentParser
import Domain
import Foundation
import Hosting
import Postgres

/// `linesman terms list|match|unmatch`: a person's word that markets of two venues pay on the same terms.
struct TermsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "terms",
        abstract: "Say which markets of two venues pay on the same terms; without that there is no arbitrage of both.",
        discussion: """
            Compare what both venues write on overtime, postponement, cancellation and refund before you say so. It \
            counts within ten seconds; taken back it counts at once.
            """,
        subcommands: [List.self, Match.self, Unmatch.self], defaultSubcommand: List.self)

    struct Place: ParsableArguments {
        @Option(help: "The database; the DATABASE_URL of the suite when not given.")
        var database: String?

        func run<R: Sendable>(_ body: (PostgresPool) async throws -> R) async throws -> R {
            let pool = try CommandDatabase.open(url: database)
            do {
                let result = try await body(pool)
                await pool.close()
                return result
            } catch {
                await pool.close()
                throw error
            }
        }
    }

    struct Markets: ParsableArguments {
        @Argument(help: "A market's id.")
        var first: String

        @Argument(help: "The other market's id, at another venue.")
        var second: String

        func names() throws -> (MarketID, MarketID) { (try MarketID(first), try MarketID(second)) }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show what was said so far.")

        @OptionGroup var place: Place

        func run() async throws {
            let pairs = try await place.run { try await SameTerms.list($0) }
            if pairs.isEmpty { return Console.say("no markets of two venues are said to pay on the same terms") }
            for pair in pairs { Console.say("\(pair.first)  \(pair.second)  by \(pair.by): \(pair.note)") }
        }
    }

    struct Match: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Both pay on the same terms.")

        @OptionGroup var markets: Markets
        @OptionGroup var place: Place

        @Option(help: "What was compared; it stands in the audit.")
        var note: String

        func run() async throws {
            let (first, second) = try markets.names()
            try await place.run { pool in
                try await pool.transaction("same terms") {
                    try await SameTerms.match(first, second, note: note, by: NSUserName(), $0)
                }
            }
            Console.say("\(first) and \(second) pay on the same terms")
        }
    }

    struct Unmatch: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take that back.")

        @OptionGroup var markets: Markets
        @OptionGroup var place: Place

        func run() async throws {
            let (first, second) = try markets.names()
            let wasThere = try await place.run { pool in
                try await pool.transaction("same terms") {
                    try await SameTerms.unmatch(first, second, by: NSUserName(), $0)
                }
            }
            Console.say("\(first) and \(second) are \(wasThere ? "no longer" : "not") said to pay on the same terms")
        }
    }
}
