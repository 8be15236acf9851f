import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Runtime
import TestKit
import Testing

/// Subscriptions and commands through one client, each on a connection of its own.
@Suite(.timeLimit(.minutes(3))) struct DedicatedConnectionTests {
    @Test func `5.30 one client publishes, subscribes and stores, before and after a restart`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url)) { client in
            let subscription = try await client.subscribe(to: ["a"], matching: ["p:*"])
            for round in 0...2 {
                try await client.set("k", to: "\(round)")
                #expect(try await client.get("k") == Array("\(round)".utf8))
                #expect(try await client.publish("\(round)", on: "a") == 1)
                #expect(try await client.publish("\(round)", on: "p:x") == 1)
                var texts: [String] = []
                while texts.count < 2, let delivery = await subscription.next() {
                    guard case .messages(let messages) = delivery else { continue }
                    for message in messages {
                        texts.append("\(message.channel)=" + String(decoding: message.payload, as: UTF8.self))
                    }
                }
                #expect(texts == ["a=\(round)", "p:x=\(round)"])
                if round == 2 { break }
                try await server.restart()
                try await eventually(within: .seconds(40), "live again") {
                    client.status.isReady && client.status.commands.reconnects == round + 1
                        && client.status.subscriptions.reconnects == round + 1
                }
            }
        }
    }

    @Test func `5.45 commands never meet a connection in subscribe mode`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url), name: "pair") { client in
            try await withClient(patientSettings(server.url), name: "observer") { observer in
                let modes = { @Sendable () async throws -> [String: [Int]] in
                    let own = try await observer.clientList().filter { $0["name"]?.hasPrefix("pair:") == true }
                    return Dictionary(grouping: own) { $0["name"] ?? "" }.mapValues { lines in
                        lines.map { (Int($0["sub"] ?? "") ?? -1) + (Int($0["psub"] ?? "") ?? -1) }
                    }
                }
                let kept = try await client.subscribe(to: ["a", "b"], matching: ["p:*"])
                for round in 1...20 {
                    try await withThrowingTaskGroup(of: Void.self) { tasks in
                        tasks.addTask {
                            for _ in 1...20 { try await client.subscribe(to: ["c"], matching: ["q:*"]).cancel() }
                        }
                        tasks.addTask {
                            // In subscribe mode the server would refuse each of these.
                            for number in 1...20 {
                                try await client.set("k", to: .integer(Int64(number)))
                                #expect(try await client.get("k") == Array("\(number)".utf8))
                            }
                        }
                        tasks.addTask {
                            let seen = try await modes()
                            #expect(seen["pair:commands"] == [0])
                        }
                        try await tasks.waitForAll()
                    }
                    guard round % 5 == 0 else { continue }
                    _ = try await observer.command("CLIENT", "KILL", "TYPE", "pubsub")
                    try await eventually(within: .seconds(40), "live again") {
                        client.status.subscriptions.reconnects == round / 5 && client.status.isReady
                    }
                }
                try await eventually(within: .seconds(40), "only the kept names are left") {
                    try await modes() == ["pair:commands": [0], "pair:subscriptions": [3]]
                }
                kept.cancel()
            }
        }
    }
}
