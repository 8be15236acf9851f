import NIOCore
import NIOPosix
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// What is asked of the server and of its address, and what is said when they do not answer.
@Suite(.timeLimit(.minutes(3))) struct ServerTests {
    @Test(arguments: [
        "REDIS_CONNECT_TIMEOUT_MS", "REDIS_PING_INTERVAL_MS", "REDIS_PONG_TIMEOUT_MS", "REDIS_COMMAND_TIMEOUT_MS",
        "REDIS_RECONNECT_BASE_DELAY_MS", "REDIS_RECONNECT_MAX_DELAY_MS", "REDIS_BREAKER_COOLDOWN_MS",
    ])
    func `5.29 a time-out that is not positive is refused by name when the settings are read`(key: String) {
        for value in ["0", "-1", "-5000", "0.0", "never"] {
            let reader = SettingsReader(environment: ["REDIS_URL": "redis://127.0.0.1", key: value])
            let settings = RedisSettings(reader)
            let problem = #expect(throws: SettingsError.self) { try reader.finish() }
            #expect(problem?.problems.map(\.key) == [key])
            #expect(problem?.description.contains(value) == true)
            // What is used in spite of it is the default, not the value.
            #expect(settings.pingInterval > .zero && settings.pongTimeout > .zero && settings.connectTimeout > .zero)
        }
    }

    @Test func `5.48 an address that accepts and says nothing ends at the connect deadline`() async throws {
        let silent = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(silent.localAddress?.port)
        try await expectTimeOuts("redis://127.0.0.1:\(port)")
        try await silent.close().get()
    }

    @Test func `5.48 an address that takes no connection ends at the connect deadline`() async throws {
        // Nobody accepts: once the backlog is full, the kernel drops what comes.
        let full = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelOption(.backlog, value: 1)
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(full.localAddress?.port)
        var fillers: [any Channel] = []
        let filler = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.milliseconds(300))
        while fillers.count < 8, let channel = try? await filler.connect(host: "127.0.0.1", port: port).get() {
            fillers.append(channel)  // the one that fails shows that it is full
        }
        try #require(fillers.count < 8)
        try await expectTimeOuts("redis://127.0.0.1:\(port)")
        for channel in fillers { try await channel.close().get() }
        try await full.close().get()
    }

    @Test func `5.48 a host that does not exist is reported, again and again`() async throws {
        let settings = fastSettings("redis://nobody.invalid:6379", ["REDIS_CONNECT_TIMEOUT_MS": "500"])
        try await withClient(settings, awaitsConnection: false) { client in
            try await eventually(within: .seconds(30), "three attempts") { client.status.commands.failures >= 3 }
            let reasons: [RedisError.Code?] = [.connectFailed, .connectTimedOut]
            #expect(reasons.contains(client.status.commands.lastError))
        }
    }

    @Test(arguments: ["2.6.17", "6.2.14"])
    func `5.51 a server that is too old is refused by a code of its own`(version: String) async throws {
        let server = try await FakeRedis.started(version: version)
        try await withClient(patientSettings(server.url), awaitsConnection: false) { client in
            try await eventually(within: .seconds(40), "refused on both connections") {
                client.status.commands.lastError == .serverTooOld
                    && client.status.subscriptions.lastError == .serverTooOld
            }
            #expect(!client.status.commands.isConnected && !client.status.subscriptions.isConnected)
            let allowed: Set<String> = ["PING", "SELECT", "ROLE", "INFO", "CLIENT", "CONFIG"]
            #expect(Set(server.commands.compactMap(\.first)).isSubset(of: allowed))
        }
    }

    @Test(arguments: ["7.0.0", "7.4.1", "8.0.2"])
    func `5.51 a server that is new enough is taken, and its version shown`(version: String) async throws {
        let server = try await FakeRedis.started(version: version)
        try await withClient(patientSettings(server.url)) { client in
            #expect(client.status.serverVersion == version)
            #expect(client.status.commands.failures == 0)
        }
    }

    @Test func `5.35 the server's output buffer limit is read at login and reported when it is too low`() async throws {
        let server = try await OwnRedis.started(["--client-output-buffer-limit", "pubsub 1mb 256kb 60"])
        let log = LogCapture()
        let warnings = { @Sendable in log.lines.count { $0.contains("redis cuts slow subscribers off too early") } }
        try await withClient(patientSettings(server.url), log: log) { client in
            let limit = OutputBufferLimit(hard: 1 << 20, soft: 256 << 10, softSeconds: 60)
            #expect(client.status.pubsubLimit == limit)
            #expect(client.status.isPubsubLimitTooLow)
            #expect(warnings() == 1)
            // Raised, and looked at again: a setting that was changed is not yet one that holds.
            _ = try await server.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 64mb 16mb 60")
            _ = try await server.ask("CLIENT", "KILL", "TYPE", "normal")
            try await eventually(within: .seconds(40), "connected again") {
                client.status.isReady && client.status.commands.reconnects == 1
            }
            #expect(client.status.pubsubLimit == OutputBufferLimit(hard: 64 << 20, soft: 16 << 20, softSeconds: 60))
            #expect(!client.status.isPubsubLimitTooLow)
            #expect(warnings() == 1)
        }
    }

    private func expectTimeOuts(_ url: String) async throws {
        let settings = fastSettings(url, ["REDIS_CONNECT_TIMEOUT_MS": "200"])
        try await withClient(settings, awaitsConnection: false) { client in
            try await eventually(within: .seconds(30), "three attempts") { client.status.commands.failures >= 3 }
            #expect(client.status.commands.lastError == .connectTimedOut)
            await #expect(throws: RedisError.self) {
                try await client.subscribe(to: ["a"], timeout: .milliseconds(50))
            }
        }
    }
}
