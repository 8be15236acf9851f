import Bus
import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing
import Wire

/// Sockets, memory and slots are bounded on both sides, whatever happens.
@Suite(.timeLimit(.minutes(3))) struct ResourceTests {
    @Test func `5.11 an unresponsive server is tried over one socket per connection at a time`() async throws {
        let server = try await OwnRedis.started()
        let settings = fastSettings(
            server.url,
            [
                "REDIS_CONNECT_TIMEOUT_MS": "250", "REDIS_PING_INTERVAL_MS": "50", "REDIS_PONG_TIMEOUT_MS": "250",
                "REDIS_RECONNECT_BASE_DELAY_MS": "1", "REDIS_RECONNECT_MAX_DELAY_MS": "5",
                "REDIS_RECONNECT_MAX_FAILURES": "100000",
            ])
        try await withClient(settings, name: "eager") { client in
            let before = client.status
            server.pause()
            var most = 0
            try await eventually(within: .seconds(60), "15 more attempts of each connection") {
                most = max(most, try openSockets(to: server.port))
                let status = client.status
                return status.commands.failures >= before.commands.failures + 15
                    && status.subscriptions.failures >= before.subscriptions.failures + 15
            }
            #expect((1...2).contains(most))
            server.resume()
            try await withClient(patientSettings(server.url), name: "observer") { observer in
                try await eventually(within: .seconds(30), "the server has forgotten the failed attempts") {
                    try await observer.clientList().count == 4
                }
            }
        }
        try await eventually(within: .seconds(40), "no socket is left") { try openSockets(to: server.port) == 0 }
    }

    @Test func `5.37 two thousand subscriptions to one channel are one subscriber to the server`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url)) { client in
            var subscriptions: [RedisSubscription] = []
            for _ in 1...2000 { subscriptions.append(try await client.subscribe(to: ["a"])) }
            #expect(try await client.subscribers(of: "a") == 1)
            let before = try #require(try await client.figure("used_memory", of: "memory"))
            let payload = Array(repeating: UInt8(ascii: "x"), count: 10_000)
            for _ in 1...20 {
                #expect(try await client.publish(.bytes(payload), on: "a") == 1)
            }
            let after = try #require(try await client.figure("used_memory", of: "memory"))
            // A copy for each of 2,000 subscribers would be 20 MB for one message alone.
            #expect(after - before < 8 << 20)
            for subscription in subscriptions {
                var received = 0
                while received < 20, case .messages(let messages)? = await subscription.next() {
                    received += messages.count
                }
                #expect(received == 20)
            }
        }
    }

    @Test func `5.38 the server's memory stays bounded under a load of messages and a capped journal`() async throws {
        let server = try await OwnRedis.started()
        let journal = Channel<Note>("notes:journal", .journaled(keeping: 1000))
        let text = String(repeating: "x", count: 500)
        try await withStation(patientSettings(server.url), source: "speaker/1") { station in
            let client = station.client
            let heard = try await client.subscribe(to: ["plain"])
            let noted = try await station.bus.subscribe(to: journal)
            let before = try #require(try await client.figure("used_memory", of: "memory"))
            let most = NIOLockedValueBox(before)
            // 40 MB of messages, a third of them kept for a while by the journal.
            try await collecting(heard) { _ in
                try await noting(noted) { notes in
                    for round in 0..<50 {
                        for _ in 1...1000 { client.enqueue(["PUBLISH", "plain", .text(text)]) { _ in } }
                        try await withThrowingTaskGroup(of: Void.self) { tasks in
                            for number in 1...500 {
                                let note = Note(number: round * 500 + number, text: text)
                                tasks.addTask { try await station.bus.publish(note, on: journal) }
                            }
                            try await tasks.waitForAll()
                        }
                        let used = try #require(try await client.figure("used_memory", of: "memory"))
                        most.withLockedValue { $0 = max($0, used) }
                    }
                    try await eventually(within: .seconds(30), "all of the journal was heard") {
                        notes[0].numbers.count == 25_000
                    }
                }
            }
            let kept = try await client.command("XLEN", "journal:stream:notes:journal").integer ?? 0
            #expect((1000...1200).contains(kept))
            #expect(most.withLockedValue { $0 } - before < 8 << 20)
            #expect(client.status.subscriptions.reconnects == 0)
        }
    }

    @Test func `5.46 ten thousand subscriptions come and go and leave nothing behind`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(patientSettings(server.url), name: "cycle") { client in
            let connections = try await client.clientList().count
            let descriptors = try openSockets(to: server.port)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for worker in 0..<10 {
                    tasks.addTask {
                        for cycle in 0..<1000 {
                            let names = ["shared", "own:\(worker):\(cycle % 7)"]
                            try await client.subscribe(to: names, matching: ["p:\(worker):*"], timeout: .seconds(60))
                                .cancel()
                            guard cycle % 100 == 0 else { continue }
                            #expect(try await client.clientList().count == connections)
                        }
                    }
                }
                try await tasks.waitForAll()
            }
            try await eventually(within: .seconds(30), "every name is given back") {
                let status = client.status
                return status.desired == 0 && status.observed == 0
            }
            #expect(try await client.command("PUBSUB", "CHANNELS").array == [])
            #expect(try await client.command("PUBSUB", "NUMPAT").integer == 0)
            #expect(try await client.clientList().count == connections)
            #expect(try openSockets(to: server.port) == descriptors)
            #expect(client.status.subscriptions.reconnects == 0)
        }
    }

    @Test func `5.50 at boot what an earlier life left at the server is ended, and nothing else`() async throws {
        let server = try await OwnRedis.started()
        func peer(_ name: String) async throws -> RawPeer {
            let peer = try await RawPeer.connected(to: server.port)
            peer.send("CLIENT", "SETNAME", name)
            peer.send("SUBSCRIBE", "a")
            try await eventually(within: .seconds(40), "subscribed") { peer.received.contains("subscribe") }
            return peer
        }
        let leftovers = [try await peer("desk/1/old:subscriptions"), try await peer("desk/1/older:commands")]
        let others = [
            try await peer("desk/2/old:subscriptions"), try await peer("desk/11/old:subscriptions"),
            try await peer("desk/1"), try await peer("desk/1/old:monitor"), try await peer("stranger"),
        ]
        let settings = patientSettings(server.url)
        try await withClient(settings, name: "desk/1", incarnation: "new") { client in
            try await eventually(within: .seconds(40), "the leftovers are gone") { leftovers.allSatisfy(\.isClosed) }
            let seen = try await client.clientList().compactMap { $0["name"] }
            #expect(seen.contains("desk/1/new:commands") && seen.contains("desk/1/new:subscriptions"))
            #expect(try await client.subscribers(of: "a") == others.count)
            let ended = others.filter(\.isClosed)
            #expect(ended.isEmpty)
            // Only at boot: a second process that claims to be the same is not cut off for ever in turn.
            try await withClient(settings, name: "desk/1", incarnation: "newer") { newer in
                try await eventually(within: .seconds(40), "the first comes back") {
                    client.status.isReady && client.status.commands.reconnects >= 1
                        && client.status.subscriptions.reconnects >= 1
                }
                // It has logged in again: whomever it would have cut off by that is cut off now.
                try await newer.ping()
                #expect(newer.status.isReady)
                #expect(newer.status.commands.reconnects == 0 && newer.status.subscriptions.reconnects == 0)
                #expect(client.status.commands.reconnects == 1)
            }
        }
    }

    @Test func `5.52 a dead node fills its own slots and nobody else's`() async throws {
        let dead = try await OwnRedis.started()
        let live = try await OwnRedis.started()
        let bounds = ["REDIS_MAX_IN_FLIGHT": "100", "REDIS_PING_INTERVAL_MS": "60000"]
        try await withClient(patientSettings(dead.url, bounds)) { stuck in
            try await withClient(patientSettings(live.url, bounds)) { client in
                dead.pause()
                let outcomes = NIOLockedValueBox<[RedisError.Code]>([])
                for _ in 1...250 {
                    stuck.enqueue(["SET", "k", "v"], timeout: .seconds(2)) { result in
                        if case .failure(let error) = result { outcomes.withLockedValue { $0.append(error.code) } }
                    }
                }
                // Refused at once, and the others are still waiting.
                let refused = outcomes.withLockedValue { $0 }
                #expect(refused == Array(repeating: .overloaded, count: 150))
                for number in 1...1000 {
                    #expect(try await client.command("ECHO", "\(number)").text == "\(number)")
                }
                try await eventually(within: .seconds(40), "the waiting ones are told") {
                    outcomes.withLockedValue { $0.count } == 250
                }
                let late = outcomes.withLockedValue { Set($0.dropFirst(150)) }
                #expect(late == [.commandTimedOut])
                // Their places are taken until the server answers or the connection ends.
                await #expect(throws: RedisError.self) { try await stuck.ping() }
                dead.resume()
                try await eventually(within: .seconds(40), "the slots are free again") {
                    (try? await stuck.command("ECHO", "back").text) == "back"
                }
            }
        }
    }

    @Test func `5.52 a refused connection is reported at once, whatever the connect time-out`() async throws {
        let absent = try OwnRedis()
        let settings = patientSettings(absent.url, ["REDIS_CONNECT_TIMEOUT_MS": "600000"])
        try await withClient(settings, awaitsConnection: false) { client in
            try await eventually(within: .seconds(30), "three refusals") { client.status.commands.failures >= 3 }
            #expect(client.status.commands.lastError == .connectFailed)
            await #expect(throws: RedisError.self) { try await client.ping() }
        }
    }
}
