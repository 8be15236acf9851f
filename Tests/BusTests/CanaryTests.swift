import Bus
import Domain
import RedisTestKit
import TestKit
import Testing
import Wire

@testable import Redis

@Suite(.timeLimit(.minutes(2))) struct CanaryTests {
    private static let fast = BusSettings.of(["BUS_CANARY_INTERVAL_MS": "50", "BUS_CANARY_TIMEOUT_MS": "500"])
    /// So slow that only what hurries it sends one.
    private static let slow = BusSettings.of(["BUS_CANARY_INTERVAL_MS": "600000"])

    @Test func `a bus that hears itself is healthy, one whose server is away is not, and is again at once`()
        async throws
    {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url), bounds: Self.fast) { station in
            try await eventually(within: .seconds(20), "healthy") { station.bus.status.canary.isHealthy }
            try station.bus.checkHealth()
            #expect(station.bus.status.canary.roundTrip ?? .seconds(9) < .seconds(1))
            await server.kill()
            try await eventually(within: .seconds(20), "unhealthy") { !station.bus.status.canary.isHealthy }
            let error = #expect(throws: BusError.self) { try station.bus.checkHealth() }
            #expect(error?.code == .deaf)
            try await server.start()
            try await eventually(within: .seconds(20), "healthy again") { station.bus.status.canary.isHealthy }
            #expect(station.bus.status.canary.recycled == 0, "a server away is no reason to doubt a subscription")
        }
    }

    // PITFALLS 5.5, 5.8, 5.44: connected, answering PING, and deaf.
    @Test func `a subscription that the server has forgotten is found and replaced`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url), bounds: Self.fast) { station in
            let subscription = try await station.bus.subscribe(to: Notes.hint)
            try await collecting([subscription]) { received in
                try await eventually(within: .seconds(20), "healthy") { station.bus.status.canary.isHealthy }
                let connection = try #require(station.client.subscriptions.connection(to: nil))
                _ = try await connection.send(["UNSUBSCRIBE"], replies: 2, timeout: .seconds(5))
                try await eventually(within: .seconds(20), "replaced") {
                    station.client.status.subscriptions.reconnects == 1 && station.client.status.isReady
                        && station.bus.status.canary.isHealthy
                }
                let canary = station.bus.status.canary
                #expect(canary.recycled == 1 && canary.missed >= 1)
                let published = try await station.bus.publish(Note(number: 1), on: Notes.hint)
                #expect(published == .sent(receivers: 1))
                try await eventually(within: .seconds(20), "heard again, behind a gap") {
                    received[0].numbers == [1] && received[0].gaps.map(\.reason) == [.reconnected]
                }
            }
        }
    }

    @Test func `after a reconnect health does not wait for the interval`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url), bounds: Self.slow) { station in
            try await eventually(within: .seconds(20), "the first canary") { station.bus.status.canary.isHealthy }
            let before = station.bus.status.canary.sent
            for cut in 1...3 {
                _ = try await station.client.command("CLIENT", "KILL", "TYPE", "pubsub")
                try await eventually(within: .seconds(20), "a canary after cut \(cut)") {
                    station.bus.status.canary.sent >= before + cut && station.bus.status.canary.isHealthy
                }
            }
        }
    }

    @Test func `two processes of one name notice each other`() async throws {
        let server = try await OwnRedis.started()
        let settings = fastSettings(server.url)
        try await withBus(settings, source: "twin/1", incarnation: "a", bounds: Self.fast) { one in
            try await withBus(settings, source: "twin/1", incarnation: "b", bounds: Self.fast) { two in
                try await eventually(within: .seconds(20), "both hear the other") {
                    one.bus.status.canary.foreign > 0 && two.bus.status.canary.foreign > 0
                }
                #expect(one.bus.status.canary.isHealthy || two.bus.status.canary.isHealthy)
            }
        }
    }
}
