import ArgumentParser
import Domain
import Foundation
import Hosting
import Postgres
import Resilience
import Runtime

/// `linesman reconcile`: in what our books and the venue's differ (CHECKLIST N12).
struct ReconcileCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reconcile",
        abstract: "Show in what our books and the venue's differ, accept that they do, or adopt what is ours.",
        discussion: """
            The execution-service compares orders, fills, positions and balance at its start and every \
            RECONCILIATION_INTERVAL_SECS; this shows what it found last, and --now asks it for another look. While \
            they differ no new order is sent.
            """,
        subcommands: [Show.self, Accept.self, Adopt.self], defaultSubcommand: Show.self)

    /// Which account, and where it is stored.
    struct Place: ParsableArguments {
        @Option(help: "The account: paper or live; what the suite's settings say when not given.")
        var account: String?

        @Option(help: "The database; the DATABASE_URL of the suite when not given.")
        var database: String?

        @OptionGroup
        var suite: SuiteSettings

        func validate() throws {
            guard [nil, "paper", "live"].contains(account) else {
                throw ValidationError("--account is paper or live, got \(account ?? "")")
            }
        }

        /// The settings of the suite decide, as they do in every service.
        func open() throws -> (store: ReconciliationStore, pool: PostgresPool) {
            try SuiteSettings.complaining {
                let (trading, file) = try suite.read(TradingSettings.init)
                let isLive = account.map { $0 == "live" } ?? (trading.mode == .live)
                return (
                    ReconciliationStore(TradingAccount(isLive ? .live : .paper), at: .kalshi),
                    try CommandDatabase.open(url: database, file: file)
                )
            }
        }

        /// Runs the body, and says when the database is away.
        func run<R: Sendable>(
            _ body: (ReconciliationStore, PostgresPool) async throws -> R
        ) async throws -> R {
            let (store, pool) = try open()
            let result: Result<R, any Error>
            do { result = .success(try await body(store, pool)) } catch { result = .failure(error) }
            await pool.close(grace: .milliseconds(100))
            do {
                return try result.get()
            } catch let error as PostgresError {
                Console.complain("reconcile: PostgreSQL does not answer: \(error)")
                throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the newest comparison.",
            discussion: """
                Exit codes: 0 equal, or nothing to compare; 1 they differ; 75 not compared yet, or not within --within \
                seconds; 69 PostgreSQL cannot be reached.
                """)

        @OptionGroup
        var place: Place

        @Flag(help: "Ask the execution-service for a look now, and wait for it.")
        var now = false

        @Option(help: "How long to wait for the look that --now asks for, in seconds.")
        var within = 30.0

        @Flag(help: "As JSON.")
        var json = false

        func validate() throws {
            guard within >= 0, within <= 3_600 else {
                throw ValidationError("--within must lie between 0 and 3600 seconds, got \(within)")
            }
        }

        func run() async throws {
            let (record, strangers, isNew) = try await place.run { store, pool in
                var record = try await store.read(pool)
                var isNew = true
                if now { (record, isNew) = try await look(store, pool) }
                return (record, try await store.foreignFills(limit: 20, pool), isNew)
            }
            Console.say(
                json
                    ? try ReconcileReport.document(record, strangers)
                    : ReconcileReport.text(record, strangers, now: WallClock.real.microseconds))
            if !isNew {
                Console.complain(
                    "reconcile: no look within \(within.formatted(decimals: 0)) s; is the execution-service running?")
                throw ArgumentParser.ExitCode(FleetControl.unfinished)
            }
            let code = ReconcileReport.exitCode(record)
            if code != 0 { throw ArgumentParser.ExitCode(code) }
        }

        /// Asks, and waits until a look that began afterwards has come to an end that means something.
        private func look(
            _ store: ReconciliationStore, _ pool: PostgresPool
        ) async throws -> (ReconciliationRecord?, Bool) {
            let clock = MachineClock.real
            let until = clock.now.advanced(by: .milliseconds(Int64(within * 1_000)))
            let wanted = try await store.request(pool)
            while true {
                let record = try await store.read(pool)
                let isNew = record.map { $0.lookedAt >= wanted } ?? false
                if isNew, let record, record.verdict != .waiting { return (record, true) }
                if clock.now >= until { return (record, isNew) }
                try await clock.sleep(for: .milliseconds(200))
            }
        }
    }

    struct Accept: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Accept every difference of the newest comparison: it is somebody else's, and rightly there.",
            discussion: """
                Orders, fills, contracts and money that were accepted are left out of later comparisons, as far as \
                they are the same; nothing of it becomes Linesman's, nor can it be adopted later. It is audited. \
                The kill switch stays as it is. \
                Exit codes: 0 accepted; 75 there was nothing to accept; 69 PostgreSQL cannot be reached.
                """)

        @Option(help: "Why it is right; it is audited.")
        var reason: String

        @OptionGroup
        var place: Place

        func validate() throws {
            guard !reason.allSatisfy(\.isWhitespace) else { throw ValidationError("--reason must not be empty") }
        }

        func run() async throws {
            let (reason, by) = (reason, NSUserName())
            let accepted = try await place.run { store, pool in
                try await pool.transaction("accept differences") { transaction in
                    try await store.acceptAll(reason: reason, by: by, transaction)
                }
            }
            for difference in accepted { Console.say("accepted  \(ReconcileReport.line(difference))") }
            guard !accepted.isEmpty else {
                Console.complain("reconcile: the newest comparison has no difference to accept")
                throw ArgumentParser.ExitCode(FleetControl.unfinished)
            }
            Console.say("the next comparison leaves them out; release the kill switch if it was engaged for them")
        }
    }
}

