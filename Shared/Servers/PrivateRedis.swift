import Foundation
import NIOConcurrencyHelpers
import NIOPosix
import Resilience
import Runtime

/// A redis-server of our own on a free loopback port, for tests, the demo and chaos; it ends with this process.
public final class PrivateRedis: Sendable {
    public let port: Int
    public let directory: String
    /// Kept over restarts only with `appendOnly`; otherwise a restart loses all data, as a replaced server would.
    public let appendOnly: Bool
    private let program: String
    private let options: [String]
    private let clock: MachineClock
    private let child: NIOLockedValueBox<ChildProcess>

    public var host: String { "127.0.0.1" }
    public var url: String { "redis://127.0.0.1:\(port)/0" }
    public var logFile: String { "\(directory)/redis-\(port).log" }

    /// Starts a server and waits until it answers.
    ///
    /// - `directory`: for its log and its append-only file; must exist.
    /// - `port`: nil for a free one.
    /// - `options`: further command line options, for example `["--maxmemory", "100mb"]`.
    public static func start(
        in directory: String, port: Int? = nil, appendOnly: Bool = false, options: [String] = [],
        clock: MachineClock = .real
    ) async throws -> PrivateRedis {
        let program = try Programs.find("redis-server", package: "redis-server")
        var attempt = 0
        while true {
            attempt += 1
            do {
                let server = try PrivateRedis(
                    program: program, directory: directory, port: port ?? FreePort.find(), appendOnly: appendOnly,
                    options: options, clock: clock)
                try await server.untilReady()
                return server
            } catch let error as ServersError where error.code == .notReady && port == nil && attempt < 3 {
                // Somebody took the port in between.
                continue
            }
        }
    }

    private init(
        program: String, directory: String, port: Int, appendOnly: Bool, options: [String], clock: MachineClock
    ) throws(ServersError) {
        self.program = program
        self.directory = directory
        self.port = port
        self.appendOnly = appendOnly
        self.options = options
        self.clock = clock
        child = NIOLockedValueBox(
            try Self.spawn(program, directory: directory, port: port, appendOnly: appendOnly, options: options))
    }

    private static func spawn(
        _ program: String, directory: String, port: Int, appendOnly: Bool, options: [String]
    ) throws(ServersError) -> ChildProcess {
        let arguments =
            [
                "--port", "\(port)", "--bind", "127.0.0.1", "--dir", directory, "--save", "", "--daemonize", "no",
                "--appendonly", appendOnly ? "yes" : "no", "--appenddirname", "append-\(port)",
                "--appendfsync", "everysec",
            ] + options
        return try ChildProcess.spawn(program, arguments, output: .file("\(directory)/redis-\(port).log"))
    }

    public var processID: Int32 { child.withLockedValue { $0.processID } }
    public var isRunning: Bool { child.withLockedValue { $0.isRunning } }
    public var rssMegabytes: Double? { child.withLockedValue { $0.rssMegabytes } }

    /// Ends it in good order.
    public func stop() async {
        await child.withLockedValue { $0 }.terminate(killAfter: .seconds(5), clock: clock)
    }

    /// SIGKILL.
    public func kill() async {
        await child.withLockedValue { $0 }.kill9()
    }

    /// Starts it again on the same port after `stop` or `kill`, and waits until it answers.
    public func startAgain() async throws {
        guard !isRunning else { return }
        let next = try Self.spawn(program, directory: directory, port: port, appendOnly: appendOnly, options: options)
        child.withLockedValue { $0 = next }
        try await untilReady()
    }

    public func restart() async throws {
        await stop()
        try await startAgain()
    }

    /// Runs one command whose words have no spaces, for setting up.
    ///
    /// - Throws: `ServersError.commandFailed` with the server's answer when that is an error, or none within 5 s.
    public func ask(_ command: String) async throws {
        let port = port
        let answer = try await NIOThreadPool.singleton.runIfActive {
            LoopbackSocket.ask(port: port, command + "\r\n", timeout: 5)
        }
        guard let answer, !answer.hasPrefix("-") else {
            throw ServersError(.commandFailed, "redis-server, \(command): \(answer ?? "no answer")")
        }
    }

    /// SIGSTOP: connections stay open and nothing answers, as in a stalled network.
    public func pause() { child.withLockedValue { $0 }.signal(SIGSTOP) }
    public func resume() { child.withLockedValue { $0 }.signal(SIGCONT) }

    private func untilReady() async throws {
        let port = port
        let end = clock.now.advanced(by: .seconds(10))
        while clock.now < end {
            guard isRunning else { break }
            let answer = try await NIOThreadPool.singleton.runIfActive {
                LoopbackSocket.ask(port: port, "*1\r\n$4\r\nPING\r\n", timeout: 1)
            }
            // A password or a loading server answers with an error; only PONG and NOAUTH mean ready. The process is
            // asked again: the answer might come from a stranger who took the port.
            if let answer, answer.hasPrefix("+PONG") || answer.hasPrefix("-NOAUTH"), isRunning { return }
            try await clock.sleep(for: .milliseconds(10))
        }
        await kill()
        // The log is a hint only; the error stands without it.
        let log = (try? String(contentsOfFile: logFile, encoding: .utf8)) ?? ""
        throw ServersError(.notReady, "redis-server on port \(port) did not start: \(log.suffix(500))")
    }
}
