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
