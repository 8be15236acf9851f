import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime

/// A PostgreSQL cluster of our own, for tests, the demo and chaos; it ends with this process.
///
/// Reached over a Unix socket in its private directory (mode 0700, trusted) and over loopback TCP on a free port with a
/// random password. It runs as an unprivileged user: this one, or `postgres` when this process is root.
public final class PrivatePostgres: Sendable {
    public enum StopMode: Sendable {
        /// Rolls back what is open and writes everything out (SIGINT).
        case fast
        /// As a crash, with recovery at the next start (SIGQUIT).
        case immediate

        var signal: Int32 { self == .fast ? SIGINT : SIGQUIT }
    }

    public static let user = "linesman"

    public let port: Int
    /// The cluster's own directory, mode 0700.
    public let directory: String
    public let password: Secret
    private let tools: PostgresTools
    private let fsync: Bool
    private let maxConnections: Int
    private let settings: [String: String]
    private let clock: MachineClock
    private let child: NIOLockedValueBox<ChildProcess>

    public var socketDirectory: String { "\(directory)/s" }
    public var logFile: String { "\(directory)/log" }

    /// Makes a cluster below `directory`, starts it and waits until it accepts connections.
    ///
    /// - `directory`: must exist; when root, the user `postgres` must be able to pass through it.
    /// - `fsync`: false gives up durability over a crash of the machine for speed. Over a crash of the server alone
    ///   every commit that was answered is kept: a commit is with the kernel before its answer.
    /// - `databases`: created at once.
    /// - `settings`: further settings of the server by name.
    public static func start(
        in directory: String, port: Int? = nil, fsync: Bool = false, maxConnections: Int = 200,
        databases: [String] = [], settings: [String: String] = [:], clock: MachineClock = .real
    ) async throws -> PrivatePostgres {
        let tools = try PostgresTools()
        try await tools.checkAccess(to: directory)
        let (template, password) = try await PostgresTemplate.shared.cluster(tools)
        let name = "pg-" + String(RandomSource.system.uuid().prefix(8))
        let own = "\(directory)/\(name)"
        guard own.utf8.count <= 80 else {
            throw ServersError(.directory, "the path is too long for a Unix socket inside: \(own)")
        }
        try tools.makeDirectory(own)
        try tools.makeDirectory("\(own)/s")
        try await tools.run("/bin/cp", ["-a", template, "\(own)/data"])
        let server = try PrivatePostgres(
            tools: tools, directory: own, port: port ?? FreePort.find(), password: password, fsync: fsync,
            maxConnections: maxConnections, settings: settings, clock: clock)
        do {
            try await server.untilReady()
            for database in databases { try await server.createDatabase(database) }
        } catch {
            await server.stop(.immediate)
            throw error
        }
        return server
    }

    private init(
        tools: PostgresTools, directory: String, port: Int, password: Secret, fsync: Bool, maxConnections: Int,
        settings: [String: String], clock: MachineClock
    ) throws(ServersError) {
        self.tools = tools
        self.directory = directory
        self.port = port
        self.password = password
        self.fsync = fsync
        self.maxConnections = maxConnections
        self.settings = settings
        self.clock = clock
        child = NIOLockedValueBox(
            try Self.spawn(
                tools, directory, port: port, fsync: fsync, maxConnections: maxConnections, settings: settings))
    }

    private static func spawn(
        _ tools: PostgresTools, _ directory: String, port: Int, fsync: Bool, maxConnections: Int,
        settings: [String: String]
    ) throws(ServersError) -> ChildProcess {
        var options = [
            "listen_addresses=127.0.0.1", "port=\(port)", "unix_socket_directories=\(directory)/s",
            "unix_socket_permissions=0700", "max_connections=\(maxConnections)", "shared_buffers=64MB",
            "dynamic_shared_memory_type=mmap", "logging_collector=off", "log_line_prefix=%m [%p] ",
        ]
        if !fsync { options += ["fsync=off", "full_page_writes=off"] }
        options += settings.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let arguments = ["-D", "\(directory)/data"] + options.flatMap { ["-c", $0] }
        // SIGQUIT lets an orphaned server remove its shared memory.
        return try tools.spawn(
            "\(tools.binaries)/postgres", arguments, output: .file("\(directory)/log"), orphanSignal: SIGQUIT)
    }

    /// Removes what `start` keeps to start further servers faster; for a process that starts only one.
    public static func forgetTemplate() async { await PostgresTemplate.shared.remove() }

    /// For clients on this machine, over TCP with the password.
    public func url(database: String) -> String {
        "postgres://\(Self.user):\(password.value)@127.0.0.1:\(port)/\(database)"
    }

    /// For clients on this machine that may enter the private directory, over the Unix socket.
    public func socketURL(database: String) -> String {
        let host = socketDirectory.replacingOccurrences(of: "/", with: "%2F")
        return "postgres://\(Self.user)@\(host):\(port)/\(database)"
    }

