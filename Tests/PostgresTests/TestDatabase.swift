import Foundation
import Logging
import NIOConcurrencyHelpers
import Postgres
import Resilience
import Runtime

/// A private PostgreSQL cluster of this test process; each test makes its own database.
final class TestCluster: Sendable {
    static let shared: Result<TestCluster, any Error> = Result { try TestCluster() }

    let folder: String
    private let numbers = NIOLockedValueBox(0)

    struct Problem: Error, CustomStringConvertible {
        var description: String
    }

    private static let binaries = "/usr/lib/postgresql/15/bin"

    private init() throws {
        var template = Array("\(NSTemporaryDirectory())/linesman-postgres-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Problem(description: "no temporary folder") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if geteuid() == 0 { try Self.start("/usr/bin/chown", ["postgres", folder], wait: true) }
        try Self.startAsServer(
            "initdb", ["-D", "\(folder)/data", "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8"], wait: true)
        let settings = ["listen_addresses=", "fsync=off", "max_connections=200", "deadlock_timeout=100"]
        try Self.startAsServer(
            "postgres", ["-D", "\(folder)/data", "-k", folder] + settings.flatMap { ["-c", $0] }, wait: false)
        let folder = folder
        endings.withLockedValue { $0 = folder }
        atexit {
            let folder = endings.withLockedValue { $0 }
            let pid = (try? String(contentsOfFile: "\(folder)/data/postmaster.pid", encoding: .utf8))?
                .split(separator: "\n").first.flatMap { pid_t($0) }
            if let pid {
                kill(pid, SIGQUIT)
                waitpid(pid, nil, 0)
            }
            try? FileManager.default.removeItem(atPath: folder)
        }
    }

    private static func startAsServer(_ tool: String, _ arguments: [String], wait: Bool) throws {
        let asUser = ["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        if geteuid() == 0 {
            try start("/usr/bin/setpriv", asUser + ["\(binaries)/\(tool)"] + arguments, wait: wait)
        } else {
            try start("\(binaries)/\(tool)", arguments, wait: wait)
        }
    }

    private static func start(_ path: String, _ arguments: [String], wait: Bool) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: "/")
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        guard wait else { return }
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Problem(description: "\(path) \(arguments.joined(separator: " ")): \(process.terminationStatus)")
        }
    }

    func url(database: String) -> String { "host=\(folder) user=postgres dbname=\(database)" }

    /// A new empty database; returns its name.
    func createDatabase() async throws -> String {
        let number = numbers.withLockedValue { number in
            number += 1
            return number
        }
        let pool = try makePool(url(database: "postgres")) {
            $0.maxConnections = 1
            $0.breakerFailures = 1000
        }
        // Copies of the template exclude each other; they wait their turn.
        try await pool.execute("CREATE DATABASE \(raw: "test_\(number)")", timeout: .seconds(14))
        await pool.close()
        return "test_\(number)"
    }
}

private let endings = NIOLockedValueBox("")

func makePool(
    _ url: String, application: String = "test", clock: MachineClock = .real,
    _ change: (inout PostgresSettings) -> Void = { _ in }
) throws -> PostgresPool {
    var settings = try PostgresSettings(url: url)
    settings.minConnections = 0
    change(&settings)
    return PostgresPool(
        settings: settings, application: application, clock: clock, random: .seeded(1),
        log: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }), metrics: MetricsRegistry())
}

/// A change of the settings for one test.
struct Tuned: Sendable {
    let apply: @Sendable (inout PostgresSettings) -> Void
}

/// Lends a database of its own and a pool on it, and closes the pool.
func withDatabase(
    migrated: Bool = false, clock: MachineClock = .real, _ tuned: Tuned = Tuned { _ in },
    _ body: (PostgresPool, String) async throws -> Void
) async throws {
    let cluster = try TestCluster.shared.get()
    let url = cluster.url(database: try await cluster.createDatabase())
    let pool = try makePool(url, clock: clock, tuned.apply)
    if migrated { try await Migrations.run(pool) }
    do {
        try await body(pool, url)
    } catch {
        await pool.close(grace: .milliseconds(100))
        throw error
    }
    await pool.close(grace: .milliseconds(100))
}

/// Waits until the condition holds, at most ten seconds.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = MachineClock.real.now.advanced(by: .seconds(10))
    while try await !condition() {
        guard MachineClock.real.now < deadline else { throw TestCluster.Problem(description: "never: \(what)") }
        try await MachineClock.real.sleep(for: .milliseconds(5))
    }
}
