import Domain
import Foundation
import NIOConcurrencyHelpers
import Runtime
import Servers
import TestKit
import Testing
import Wire

/// What every executable says of itself.
@Suite(.processes) struct HeartbeatTests {
    // CHECKLIST R36, R37.
    @Test(.timeLimit(.minutes(4)))
    func `all five executables say who they are and how they do, under a key that goes with them`() async throws {
        try await withOwnRedis { redis in
            try await withPostgres { database in
                let peer = try BusPeer(redis.url)
                let heard = NIOLockedValueBox<[String: Heartbeat]>([:])
                let take: @Sendable (Heartbeat) async -> Void = { beat in
                    heard.withLockedValue { $0[beat.service] = beat }
                }
                peer.follow(try await peer.bus.subscribe(to: Channels.heartbeats), take)
                peer.follow(try await peer.bus.subscribe(matching: Channels.shardHeartbeats), take)
                var starting = try RealFleet()
                let life = 3
                try await starting.start(
                    redis: redis.url, database: database.url, ["HEARTBEAT_TTL_SECS": "\(life)"])
                let fleet = starting
                try await eventually(within: .seconds(90), "all five are healthy") {
                    let beats = heard.withLockedValue { $0 }
                    return RealFleet.services.allSatisfy { beats[$0]?.status == .healthy }
                }
                for service in RealFleet.services {
                    let beat = try #require(heard.withLockedValue { $0[service] })
                    #expect(beat.processID == fleet.processes[service]?.processID, "\(service)")
                    #expect(!beat.instance.isEmpty && beat.startedAt > 1_700_000_000_000_000 && beat.beat > 0)
                    #expect(["redis", "bus", "database"].allSatisfy { beat.checks[$0] == true }, "\(beat.checks)")
                    #expect(!beat.metrics.isEmpty && !beat.build.isEmpty)
                    #expect((beat.capacity != nil) == (service == "game-shard"))
                    let key = "health:hb:\(service):\(beat.instance)"
                    let left = try await peer.client.send(["PTTL", "\(key)"]).integer ?? 0
                    #expect((1...Int64(life) * 1000).contains(left), "\(key) \(left)")
                    let value = try await peer.client.send(["GET", "\(key)"]).text ?? ""
                    #expect(value.contains(beat.incarnation.rawValue), "\(key) \(value)")
                }
                fleet.processes["market-discovery"]?.signal(SIGKILL)
                try await eventually(within: .seconds(30), "the key of the killed one is gone") {
                    try await peer.client.send(["EXISTS", "health:hb:market-discovery:1"]).integer == 0
                }
                #expect(try await peer.client.send(["EXISTS", "health:hb:orchestrator:1"]).integer == 1)
                _ = await fleet.stop()
                await peer.stop()
            }
        }
    }
}
