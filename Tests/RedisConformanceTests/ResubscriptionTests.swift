import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// Every subscription comes back, and comes back once.
@Suite(.timeLimit(.minutes(3))) struct ResubscriptionTests {
    @Test func `5.1 a subscription outlives many failed attempts to connect`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url)) { client in
            let subscription = try await client.subscribe(to: ["a"], matching: ["p:*"])
            await server.kill()
            try await eventually(within: .seconds(20), "five failures") {
                client.status.subscriptions.failures >= 5
            }
            #expect(client.status.desired == 2 && client.status.observed == 0)
            try await server.start()
            try await eventually(within: .seconds(20), "live again") { client.status.isReady }
            #expect(try await server.publish("1", on: "a") == 1)
            #expect(try await server.publish("2", on: "p:x") == 1)
            try await collecting(subscription) { collected in
                try await eventually(within: .seconds(20), "both") { collected.texts.count == 3 }
                #expect(collected.texts == ["gap", "a=1", "p:x=2"])
            }
        }
    }

    @Test(arguments: [FaultProxy.Verdict.cutBefore, .cutAtReply, .stallAfter])
    func `5.2 drops between the connect and the acknowledgement forget no channel`(
        verdict: FaultProxy.Verdict
    ) async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        let settings = patientSettings(proxy.url, ["REDIS_COMMAND_TIMEOUT_MS": "1000"])
        try await withClient(settings) { client in
            let subscription = try await client.subscribe(to: ["a", "b"], matching: ["p:*"])
            let left = NIOLockedValueBox(["SUBSCRIBE": 2, "PSUBSCRIBE": 2])
            try await proxy.judge { command in
                left.withLockedValue { left in
                    guard let count = left[command.name], count > 0 else { return .pass }
                    left[command.name] = count - 1
                    return verdict
                }
            }
            try await proxy.close()
            try await eventually(within: .seconds(20), "all drops are used up and all is live") {
                left.withLockedValue { $0.values.reduce(0, +) } == 0 && client.status.isReady
            }
            #expect(client.status.subscriptions.reconnects >= 5)
            #expect(try await server.publish("1", on: "a") >= 1)
            #expect(try await server.publish("2", on: "b") >= 1)
            #expect(try await server.publish("3", on: "p:x") >= 1)
            try await collecting(subscription) { collected in
                try await eventually(within: .seconds(20), "all three") { collected.texts.count >= 4 }
                #expect(collected.texts == ["gap", "a=1", "b=2", "p:x=3"])
            }
        }
    }

    @Test func `5.3 subscribe and unsubscribe keep their order on every connection`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(patientSettings(proxy.url)) { client in
            let kept = try await client.subscribe(to: ["kept"], matching: ["kept:*"])
            try await churning(client, keeping: 2, cuts: 10, proxy: proxy)
            for (link, commands) in Dictionary(grouping: proxy.commands, by: \.link) {
                var subscribed: Set<String> = []
                for command in commands {
                    for name in command.words.dropFirst() {
                        switch command.name {
                        case "SUBSCRIBE", "PSUBSCRIBE":
                            let isNew = subscribed.insert(name).inserted
                            #expect(isNew, "link \(link): \(name) subscribed twice")
                        case "UNSUBSCRIBE", "PUNSUBSCRIBE":
                            let wasThere = subscribed.remove(name) != nil
                            #expect(wasThere, "link \(link): \(name) unsubscribed before it was subscribed")
                        default:
                            break
                        }
                    }
                }
            }
            // The last connection was told of these two and of nothing that it was not told to forget.
            #expect(try await server.ask("PUBSUB", "CHANNELS") == ["kept"])
            #expect(try await server.ask("PUBSUB", "NUMPAT") == ["1"])
            kept.cancel()
        }
    }

    @Test func `5.4 after cuts amid changes the server counts what is wanted and nothing else`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(patientSettings(proxy.url)) { client in
            let kept = try await client.subscribe(to: ["kept"])
            try await churning(client, keeping: 1, cuts: 10, proxy: proxy)
            // Wanted again at the very moment it is no longer wanted.
            let before = try await client.subscribe(to: ["again"])
            before.cancel()
            let again = try await client.subscribe(to: ["again"])
            try await eventually(within: .seconds(20), "settled") { client.status.isReady }
            #expect(
                try await server.ask("PUBSUB", "NUMSUB", "kept", "again", "0", "1", "2") == [
                    "kept", "1", "again", "1", "0", "0", "1", "0", "2", "0",
                ])
            #expect(try await server.publish("1", on: "again") == 1)
            #expect(await again.next() == .messages([RedisMessage(channel: "again", payload: Array("1".utf8))]))
            kept.cancel()
        }
    }

    /// Subscribes and unsubscribes the same few names without pause while the links are cut, then lets it settle.
    private func churning(_ client: RedisClient, keeping kept: Int, cuts: Int, proxy: FaultProxy) async throws {
        let cycles = NIOLockedValueBox(0)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for name in 0..<3 {
                tasks.addTask {
                    while !Task.isCancelled {
                        // A cut makes it late, never wrong.
                        try? await client.subscribe(to: ["\(name)"], timeout: .seconds(5)).cancel()
                        cycles.withLockedValue { $0 += 1 }
                    }
                }
            }
            for cut in 1...cuts {
                let before = cycles.withLockedValue { $0 }
                try await eventually(within: .seconds(20), "traffic") { cycles.withLockedValue { $0 } > before + 10 }
                try await cut.isMultiple(of: 2) ? proxy.close() : proxy.reset()
                try await eventually(within: .seconds(20), "reconnected") {
                    client.status.subscriptions.reconnects >= cut
                }
            }
            tasks.cancelAll()
        }
        try await eventually(within: .seconds(20), "settled") {
            client.status.desired == kept && client.status.isReady
        }
    }

    @Test func `5.5 ready means that the server has every subscription, not that the sockets are up`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(patientSettings(proxy.url, ["REDIS_COMMAND_TIMEOUT_MS": "1000"])) { client in
            let subscription = try await client.subscribe(to: ["a"], matching: ["p:*"])
            try await proxy.judge { $0.name == "PSUBSCRIBE" ? .stallAfter : .pass }
            try await proxy.close()
            try await eventually(within: .seconds(20), "both sockets are up") {
                let status = client.status
                return status.commands.isConnected && status.subscriptions.isConnected && status.observed == 1
            }
            #expect(!client.status.isReady)
            try await proxy.pass()
            try await collecting(subscription) { collected in
                for round in 1...10 {
                    let before = client.status
                    try await proxy.close()
                    try await eventually(within: .seconds(20), "ready again") {
                        let status = client.status
                        return status.subscriptions.reconnects > before.subscriptions.reconnects && status.isReady
                    }
                    // At once: whoever is ready misses nothing.
                    _ = try await server.publish("\(round)", on: "a")
                    _ = try await server.publish("\(round)", on: "p:x")
                    try await eventually(within: .seconds(20), "both are heard") {
                        collected.texts.suffix(2) == ["a=\(round)", "p:x=\(round)"]
                    }
                }
            }
        }
    }

    @Test func `5.6 a deaf time is one gap, and no second subscriber stays behind`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withClient(patientSettings(proxy.url, ["REDIS_PONG_TIMEOUT_MS": "1000"])) { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await collecting(subscription) { collected in
                let faults = [proxy.close, proxy.reset, proxy.forget]
                for (index, fault) in faults.enumerated() {
                    _ = try await server.publish("before \(index)", on: "a")
                    try await eventually(within: .seconds(20), "heard") { collected.texts.last == "a=before \(index)" }
                    try await proxy.admit(.drop)
                    try await fault()
                    _ = try await server.publish("deaf \(index)", on: "a")
                    try await proxy.pass()
                    try await eventually(within: .seconds(20), "live again") {
                        client.status.subscriptions.reconnects > index && client.status.isReady
                    }
                    // A link that is half-open on the server's side too would be a second one.
                    try await eventually(within: .seconds(20), "one subscriber") {
                        try await server.subscribers(of: "a") == 1
                    }
                    #expect(try await server.publish("after \(index)", on: "a") == 1)
                    try await eventually(within: .seconds(20), "heard") { collected.texts.last == "a=after \(index)" }
                }
                let expected = faults.indices.flatMap { ["a=before \($0)", "gap", "a=after \($0)"] }
                #expect(collected.texts == expected)
            }
        }
    }

    @Test func `5.7 stopping and starting the server brings back commands and subscriptions`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url)) { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await collecting(subscription) { collected in
                for round in 1...3 {
                    await server.stop()
                    try await eventually(within: .seconds(20), "both lost") {
                        !client.status.commands.isConnected && !client.status.subscriptions.isConnected
                    }
                    try await server.start()
                    try await eventually(within: .seconds(20), "both back") { client.status.isReady }
                    try await client.set("k", to: "\(round)")
                    #expect(try await client.publish("\(round)", on: "a") == 1)
                    try await eventually(within: .seconds(20), "heard") { collected.texts.last == "a=\(round)" }
                }
                #expect(collected.texts == ["gap", "a=1", "gap", "a=2", "gap", "a=3"])
            }
        }
    }

    @Test func `5.9 a restart under full load loses no subscription`() async throws {
        let server = try await OwnRedis.started()
        let channels = (0..<4).map { "load:\($0)" }
        try await withClient(patientSettings(server.url), name: "publisher") { publisher in
            try await withClient(patientSettings(server.url), name: "subscriber") { client in
                var subscriptions = [try await client.subscribe(matching: ["load:*"])]
                for channel in channels { subscriptions.append(try await client.subscribe(to: [channel])) }
                try await tallying(subscriptions) { tallies in
                    try await withTraffic(on: channels, by: publisher, pause: .zero) { traffic in
                        for round in 1...3 {
                            try await hearing(channels, tallies, traffic)
                            try await server.restart()
                            try await eventually(within: .seconds(20), "reconnected and live") {
                                client.status.subscriptions.reconnects >= round && client.status.isReady
                            }
                        }
                        try await hearing(channels, tallies, traffic)
                    }
                    let reconnects = client.status.subscriptions.reconnects
                    for tally in tallies {
                        #expect(tally.disorders == 0)
                        #expect((3...reconnects).contains(tally.gaps.count { $0.reason == .reconnected }))
                    }
                }
                for channel in channels { #expect(try await server.subscribers(of: channel) == 1) }
            }
        }
    }

    /// Waits until every subscription hears what is published from now on; the first one listens to all channels.
    private func hearing(_ channels: [String], _ tallies: [Tally], _ traffic: Traffic) async throws {
        for (index, channel) in channels.enumerated() {
            let now = traffic.attempted(on: channel)
            try await eventually(within: .seconds(20), "\(channel) is heard") {
                tallies[0].last(on: channel) > now && tallies[index + 1].last(on: channel) > now
            }
        }
    }
}