/// A comparison for people and for programs.
enum ReconcileReport {
    static func exitCode(_ record: ReconciliationRecord?) -> Int32 {
        switch record?.verdict {
        case .equal, .ownBooks: 0
        case .differs: Runtime.ExitCode.failure.rawValue
        case .waiting, .unreachable, nil: FleetControl.unfinished
        }
    }

    private struct Document: Encodable {
        let comparison: ReconciliationRecord?
        let foreignFills: [ForeignFill]
    }

    static func document(_ record: ReconciliationRecord?, _ strangers: [ForeignFill]) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(
            decoding: try encoder.encode(Document(comparison: record, foreignFills: strangers)), as: UTF8.self)
    }

    static func text(_ record: ReconciliationRecord?, _ strangers: [ForeignFill], now: Int64) -> String {
        guard let record else { return "not compared yet: no execution-service has looked" }
        var lines = ["\(headline(record)), looked at \(WallClock.text(record.lookedAt)) by \(record.lookedBy)"]
        if !record.reason.isEmpty { lines.append("  \(record.reason)") }
        if let since = record.differsSince { lines.append("  since \(WallClock.text(since))") }
        if let equal = record.equalAt, record.verdict != .equal, record.verdict != .ownBooks {
            lines.append("  last equal \(WallClock.text(equal))")
        }
        if record.verdict != .ownBooks {
            lines.append(
                "  the venue listed \(record.orders) orders, \(record.fills) fills, \(record.positions) positions")
        }
        if let ours = record.balance, let theirs = record.venueBalance {
            lines.append("  balance ours \(money(ours)), venue's \(money(theirs))")
        }
        if !record.haltedFor.isEmpty {
            lines.append("  the kill switch was engaged for \(record.haltedFor.joined(separator: ", "))")
        }
        if !record.differences.isEmpty {
            lines.append(
                "  \("what".padded(18)) \("which".padded(40)) \("ours".padded(14)) \("venue's".padded(14)) who mends it"
            )
            for difference in record.differences { lines.append("  \(line(difference))") }
        }
        if !strangers.isEmpty {
            lines.append(
                "  fills in the account that are not ours, newest first (ours after all: `linesman reconcile adopt`):")
            for fill in strangers { lines.append("    \(line(fill))") }
        }
        return lines.joined(separator: "\n")
    }

    /// One fill of an order that is not ours in columns; the price is that of YES.
    static func line(_ fill: ForeignFill) -> String {
        let count = FixedPoint.format(fill.quantity, scale: 2)
        let price = FixedPoint.format(fill.yesPrice, scale: 4)
        return "\(fill.fill.padded(24)) \(fill.market.padded(32)) \(fill.bought ?? "?") \(count) at \(price)"
    }

    /// What became of one fill that was to be adopted.
    static func line(_ line: AdoptionLine) -> String {
        let fill = line.kept.map { Self.line($0) } ?? line.fill
        if let refusal = line.refusal {
            let order = line.order.map { ", order \($0)" } ?? ""
            return "refused   \(fill)  \(refusal): \(line.explanation ?? "")\(order)"
        }
        let fee = line.fee.map { "fee \(money($0))" + (line.isFeeComputed ? " by the published schedule" : "") }
        return "adopted   \(fill), \(fee ?? "no fee"), order \(line.order ?? "-")"
    }

    private static func headline(_ record: ReconciliationRecord) -> String {
        switch record.verdict {
        case .equal: "equal"
        case .ownBooks: "nothing to compare"
        case .differs: "DIFFERS, no new orders"
        case .waiting: "not compared yet"
        case .unreachable: "NOT COMPARED, no new orders"
        }
    }

    /// One difference in columns.
    static func line(_ difference: ReconciliationRecord.Difference) -> String {
        let subject = difference.subject.isEmpty ? "account" : difference.subject
        return "\(difference.code.padded(18)) \(subject.padded(40)) \(figure(difference.ours, difference).padded(14)) "
            + "\(figure(difference.venues, difference).padded(14)) \(difference.isMended ? "Linesman" : "a person")"
    }

    private static func figure(_ value: Int64?, _ difference: ReconciliationRecord.Difference) -> String {
        guard let value else { return "-" }
        return difference.code == "balance" ? money(value) : FixedPoint.format(value, scale: 2)
    }

    private static func money(_ microdollars: Int64) -> String { FixedPoint.format(microdollars, scale: 6) }
}
