import Alerting
import ArgumentParser
import Foundation
import Hosting
import Postgres
import Runtime

/// `linesman audit`: the chain of the audit log.
struct AuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Check that the audit log is as it was sealed (docs/AUDIT.md).",
        subcommands: [AuditVerify.self, AuditShowHead.self])
}

/// `linesman audit verify`: walks the whole chain.
struct AuditVerify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Find rows of the audit log that were edited, removed, moved or put in after they were sealed.",
        discussion: """
            Exits with 1 when anything is found, and with \(Runtime.ExitCode.unavailable.rawValue) when the database \
            or an alert file cannot be read.
            """)

    @Option(help: "The database; the DATABASE_URL of the suite when not given.")
    var database: String?

    @Option(
        help: "An alert file with heads of the chain, again for more; the suite's ALERT_LOG_PATH when not given.")
    var alertFile: [String] = []

    @OptionGroup
    var suite: SuiteSettings

    @Flag(help: "As JSON.")
    var json = false

    func run() async throws {
        let report: AuditReport
        do {
            let kept = try SuiteSettings.complaining { try heads() }
            let pool = try suite.openDatabase(database)
            do {
                report = AuditReport(try await AuditChain(pool).verify(kept: kept), kept: kept)
                await pool.close()
            } catch {
                await pool.close(grace: .zero)
                throw error
            }
        } catch let error as AlertError {
            throw Self.unavailable("\(error)")
        } catch let error as PostgresError {
            throw Self.unavailable("\(error)")
        }
        Console.say(json ? try report.document() : report.text())
        if !report.isWhole { throw ArgumentParser.ExitCode(1) }
    }

    private func heads() throws -> [KeptHead] {
        let files = try alertFile.isEmpty ? [suite.read(AlertSettings.init).part.logPath] : alertFile
        for file in alertFile where !FileManager.default.fileExists(atPath: file) {
            throw AlertError(.file, "there is no \(file)")
        }
        return try files.flatMap { try AlertRecords.read(kind: AuditSealer.headKind, path: $0) }
            .compactMap { KeptHead($0.record, source: "\($0.file), \(WallClock.text($0.record.at))") }
    }

    private static func unavailable(_ reason: String) -> ArgumentParser.ExitCode {
        Console.complain("audit verify: \(reason)")
        return ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
    }
}

/// `linesman audit head`: what to note down elsewhere.
struct AuditShowHead: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "head", abstract: "Print the end of the chain, to be noted down where nobody can change it.")

    @Option(help: "The database; the DATABASE_URL of the suite when not given.")
    var database: String?

    @OptionGroup
    var suite: SuiteSettings

    func run() async throws {
        let pool = try suite.openDatabase(database)
        let head = try await AuditChain(pool).head()
        await pool.close()
        guard let head else { throw AuditChain.Failure.noEnd }
        Console.say("\(head.position) \(head.hash)")
    }
}

/// What `linesman audit verify` says.
struct AuditReport: Codable, Equatable {
    let isWhole: Bool
    let rows: Int64
    let head: String
    let waitingForSeal: Int64
    let keptHeads: Int
    /// Wall time in microseconds since 1970; nil when no head was kept.
    let newestKeptHead: Int64?
    let findingsCount: Int
    let findings: [AuditFinding]

    init(_ report: AuditChain.Report, kept: [KeptHead]) {
        isWhole = report.findingsCount == 0
        rows = report.rows
        head = "\(report.head.hash)"
        waitingForSeal = report.waiting
        keptHeads = report.keptHeads
        newestKeptHead = kept.map(\.keptAt).max()
        findingsCount = report.findingsCount
        findings = report.findings
    }

    func document() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    func text() -> String {
        var lines = findings.map { "\($0.kind.rawValue.padded(13)) \($0.text)" }
        if findingsCount > findings.count { lines.append("and \(findingsCount - findings.count) more") }
        lines.append("\(rows) rows in the chain, \(waitingForSeal) wait for their seal; it ends with \(head)")
        if let newestKeptHead {
            lines.append("compared with \(keptHeads) heads, the newest of \(WallClock.text(newestKeptHead))")
        } else {
            lines.append("compared with no head: whoever wrote the whole chain anew would not be found")
        }
        lines.append(
            isWhole
                ? "the audit log is as it was sealed"
                : "THE AUDIT LOG IS NOT AS IT WAS SEALED: \(findingsCount) findings")
        return lines.joined(separator: "\n")
    }
}
