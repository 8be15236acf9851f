import Foundation
import Logging
import NIOCore
import NIOPosix
import Redis
import Runtime

/// A part that this program plays as a contender.
protocol OwnRole: Sendable {
    /// Does `count` units; calls `armed` when something outside has to begin.
    ///
    /// - Returns: figures, the CPU microseconds of the whole slice first.
    func slice(_ count: Int, armed: @Sendable () -> Void) async throws -> [Double]
}

/// This program as a contender, in the lines of `Peers/peer.h`: `linesman-bench contender ROLE PORT CHANNEL …`, or
/// `linesman-bench contender postgres ADDRESS ROLE CONNECTIONS`.
enum OwnContender {
    static func run(_ arguments: [String]) async throws {
        let lines = standardInput()
        let role = try await role(arguments)
        say("ready linesman")
        for await line in lines {
            guard line.hasPrefix("slice "), let count = Int(line.dropFirst(6)), count > 0 else {
                throw BenchError(.usage, "not a slice: \(line)")
            }
            let figures = try await role.slice(count) { say("armed") }
            say("done " + figures.map { String(format: "%.3f", $0) }.joined(separator: " "))
        }
    }

    private static func role(_ arguments: [String]) async throws -> any OwnRole {
        if arguments.first == "postgres" { return try await OwnPostgres.role(Array(arguments.dropFirst())) }
        guard arguments.count >= 3, let port = Int(arguments[1]) else {
            throw BenchError(.usage, "contender needs a role, a port and a channel")
        }
        _ = Loops.only
        let client = try await connected(port)
        return try await role(arguments[0], client, arguments[2], arguments.dropFirst(3).map { $0 })
    }

    private static func role(
        _ name: String, _ client: RedisClient, _ channel: String, _ rest: [String]
    ) async throws -> any OwnRole {
        switch (name, rest.count) {
        case ("subscribe", 0): return try await OwnSubscriber(client, channel)
        case ("subscribe-bus", 0): return try await OwnBusSubscriber(client, channel)
        case ("publish", 2): return try OwnPublisher(client, channel, bytes: number(rest[0]), depth: number(rest[1]))
        case ("publish-tasks", 2):
            return try OwnTasks(client, channel, bytes: number(rest[0]), tasks: number(rest[1]))
        case ("paced", 2):
            return try await OwnPaced(client, channel, bytes: number(rest[0]), rate: number(rest[1]))
        case ("bus-hint", 1): return try await OwnBusPublisher(client, channel, journaled: false, number(rest[0]))
        case ("bus-journaled", 1): return try await OwnBusPublisher(client, channel, journaled: true, number(rest[0]))
        default: throw BenchError(.usage, "no such role: \(name) \(rest.joined(separator: " "))")
        }
    }

    private static func number(_ text: String) throws(BenchError) -> Int {
        guard let number = Int(text), number > 0 else { throw BenchError(.usage, "not a count: \(text)") }
        return number
    }

    /// A client that is connected and stays so until this process ends.
    private static func connected(_ port: Int) async throws -> RedisClient {
        // Room for a whole slice: on a busy machine a consumer may be late, and lateness is not what is measured.
        let environment = [
            "REDIS_URL": "redis://127.0.0.1:\(port)", "REDIS_QUEUE_MAX_MESSAGES": "1000000",
            "REDIS_QUEUE_MAX_BYTES": "\(1 << 30)",
        ]
        let settings = RedisSettings(SettingsReader(environment: environment))
        // Standard output belongs to the figures.
        var log = Logger(label: "bench") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = .warning
        let client = RedisClient(
            settings: settings, name: "bench", clock: .real, random: .seeded(1), log: log, metrics: MetricsRegistry())
        Task { try await client.run() }
        for _ in 0..<1_000 where !client.status.isReady { try await MachineClock.real.sleep(for: .milliseconds(5)) }
        guard client.status.isReady else { throw BenchError(.failure, "no connection to port \(port)") }
        return client
    }

    private static func say(_ line: String) {
        FileHandle.standardOutput.write(Data("\(line)\n".utf8))
    }

    /// The lines of standard input; the end of it is the end of this process, whatever it is doing.
    private static func standardInput() -> AsyncStream<String> {
        let (lines, continuation) = AsyncStream.makeStream(of: String.self)
        Thread.detachNewThread {
            while let line = readLine() { continuation.yield(line) }
            exit(0)
        }
        return lines
    }
}

enum Loops {
    /// The only loop of a contender's process, which is also its client's.
    static let only: any EventLoop = {
        NIOSingletons.groupLoopCountSuggestion = 1
        return MultiThreadedEventLoopGroup.singleton.next()
    }()
}