    public var processID: Int32 { child.withLockedValue { $0.processID } }
    public var isRunning: Bool { child.withLockedValue { $0.isRunning } }
    /// Of the postmaster only.
    public var rssMegabytes: Double? { child.withLockedValue { $0.rssMegabytes } }

    public func stop(_ mode: StopMode = .fast) async {
        await child.withLockedValue { $0 }.terminate(with: mode.signal, killAfter: .seconds(10), clock: clock)
    }

    /// SIGKILL to the postmaster; its backends notice and end.
    public func kill() async {
        await child.withLockedValue { $0 }.kill9()
    }

    /// Starts it again on the same port after `stop` or `kill`, and waits until it accepts connections.
    public func startAgain() async throws {
        guard !isRunning else { return }
        let end = clock.now.advanced(by: .seconds(10))
        while true {
            let next = try Self.spawn(
                tools, directory, port: port, fsync: fsync, maxConnections: maxConnections, settings: settings)
            child.withLockedValue { $0 = next }
            do {
                return try await untilReady()
            } catch let error as ServersError where error.code == .notReady && clock.now < end {
                // Backends of a killed postmaster may hold its shared memory for a moment.
                try await clock.sleep(for: .milliseconds(100))
            }
        }
    }

    public func restart(_ mode: StopMode = .fast) async throws {
        await stop(mode)
        try await startAgain()
    }

    /// SIGSTOP to the postmaster and every backend: connections stay open and nothing answers.
    public func pause() { signalAll(SIGSTOP) }
    public func resume() { signalAll(SIGCONT) }

    private func signalAll(_ number: Int32) {
        let server = child.withLockedValue { $0 }
        server.signal(number)
        guard server.isRunning else { return }
        // Its children are in sessions of their own, so the group does not reach them.
        let path = "/proc/\(server.processID)/task/\(server.processID)/children"
        let children = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        for process in children.split(separator: " ").compactMap({ Int32($0) }) { Foundation.kill(process, number) }
    }

    /// Names are letters, digits and underscores only; a `template` is a database without connections, to be copied.
    public func createDatabase(_ name: String, from template: String? = nil) async throws {
        let copied = try template.map { " TEMPLATE \(try Self.checked($0))" } ?? ""
        try await run(sql: "CREATE DATABASE \(try Self.checked(name))\(copied)")
    }

    /// Ends the connections to it as well.
    public func dropDatabase(_ name: String) async throws {
        try await run(sql: "DROP DATABASE IF EXISTS \(try Self.checked(name)) WITH (FORCE)")
    }

    /// Runs SQL through psql, for setting up; returns the unaligned rows.
    @discardableResult
    public func run(sql: String, database: String = "postgres") async throws -> String {
        let psql = try Programs.find("psql", in: Programs.postgresDirectories, package: "postgresql-client")
        let (status, output) = try await ChildProcess.run(
            psql,
            [
                "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", socketDirectory, "-p", "\(port)", "-U",
                Self.user, "-d", database, "-c", sql,
            ], clock: clock)
        guard status.isSuccess else { throw ServersError(.commandFailed, "psql: \(output.suffix(500))") }
        return output.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// The path of a program of the server's own version, as `pg_dump`.
    public func program(_ name: String) throws(ServersError) -> String {
        // The server's own may be links to where all of its version are.
        let server = URL(filePath: "\(tools.binaries)/postgres").resolvingSymlinksInPath()
        let path = server.deletingLastPathComponent().appending(path: name).path
        guard access(path, X_OK) == 0 else {
            throw ServersError(
                .missingProgram,
                "\(path) is not there; install the Debian package postgresql-client of the server's version")
        }
        return path
    }

    private static func checked(_ name: String) throws(ServersError) -> String {
        let allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
        let isPlain = (1...63).contains(name.utf8.count) && name.allSatisfy { allowed.contains($0) }
        guard isPlain else { throw ServersError(.commandFailed, "not a database name: \(name)") }
        return "\"\(name)\""
    }

    private func untilReady() async throws {
        let ready = try Programs.find("pg_isready", in: [tools.binaries], package: "postgresql-client")
        let end = clock.now.advanced(by: .seconds(30))
        while clock.now < end, isRunning {
            let answer = try await ChildProcess.run(
                ready, ["-q", "-h", socketDirectory, "-p", "\(port)", "-d", "postgres", "-U", Self.user], clock: clock)
            if answer.status.isSuccess, isRunning { return }
            try await clock.sleep(for: .milliseconds(20))
        }
        await kill()
        // The log is a hint only; the error stands without it.
        let log = (try? String(contentsOfFile: logFile, encoding: .utf8)) ?? ""
        throw ServersError(.notReady, "PostgreSQL on port \(port) did not start: \(log.suffix(500))")
    }
}
