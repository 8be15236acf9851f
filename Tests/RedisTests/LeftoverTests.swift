import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// Connections that an earlier life left at the server, and servers that are too old (PITFALLS 5.50, 5.51).
@Suite(.timeLimit(.minutes(2))) struct LeftoverTests {
    /// The names of the clients of that service, as the server lists them.
    private func names(_ server: OwnRedis, _ service: String) async throws -> [String] {
        try await server.ask("CLIENT", "LIST").flatMap { $0.split(separator: "\n") }
            .flatMap { $0.split(separator: " ") }
            .filter { $0.hasPrefix("name=" + service) }.map { String($0.dropFirst(5)) }.sorted()
    }

    @Test func `a new life closes what the earlier one left, and nobody else's`() async throws {
        let server = try await OwnRedis.started()
        let settings = patientSettings(server.url)
        // An earlier life whose sockets are half-open: the proxy keeps them, the client comes back elsewhere.
        try await withClient(settings, name: "s/1", incarnation: "a") { earlier in
            try await withClient(settings, name: "s/2", incarnation: "a") { _ in
                let seen = try await names(server, "s/")
                #expect(seen.count == 4)
                let metrics = MetricsRegistry()
                try await withClient(settings, name: "s/1", incarnation: "b", metrics: metrics) { _ in
                    try await eventually("told") {
                        metrics.snapshot()["redis_events_total{event=\"leftovers_removed\"}"] == 1
                    }
                    try await eventually(within: .seconds(20), "the earlier one noticed") {
                        earlier.status.commands.reconnects == 1 && earlier.status.subscriptions.reconnects == 1
                    }
                    // It lives after all, and comes back; neither cuts the other off again.
                    try await eventually(within: .seconds(20), "all six") {
                        try await names(server, "s/") == [
                            "s/1/a:commands", "s/1/a:subscriptions", "s/1/b:commands", "s/1/b:subscriptions",
                            "s/2/a:commands", "s/2/a:subscriptions",
                        ]
                    }
                    #expect(earlier.status.commands.reconnects == 1)
                }
            }
        }
    }

    @Test func `a client without an incarnation leaves everybody alone`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url), name: "tool") { first in
            try await withClient(patientSettings(server.url), name: "tool") { _ in
                let seen = try await names(server, "tool")
                #expect(seen.count == 4)
                #expect(first.status.commands.reconnects == 0)
            }
        }
    }

    @Test func `a server that is too old is said so, and asked no faster than the backoff allows`() async throws {
        let fake = try await FakeRedis.start { command in
            command.words == ["INFO", "server"] ? FakeRedis.healthy(command.words, version: "6.0.16") : nil
        }
        let settings = patientSettings(
            fake.url, ["REDIS_RECONNECT_MAX_FAILURES": "3", "REDIS_BREAKER_COOLDOWN_MS": "60000"])
        try await withClient(settings, awaitsConnection: false) { client in
            try await eventually(within: .seconds(20), "open") {
                client.status.commands.breaker == .open && client.status.subscriptions.breaker == .open
            }
            #expect(client.status.commands.lastError == .serverTooOld)
            #expect(fake.accepted == 6)
        }
    }
}
