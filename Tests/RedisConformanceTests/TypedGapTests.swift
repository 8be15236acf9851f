import Bus
import Redis
import RedisTestKit
import Runtime
import TestKit
import Testing
import Wire

/// What was missed is a value with a reason and a count, and nothing hangs on the words of an error.
@Suite(.timeLimit(.minutes(3))) struct TypedGapTests {
    /// Ways to lose a connection, each with words of its own in logs and errors.
    enum Fault: String, CaseIterable, Sendable {
        case killed, closed, reset, silent, cutInTheMiddle, restarted
    }

    private static let journal = Channel<Note>("notes:journal", .journaled(keeping: 10_000))
    private static let hint = Channel<Note>("notes:hint", .hint)

    private func cause(_ fault: Fault, _ server: OwnRedis, _ proxy: FaultProxy) async throws {
        try await proxy.refuse()
        switch fault {
        case .killed: _ = try await server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        case .closed: try await proxy.close()
        case .reset: try await proxy.reset()
        case .silent: try await proxy.stall()
        case .cutInTheMiddle: try await proxy.cut(after: 3, .toClient)
        case .restarted: try await server.restart()
        }
    }

    @Test(arguments: Fault.allCases)
    func `5.53 the same typed gap starts the replay, whatever ended the connection`(fault: Fault) async throws {
        let server = try await OwnRedis.started(appendOnly: true)
        let proxy = try await FaultProxy.start(to: server.port)
        try await withStation(patientSettings(server.url), source: "speaker/1") { speaker in
            // Only a silent link is found by its PONG.
            let patience = fault == .silent ? ["REDIS_PONG_TIMEOUT_MS": "1000"] : [:]
            try await withStation(patientSettings(proxy.url, patience), source: "listener/1") { listener in
                let journaled = try await listener.bus.subscribe(to: Self.journal)
                let hinted = try await listener.bus.subscribe(to: Self.hint)
                try await noting(journaled, hinted) { notes in
                    try await publish(1...3, by: speaker)
                    try await eventually(within: .seconds(40), "the first three") {
                        notes[0].numbers.count == 3 && notes[1].numbers.count == 3
                    }
                    let events = listener.client.events()
                    try await cause(fault, server, proxy)
                    try await eventually(within: .seconds(40), "the connection is seen to be lost") {
                        !listener.client.status.subscriptions.isConnected
                    }
                    try await eventually(within: .seconds(40), "the speaker speaks") { speaker.client.status.isReady }
                    try await publish(4...6, by: speaker)
                    try await proxy.pass()
                    try await proxy.listen()
                    try await eventually(within: .seconds(30), "live again") { listener.client.status.isReady }
                    try await publish(7...9, by: speaker)
                    try await eventually(within: .seconds(40), "everything that can be had") {
                        notes[0].numbers.last == 9 && notes[1].numbers.last == 9
                    }
                    #expect(notes[0].numbers == Array(1...9))
                    #expect(notes[0].gaps.isEmpty || fault == .restarted)
                    #expect(notes[1].numbers == [1, 2, 3, 7, 8, 9])
                    #expect(notes[1].gaps.map(\.reason) == [.reconnected])
                    let code = await firstLoss(of: events)
                    #expect(code == (fault == .silent ? .pongTimedOut : .connectionLost))
                }
            }
        }
    }

    /// Why the subscriptions' connection ended first.
    private func firstLoss(of events: AsyncStream<RedisEvent>) async -> RedisError.Code? {
        for await case .lost(.subscriptions, let code, _) in events { return code }
        return nil
    }

    private func publish(_ numbers: ClosedRange<Int>, by station: Station) async throws {
        for number in numbers {
            for channel in [Self.journal, Self.hint] {
                guard case .queued = try await station.bus.publish(Note(number: number), on: channel) else { continue }
                try await eventually(within: .seconds(40), "stored") { station.bus.status.queued == 0 }
            }
        }
    }

    @Test func `5.40 a slow reader is told by number how many messages it missed`() async throws {
        let server = try await OwnRedis.started()
        let settings = patientSettings(server.url, ["REDIS_QUEUE_MAX_MESSAGES": "100"])
        try await withStation(settings, source: "listener/1") { listener in
            try await withStation(patientSettings(server.url), source: "speaker/1") { speaker in
                let slow = try await listener.bus.subscribe(to: Self.hint)
                let end = try await listener.client.subscribe(to: ["end"])
                for number in 1...3000 { try await speaker.bus.publish(Note(number: number), on: Self.hint) }
                // Everything before it on the same connection is in the queue, or dropped from it, by then.
                try await speaker.client.publish("1", on: "end")
                _ = await end.next()
                try await noting(slow) { notes in
                    try await eventually(within: .seconds(40), "the newest") { notes[0].numbers.last == 3000 }
                    #expect(notes[0].numbers.count <= 100)
                    #expect(notes[0].missed + notes[0].numbers.count == 3000)
                    #expect(notes[0].gaps.map(\.reason) == [.overflow])
                }
            }
        }
    }

    @Test func `5.40 hints that a publisher could not send are counted by the sequence`() async throws {
        let server = try await OwnRedis.started()
        let proxy = try await FaultProxy.start(to: server.port)
        try await withStation(patientSettings(server.url), source: "listener/1") { listener in
            try await withStation(patientSettings(proxy.url), source: "speaker/1") { speaker in
                let subscription = try await listener.bus.subscribe(to: Self.hint)
                try await noting(subscription) { notes in
                    try await speaker.bus.publish(Note(number: 1), on: Self.hint)
                    try await proxy.refuse()
                    try await proxy.close()
                    try await eventually(within: .seconds(40), "disconnected") {
                        !speaker.client.status.commands.isConnected
                    }
                    for number in 2...8 {
                        #expect(try await speaker.bus.publish(Note(number: number), on: Self.hint) == .dropped)
                    }
                    try await proxy.listen()
                    try await eventually(within: .seconds(40), "connected") { speaker.client.status.isReady }
                    try await speaker.bus.publish(Note(number: 9), on: Self.hint)
                    try await eventually(within: .seconds(40), "the ninth") { notes[0].numbers == [1, 9] }
                    #expect(notes[0].gaps == [Gap(.sequence, missed: 7)])
                }
                #expect(listener.client.status.subscriptions.reconnects == 0)
            }
        }
    }
}
