import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Servers

/// A test's own corner of a redis-server that all tests of the process share.
public struct TestRedis: Sendable {
    public let server: PrivateRedis
    /// Put it before every key and channel: others use the same server.
    public let prefix: String

    public var host: String { server.host }
    public var port: Int { server.port }
    public var url: String { server.url }
    /// As a process would be given it.
    public var environment: [String: String] { ["REDIS_URL": url] }
}

/// A test's own database in a PostgreSQL cluster that all tests of the process share.
public struct TestDatabase: Sendable {
    public let server: PrivatePostgres
    public let name: String

    /// Over TCP with the password.
    public var url: String { server.url(database: name) }
    /// Over the Unix socket.
    public var socketURL: String { server.socketURL(database: name) }
    /// As a process would be given it.
    public var environment: [String: String] { ["DATABASE_URL": url] }

    @discardableResult
    public func run(sql: String) async throws -> String { try await server.run(sql: sql, database: name) }
}

/// Runs a test against the shared redis-server, under a prefix of its own.
///
/// Do not stop or flush that server.
public func withRedis<R: Sendable>(_ body: (TestRedis) async throws -> R) async throws -> R {
    let server = try await SharedServers.shared.redis()
    return try await body(TestRedis(server: server, prefix: "test-\(SharedServers.nextNumber()):"))
}

/// Runs a test against a redis-server of its own, which it may stop, kill, pause and flush.
public func withOwnRedis<R: Sendable>(
    appendOnly: Bool = false, _ body: (PrivateRedis) async throws -> R
) async throws -> R {
    let directory = try TemporaryDirectory("redis")
    let server = try await PrivateRedis.start(in: directory.path, appendOnly: appendOnly)
    do {
        let result = try await body(server)
        await server.kill()
        directory.remove()
        return result
    } catch {
        await server.kill()
        directory.remove()
        throw error
    }
}

/// Runs a test against the shared PostgreSQL cluster, in a new database of its own.
///
/// Do not stop that server.
public func withPostgres<R: Sendable>(_ body: (TestDatabase) async throws -> R) async throws -> R {
    let server = try await SharedServers.shared.postgres()
    let name = "test_\(SharedServers.nextNumber())"
    try await server.createDatabase(name)
    do {
        let result = try await body(TestDatabase(server: server, name: name))
        try await server.dropDatabase(name)
        return result
    } catch {
        // The test's own error is the one to show; the database vanishes with its server.
        try? await server.dropDatabase(name)
        throw error
    }
}

/// Runs a test against a PostgreSQL server of its own, which it may stop, kill and pause.
public func withOwnPostgres<R: Sendable>(
    fsync: Bool = false, maxConnections: Int = 200, settings: [String: String] = [:],
    _ body: (PrivatePostgres) async throws -> R
) async throws -> R {
    let directory = try TemporaryDirectory("pg")
    let server = try await PrivatePostgres.start(
        in: directory.path, fsync: fsync, maxConnections: maxConnections, databases: ["linesman"], settings: settings)
    do {
        let result = try await body(server)
        await server.stop(.immediate)
        directory.remove()
        return result
    } catch {
        await server.stop(.immediate)
        directory.remove()
        throw error
    }
}

/// Hands a logger whose lines are printed only when the body throws.
public func withCapturedLog<R: Sendable>(
    _ label: String = "test", _ body: (Logger, LogCapture) async throws -> R
) async throws -> R {
    let capture = LogCapture()
    do {
        return try await body(capture.logger(label), capture)
    } catch {
        for line in capture.lines { LogOutput.standardError.line(line) }
        throw error
    }
}

/// The servers that the tests of one process share; started when first asked for, ended with the process.
actor SharedServers {
    static let shared = SharedServers()
    private static let number = NIOLockedValueBox(0)

    private var redisTask: Task<PrivateRedis, any Error>?
    private var postgresTask: Task<PrivatePostgres, any Error>?
    private var directories: [TemporaryDirectory] = []

    static func nextNumber() -> Int {
        number.withLockedValue { number in
            number += 1
            return number
        }
    }

    func redis() async throws -> PrivateRedis {
        if let redisTask { return try await redisTask.value }
        let directory = try TemporaryDirectory("redis")
        directories.append(directory)
        // Awaited by every test that asks.
        let task = Task { try await PrivateRedis.start(in: directory.path) }
        redisTask = task
        return try await task.value
    }

    func postgres() async throws -> PrivatePostgres {
        if let postgresTask { return try await postgresTask.value }
        let directory = try TemporaryDirectory("pg")
        directories.append(directory)
        // Awaited by every test that asks.
        let task = Task { try await PrivatePostgres.start(in: directory.path, maxConnections: 400) }
        postgresTask = task
        return try await task.value
    }
}
