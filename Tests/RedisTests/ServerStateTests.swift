import Foundation
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// What the client does when the server is there but not well: each state is made in a real server.
@Suite(.timeLimit(.minutes(3))) struct ServerStateTests {
    @Test func `a server that loads its data is waited for on one connection, and is ready when it has loaded`()
        async throws
    {
        // 40 ms for each of 1,500 keys, until it is told to hurry; it answers in between, and says LOADING.
        let server = try await OwnRedis.started([
            "--key-load-delay", "40000", "--loading-process-events-interval-bytes", "1024",
        ])
        // One failed attempt would open the breaker for longer than the test lasts.
        let settings = patientSettings(
            server.url,
            [
                "REDIS_RECONNECT_MAX_FAILURES": "100000", "REDIS_RECONNECT_BASE_DELAY_MS": "5",
                "REDIS_RECONNECT_MAX_DELAY_MS": "5",
            ])
        try await withClient(settings) { client in
            let fill = "for i = 1, 1500 do redis.call('set', 'k' .. i, string.rep('v', 100)) end"
            _ = try await client.command("EVAL", fill, "0")
            _ = try await client.command("SAVE")
            let subscription = try await client.subscribe(to: ["a"])
            try await hearing(client) { heard in
                await server.kill()
                async let start: Void = server.start()
                try await eventually(within: .seconds(30), "both waited") {
                    Set(heard.waited).isSuperset(of: [.commands, .subscriptions])
                }
                #expect(try await server.ask("CONFIG", "SET", "key-load-delay", "0") == ["OK"])
                try await start
                try await eventually(within: .seconds(30), "live again") {
                    let status = client.status
                    return status.isReady && status.commands.reconnects == 1 && status.subscriptions.reconnects == 1
                }
                let after = heard.events.drop { if case .waiting = $0 { false } else { true } }
                let failed = after.filter { if case .attemptFailed = $0 { true } else { false } }
                #expect(failed.isEmpty, "no connection was given up while the server was loading")
            }
            #expect(try await client.command("DBSIZE").integer == 1500)
            try await client.publish("1", on: "a")
            subscription.cancel()
        }
    }

    @Test func `a server busy with a script is waited for, and no connection is lost`() async throws {
        let server = try await OwnRedis.started(["--busy-reply-threshold", "50"])
        try await withClient(patientSettings(server.url, ["REDIS_PING_INTERVAL_MS": "50"])) { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await hearing(client) { heard in
                // On a connection of its own: the server does not read the one whose script runs.
                let endless = Task { try await server.ask("EVAL", "while true do end", "0") }
                try await eventually(within: .seconds(30), "both wait") {
                    client.status.commands.waitsFor == .busyScript
                        && client.status.subscriptions.waitsFor == .busyScript
                }
                #expect(!client.status.isReady)
                await #expect(throws: RedisError.self) { try await client.get("k") }
                // What is asked for meanwhile is asked for again.
                async let late = client.subscribe(to: ["b"], timeout: .seconds(30))
                #expect(try await server.ask("SCRIPT", "KILL") == ["OK"])
                _ = await endless.result
                try await late.cancel()
                try await eventually(within: .seconds(30), "ready") { client.status.isReady }
                #expect(Set(heard.waited) == [.commands, .subscriptions])
            }
            #expect(client.status.commands.reconnects == 0 && client.status.subscriptions.reconnects == 0)
            subscription.cancel()
        }
    }

    @Test func `a server that pauses its clients for less than a PONG may take costs nothing`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url, ["REDIS_PING_INTERVAL_MS": "50"])) { client in
            let subscription = try await client.subscribe(to: ["a"])
            #expect(try await server.ask("CLIENT", "PAUSE", "1000", "ALL") == ["OK"])
            #expect(try await client.publish("1", on: "a") == 1)
            #expect(await subscription.next() == .messages([RedisMessage(channel: "a", payload: Array("1".utf8))]))
            #expect(client.status.commands.reconnects == 0 && client.status.subscriptions.reconnects == 0)
        }
    }

    @Test func `a server that pauses its clients for longer is left, and found again when it goes on`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url)) { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await hearing(client) { heard in
                // Nobody can lift it: the server would hold that back too. As long as a process that is held up for
                // seconds needs to see it; what was heard stays heard, also when it is looked at late.
                #expect(try await server.ask("CLIENT", "PAUSE", "12000", "ALL") == ["OK"])
                try await eventually(within: .seconds(20), "both are left, and fail to come back") {
                    RedisLinkRole.allCases.allSatisfy { role in
                        heard.events.contains { if case .lost(role, .pongTimedOut, _) = $0 { true } else { false } }
                            && heard.events.contains { if case .attemptFailed(role, _, _) = $0 { true } else { false } }
                    }
                }
                try await eventually("the gap is told") {
                    heard.events.contains { if case .gapOpened(_, 1) = $0 { true } else { false } }
                }
                try await eventually(within: .seconds(40), "both are back") { client.status.isReady }
            }
            // What was connected meanwhile and given up is closed, so nobody hears twice.
            try await eventually(within: .seconds(20), "one subscriber") {
                try await server.subscribers(of: "a") == 1
            }
            #expect(try await client.publish("1", on: "a") == 1)
            #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
            #expect(await subscription.next() == .messages([RedisMessage(channel: "a", payload: Array("1".utf8))]))
        }
    }

    @Test func `a server that cannot save refuses writes and PING, and keeps its connections`() async throws {
        let server = try await OwnRedis.started(["--save", "3600 1", "--dbfilename", "dump.rdb"])
        try await withClient(patientSettings(server.url, ["REDIS_PING_INTERVAL_MS": "20"])) { client in
            let folder = try #require(try await client.command("CONFIG", "GET", "dir").array?.last?.text)
            // A snapshot cannot take the place of a folder.
            try FileManager.default.createDirectory(atPath: folder + "/dump.rdb/x", withIntermediateDirectories: true)
            _ = try await client.command("BGSAVE")
            let subscription = try await client.subscribe(to: ["a"])
            try await hearing(client) { heard in
                try await eventually(within: .seconds(30), "reported") {
                    heard.events.contains(.refused(.misconfigured))
                }
                let error = await #expect(throws: RedisError.self) { try await client.set("k", to: "v") }
                #expect(error?.code == .misconfigured && error?.isTransient == true)
                // Reading, publishing and logging in go on.
                #expect(try await client.get("k") == nil)
                #expect(try await client.publish("1", on: "a") == 1)
                try await withClient(patientSettings(server.url)) { late in
                    #expect(late.status.isReady)
                }
            }
            #expect(client.status.commands.reconnects == 0 && client.status.subscriptions.reconnects == 0)
            subscription.cancel()
        }
    }

    @Test func `a full server refuses writes, is reported, and takes them again when there is room`() async throws {
        let server = try await OwnRedis.started()
        let metrics = MetricsRegistry()
        try await withClient(patientSettings(server.url), metrics: metrics) { client in
            try await hearing(client) { heard in
                _ = try await client.command("CONFIG", "SET", "maxmemory", "1")
                for _ in 1...3 {
                    let error = await #expect(throws: RedisError.self) { try await client.set("k", to: "v") }
                    #expect(error?.code == .outOfMemory && error?.isTransient == true)
                }
                try await eventually("reported") { heard.events.contains(.refused(.outOfMemory)) }
                #expect(heard.events.count { $0 == .refused(.outOfMemory) } == 1, "the same one is news once")
                #expect(metrics.snapshot()["redis_error_replies_total{code=\"oom\"}"] == 3)
                _ = try await client.command("CONFIG", "SET", "maxmemory", "0")
                try await client.set("k", to: "v")
            }
            #expect(client.status.commands.reconnects == 0)
        }
    }

    @Test func `a missing right and a missing script are the caller's, and cost no connection`() async throws {
        let server = try await OwnRedis.started()
        _ = try await server.ask("ACL", "SETUSER", "anna", "on", ">pw", "+@all", "-get", "~*", "&*")
        try await withClient(patientSettings("redis://anna:pw@127.0.0.1:\(server.port)")) { client in
            let refused = await #expect(throws: RedisError.self) { try await client.get("k") }
            #expect(refused?.code == .permissionDenied)
            let missing = await #expect(throws: RedisError.self) {
                try await client.send(["EVALSHA", .text(String(repeating: "0", count: 40)), 0])
            }
            #expect(missing?.code == .noScript)
            #expect(client.status.commands.reconnects == 0)
        }
    }

    @Test func `a login that may ask for nothing but what it needs is enough`() async throws {
        let server = try await OwnRedis.started()
        _ = try await server.ask(
            "ACL", "SETUSER", "anna", "on", ">pw", "-@all", "+publish", "+subscribe", "+unsubscribe", "+ping", "&*")
        let settings = patientSettings(
            "redis://anna:pw@127.0.0.1:\(server.port)",
            ["REDIS_PING_INTERVAL_MS": "20", "REDIS_ROLE_CHECK_PINGS": "1"])
        try await withClient(settings, name: "poor", incarnation: "1") { client in
            let subscription = try await client.subscribe(to: ["a"])
            #expect(try await client.publish("1", on: "a") == 1)
            let pong = try #require(client.status.commands.lastPong)
            try await eventually("PINGs go on") { client.status.commands.lastPong ?? pong > pong }
            let status = client.status
            #expect(status.serverVersion == nil && status.pubsubLimit == nil && client.server?.runID == "")
            #expect(status.commands.reconnects == 0 && status.subscriptions.reconnects == 0)
            subscription.cancel()
        }
    }

    @Test func `a password that is changed at run time is asked for until it fits again`() async throws {
        let server = try await OwnRedis.started(["--requirepass", "first"])
        try await withClient(fastSettings("redis://:first@127.0.0.1:\(server.port)")) { client in
            let subscription = try await client.subscribe(to: ["a"])
            _ = try await client.command("CONFIG", "SET", "requirepass", "second")
            _ = try await client.command("CLIENT", "KILL", "TYPE", "pubsub")
            try await eventually(within: .seconds(20), "refused, loudly") {
                client.status.subscriptions.lastError == .wrongPassword && client.status.subscriptions.failures > 2
            }
            #expect(client.status.commands.isConnected, "who is logged in stays so")
            _ = try await client.command("CONFIG", "SET", "requirepass", "first")
            try await eventually(within: .seconds(20), "back") { client.status.isReady }
            #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
        }
    }

    @Test func `who asks for the address gets the password anew for each attempt`() async throws {
        let server = try await OwnRedis.started(["--requirepass", "first"])
        let password = NIOLockedValueBox("first")
        let port = server.port
        let locator: RedisLocator = {
            RedisEndpoint(
                address: .network(host: "127.0.0.1", port: port), password: Secret(password.withLockedValue { $0 }))
        }
        try await withClient(fastSettings("redis://nobody.invalid"), locator: locator) { client in
            _ = try await client.command("CONFIG", "SET", "requirepass", "second")
            password.withLockedValue { $0 = "second" }
            _ = try await client.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            _ = try? await client.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")  // kills itself
            try await eventually(within: .seconds(20), "logged in anew") {
                client.status.commands.reconnects >= 1 && client.status.isReady
            }
        }
    }
}

extension Heard {
    /// The connections that had to wait for the server.
    var waited: [RedisLinkRole] {
        events.compactMap { if case .waiting(let role, _) = $0 { role } else { nil } }
    }
}
