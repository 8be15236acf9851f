import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// What a connection says before it is used.
@Suite(.timeLimit(.minutes(2))) struct LoginTests {
    @Test func `5.24 password and database come first on every connection, also on each one after`() async throws {
        let server = try await OwnRedis.started(["--requirepass", "geheim"])
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(patientSettings("redis://:geheim@127.0.0.1:\(proxy.port)/5")) { client in
            try await client.set("k", to: "v")
            let subscription = try await client.subscribe(to: ["a"], matching: ["p:*"])
            for cut in 1...3 {
                try await cut.isMultiple(of: 2) ? proxy.reset() : proxy.close()
                try await eventually(within: .seconds(20), "again") {
                    let status = client.status
                    return status.commands.reconnects >= cut && status.subscriptions.reconnects >= cut
                        && status.isReady
                }
                #expect(try await client.get("k") == Array("v".utf8))
            }
            #expect(try await client.publish("1", on: "a") == 1)
            #expect(await subscription.next() == .gap(RedisGap(.reconnected)))
            #expect(await subscription.next() == .messages([RedisMessage(channel: "a", payload: Array("1".utf8))]))
            let links = Dictionary(grouping: proxy.commands, by: \.link)
            #expect(links.count >= 8)
            for (link, commands) in links {
                let first = commands.prefix(2).map(\.words)
                // A link that was cut at once has said less.
                #expect(first == Array([["AUTH", "geheim"], ["SELECT", "5"]].prefix(first.count)), "link \(link)")
            }
        }
    }
}
