import ArgumentParser
import Foundation
import Hosting
import Postgres
import Resilience
import Runtime

extension ReconcileCommand {
    /// `linesman reconcile adopt`: fills of orders that we do not know become Linesman's own.
    struct Adopt: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make fills of orders that we do not know Linesman's own, as after a backup was restored.",
            discussion: """
                The execution-service looks at the venue and books them as it books its own: orders, positions and \
                money are ours from then on, limits count them, exits and settlements see to them. The fills of one \
                order go together. It is audited. The kill switch stays as it is. What was accepted is refused. \
                Exit codes: 0 adopted; 75 nothing was, or not within --within seconds: the request is then carried \
                out by the next look within an hour; 69 PostgreSQL cannot be reached.
                """)

        @Option(help: "Why they are ours; it is audited.")
        var reason: String

        @Option(
            name: .customLong("fill"), parsing: .upToNextOption,
            help: "The fills, each with the others of its order; all that `linesman reconcile` shows when not given.")
        var fills: [String] = []

        @Option(help: "How long to wait for the execution-service, in seconds.")
        var within = 30.0

        @OptionGroup
        var place: Place

        func validate() throws {
            guard !reason.allSatisfy(\.isWhitespace) else { throw ValidationError("--reason must not be empty") }
            guard !fills.contains(where: { $0.allSatisfy(\.isWhitespace) }) else {
                throw ValidationError("--fill must not be empty")
            }
            guard within >= 0, within <= 3_600 else {
                throw ValidationError("--within must lie between 0 and 3600 seconds, got \(within)")
            }
        }

        func run() async throws {
            let answer = try await place.run { store, pool in try await adopt(store, pool) }
            guard let answer else {
                Console.complain(
                    "reconcile: no look within \(within.formatted(decimals: 0)) s; is the execution-service running? "
                        + "The next look within an hour carries it out")
                throw ArgumentParser.ExitCode(FleetControl.unfinished)
            }
            for line in answer { Console.say(ReconcileReport.line(line)) }
            guard answer.contains(where: \.isAdopted) else {
                Console.complain("reconcile: nothing was adopted")
                throw ArgumentParser.ExitCode(FleetControl.unfinished)
            }
            Console.say("the next comparison counts them as ours; release the kill switch if it was engaged for them")
        }

        /// Asks, and waits until the execution-service has answered; nil when it did not in time.
        private func adopt(_ store: ReconciliationStore, _ pool: PostgresPool) async throws -> [AdoptionLine]? {
            let clock = MachineClock.real
            let until = clock.now.advanced(by: .milliseconds(Int64(within * 1_000)))
            let number = try await store.askToAdopt(fills, reason: reason, by: NSUserName(), pool)
            // A look that begins from here on finds the request.
            _ = try await store.request(pool)
            while true {
                if let answer = try await store.adoptionAnswer(to: number, pool) { return answer }
                if clock.now >= until { return nil }
                try await clock.sleep(for: .milliseconds(200))
            }
        }
    }
}
