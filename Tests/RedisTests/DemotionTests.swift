import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// A node that is not a master any more is left, and the address is asked for anew (PITFALLS 5.42, 5.43).
@Suite(.timeLimit(.minutes(3))) struct DemotionTests {
    /// Makes one server the replica of another, or its own master with `nil`.
    private func demote(_ server: OwnRedis, below master: OwnRedis) async throws {
        #expect(try await server.ask("REPLICAOF", "127.0.0.1", "\(master.port)") == ["OK"])
    }

    private func locator(_ port: NIOLockedValueBox<Int>) -> RedisLocator {
        { RedisEndpoint(address: .network(host: "127.0.0.1", port: port.withLockedValue { $0 })) }
    }

    /// How the client learns of it.
    enum Sign: CaseIterable, Sendable {
        /// Nothing is sent but PING; ROLE tells.
        case role
        /// ROLE is never asked; a write is refused.
        case refusedWrite
    }

    @Test(arguments: Sign.allCases)
    func `both connections leave a node that was demoted, and go where the master is now`(sign: Sign) async throws {
        let old = try await OwnRedis.started()
        let new = try await OwnRedis.started()
        let port = NIOLockedValueBox(old.port)
        let settings = fastSettings(
            old.url,
            ["REDIS_PING_INTERVAL_MS": "50", "REDIS_ROLE_CHECK_PINGS": sign == .role ? "1" : "1000000"])
        try await withClient(settings, locator: locator(port)) { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await hearing(client) { heard in
                port.withLockedValue { $0 = new.port }
                try await demote(old, below: new)
                if sign == .refusedWrite {
                    let error = await #expect(throws: RedisError.self) { try await client.set("k", to: "v") }
                    #expect(error?.code == .readOnly)
                }
                try await eventually(within: .seconds(20), "at the new master") {
                    let subscribers = try await new.subscribers(of: "a")
                    return client.status.isReady && client.status.commands.reconnects >= 1 && subscribers == 1
                }
                try await client.set("k", to: "v")
                #expect(try await new.ask("GET", "k") == ["v"])
                #expect(try await client.publish("1", on: "a") == 1)
                let reasons = heard.events.compactMap { event in
                    if case .lost(let role, let code, _) = event { return "\(role.rawValue) \(code.rawValue)" }
                    return nil
                }
                #expect(reasons.contains("commands readonly"))
                #expect(reasons.contains { $0.hasPrefix("subscriptions ") })
            }
            #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
        }
    }

    @Test func `a replica is not logged in to, and the master is found when the address says so`() async throws {
        let master = try await OwnRedis.started()
        let replica = try await OwnRedis.started()
        try await demote(replica, below: master)
        let port = NIOLockedValueBox(replica.port)
        // Nothing but the login asks for the role.
        let settings = fastSettings(replica.url, ["REDIS_ROLE_CHECK_PINGS": "1000000"])
        try await withClient(settings, locator: locator(port), awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "refused") {
                client.status.commands.lastError == .readOnly && client.status.subscriptions.lastError == .readOnly
            }
            #expect(!client.status.commands.isConnected)
            port.withLockedValue { $0 = master.port }
            try await eventually(within: .seconds(20), "connected") { client.status.isReady }
        }
    }

    @Test func `when one connection comes back to another server, the other one follows`() async throws {
        let first = try await OwnRedis.started()
        let second = try await OwnRedis.started()
        let port = NIOLockedValueBox(first.port)
        try await withClient(fastSettings(first.url), locator: locator(port)) { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await hearing(client) { heard in
                // Both servers are masters: nothing tells the subscription but the other connection.
                port.withLockedValue { $0 = second.port }
                _ = try? await client.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")  // kills itself
                try await eventually(within: .seconds(20), "both at the second") {
                    let subscribers = try await second.subscribers(of: "a")
                    return client.status.isReady && subscribers == 1
                }
                #expect(try await first.subscribers(of: "a") == 0)
                try await eventually("said why") {
                    heard.events.contains { event in
                        if case .lost(.subscriptions, .differentServer, _) = event { true } else { false }
                    }
                }
            }
            #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
        }
    }

    @Test func `an address that nobody tells in time is a failed attempt`() async throws {
        let server = try await OwnRedis.started()
        let answers = NIOLockedValueBox(false)
        let asked = NIOLockedValueBox(0)
        let port = server.port
        let locator: RedisLocator = {
            asked.withLockedValue { $0 += 1 }
            if !answers.withLockedValue({ $0 }) { try await MachineClock.real.sleep(for: .seconds(600)) }
            return RedisEndpoint(address: .network(host: "127.0.0.1", port: port))
        }
        let settings = fastSettings(server.url, ["REDIS_CONNECT_TIMEOUT_MS": "500"])
        try await withClient(settings, locator: locator, awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "asked again") { client.status.commands.failures >= 2 }
            #expect(client.status.commands.lastError == .connectTimedOut)
            answers.withLockedValue { $0 = true }
            try await eventually(within: .seconds(20), "connected") { client.status.isReady }
            #expect(asked.withLockedValue { $0 } >= 6, "asked anew for each attempt of both connections")
        }
    }
}
