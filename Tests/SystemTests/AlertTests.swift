import Foundation
import Hummingbird
import Logging
import NIOConcurrencyHelpers
import Runtime
import Servers
import TestKit
import Testing

/// The real orchestrator and a webhook: killed between file and sink, without Redis, switched off and on.
@Suite(.processes) struct AlertTests {
    // CHECKLIST R13, R17, R19, R20, N28.
    @Test(.timeLimit(.minutes(4)))
    func `an alert outlives a kill, arrives without Redis, recovers, and alerting is switched off and on`() async throws
    {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                try await Webhook.serve { webhook in
                    let post = try Orchestrator(redis: redis.url, database: database.url, webhook: webhook.port)
                    defer { post.folder.remove() }
                    var process = try await post.lead()
                    webhook.hang(true)
                    await redis.kill()
                    try await eventually(within: .seconds(20), "the file") { post.written("firing").count == 1 }
                    try await eventually(within: .seconds(20), "the request under way") { webhook.requests == 1 }
                    _ = await process.kill9()
                    #expect(webhook.bodies.isEmpty)

                    // The next life waits for Redis at its start, and delivers all the same.
                    webhook.hang(false)
                    process = try post.spawn()
                    try await eventually(within: .seconds(20), "the alert of the earlier life") {
                        webhook.heard("firing") == 1
                    }
                    try await redis.startAgain()
                    try await eventually(within: .seconds(30), "its recovery") { webhook.heard("recovered") == 1 }
                    #expect(post.written("recovered").first?.contains("\"lasted_ms\"") == true)

                    try await eventually(within: .seconds(30), "the lead") { post.log.contains(": leading") }
                    try await post.switchAlerting(on: false, process)
                    await redis.kill()
                    try await eventually(within: .seconds(20), "the engine's decision") {
                        post.log.contains(": alert raised")
                    }
                    #expect(post.written("firing").count == 1)
                    try await post.switchAlerting(on: true, process)
                    try await eventually(within: .seconds(20), "what is true by now") { webhook.heard("firing") == 2 }
                    #expect(process.isRunning)
                    try await redis.startAgain()
                    try await eventually(within: .seconds(30), "the second recovery") {
                        webhook.heard("recovered") == 2
                    }
                    #expect(await process.terminate() == .exited(0))
                }
            }
        }
    }
}

/// One orchestrator with an alert file and a settings file.
private struct Orchestrator {
    let folder: TemporaryDirectory
    private let environment: [String: String]
    private var config: String { "\(folder.path)/linesman.toml" }

    init(redis: String, database: String, webhook: Int) throws {
        folder = try TemporaryDirectory("alert-test")
        let own = [
            "REDIS_URL": redis, "DATABASE_URL": database, "STATUS_PORT": "0", "ALERT_SEND_TIMEOUT_MS": "60000",
            "ALERT_LOG_PATH": "\(folder.path)/alerts.log", "CUSTOM_WEBHOOK_URL": "http://127.0.0.1:\(webhook)/hook",
            "LINESMAN_CONFIG": "\(folder.path)/linesman.toml", "SERVICE_TIMEOUT_SECS": "3600",
            "ESPN_BASE_URL": "http://127.0.0.1:9/none", "REDIS_RECONNECT_BASE_DELAY_MS": "100",
            "REDIS_RECONNECT_MAX_DELAY_MS": "1000", "REDIS_BREAKER_COOLDOWN_MS": "1000",
        ]
        environment = Executable.environment(temporary: folder.path, own)
        try write(on: true)
    }

    private func write(on: Bool) throws {
        try "CRITICAL_ALERTS_ENABLED = \(on)\n".write(toFile: config, atomically: true, encoding: .utf8)
    }

    func spawn() throws -> ChildProcess {
        // Each life begins an empty log.
        try? FileManager.default.removeItem(atPath: "\(folder.path)/orchestrator.log")
        return try ChildProcess.spawn(
            Executable.path("orchestrator"), environment: environment, directory: folder.path,
            output: .file("\(folder.path)/orchestrator.log"))
    }

    func lead() async throws -> ChildProcess {
        let process = try spawn()
        try await eventually(within: .seconds(60), "the lead") { log.contains(": leading") }
        return process
    }

    var log: String {
        String(
            decoding: FileManager.default.contents(atPath: "\(folder.path)/orchestrator.log") ?? Data(), as: UTF8.self)
    }

    /// Lines of the alert file about Redis.
    func written(_ state: String) -> [Substring] {
        let text = String(
            decoding: FileManager.default.contents(atPath: "\(folder.path)/alerts.log") ?? Data(), as: UTF8.self)
        return text.split(separator: "\n").filter {
            $0.contains("\"kind\":\"RedisConnectivityIssue\"") && $0.contains("\"state\":\"\(state)\"")
        }
    }

    func switchAlerting(on: Bool, _ process: ChildProcess) async throws {
        try write(on: on)
        process.signal(SIGHUP)
        try await eventually(within: .seconds(10), "alerting is \(on ? "on" : "off")") {
            log.contains("alerting configured state=\(on ? "on" : "off")")
        }
    }
}

/// A webhook that takes everything, or hangs.
private struct Webhook: Sendable {
    private struct State {
        var isHanging = false
        var requests = 0
        var bodies: [String] = []
    }

    private let state: NIOLockedValueBox<State>
    let port: Int

    var requests: Int { state.withLockedValue { $0.requests } }
    var bodies: [String] { state.withLockedValue { $0.bodies } }
    func hang(_ hangs: Bool) { state.withLockedValue { $0.isHanging = hangs } }

    /// Alerts about Redis in this state.
    func heard(_ state: String) -> Int {
        bodies.map { body in
            let json = try? JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any]
            let alerts = json?["alerts"] as? [[String: Any]] ?? []
            return alerts.count {
                $0["kind"] as? String == "RedisConnectivityIssue" && $0["state"] as? String == state
            }
        }.reduce(0, +)
    }

    /// Serves while `body` runs.
    static func serve(_ body: @escaping @Sendable (Webhook) async throws -> Void) async throws {
        let state = NIOLockedValueBox(State())
        let started = Promise<Int>()
        let responder = CallbackResponder { (request: Request, _: BasicRequestContext) in
            let text = String(buffer: try await request.body.collect(upTo: 4 << 20))
            let hangs = state.withLockedValue { state in
                state.requests += 1
                if !state.isHanging { state.bodies.append(text) }
                return state.isHanging
            }
            // A client that gives up, or dies, cancels this.
            if hangs { try await MachineClock.real.sleep(for: .seconds(600)) }
            return Response(status: .ok)
        }
        let application = Application(
            responder: responder, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in started.fulfil(channel.localAddress?.port ?? 0) },
            logger: Logger(label: "webhook") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await application.run() }
            tasks.addTask { try await body(Webhook(state: state, port: await started.value())) }
            defer { tasks.cancelAll() }
            try await tasks.next()
        }
    }
}

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif
