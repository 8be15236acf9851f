import Resilience
import Testing

@testable import Alerting

/// What is told, when, and to whom; the numbers are those of PITFALLS 6.
@Suite struct AlertEngineTests {
    // CHECKLIST R18, PITFALLS 6.1.
    @Test func `requirement 1: two causes of one kind are two alerts`() {
        var desk = Desk()
        desk.fire("shard:1")
        desk.fire("shard:2")
        desk.pass(.seconds(2))
        #expect(desk.told() == ["+shard:1", "+shard:2"])
    }

    @Test func `repeats within the rate limit are held back, in the file, and counted in the next message`() {
        var desk = Desk()
        for _ in 0..<4 { desk.fire("redis") }
        desk.pass(.seconds(299))
        #expect(desk.told() == ["+redis"])
        #expect(desk.file.count == 4 && desk.file.filter(\.isHeld).count == 3)
        desk.pass(.seconds(2))
        #expect(desk.told() == ["+redis", "+redis"])
        #expect(desk.messages().last?.alerts.first?.suppressed == 3)
        #expect(desk.engine.statistics.held == 3)
    }

    // CHECKLIST N28.
    @Test func `requirement 2: a recovery is told with its length, exactly when the firing was delivered`() {
        var desk = Desk()
        desk.resolve("never")
        desk.fire("redis")
        desk.pass(.seconds(90))
        desk.resolve("redis")
        desk.resolve("redis")
        desk.pass(.seconds(5))
        #expect(desk.told() == ["+redis", "-redis"])
        #expect(desk.messages().last?.alerts.first?.lastedMilliseconds == 90_000)
        #expect(desk.engine.firing.isEmpty)
        #expect(desk.cursors["slack"]?.open.isEmpty == true)
    }

    @Test func `a firing that a sink refused for good has no recovery there, but at the other sink`() {
        var desk = Desk(sinks: ["slack", "webhook"])
        let refused = AlertError(.messageRefused, "slack answered 400")
        desk.answer = { message, sink in
            sink == "slack" && message.alerts.contains { $0.fingerprint == "redis" } ? .refused(refused) : .delivered
        }
        desk.fire("redis")
        desk.pass(.seconds(3))
        desk.answer = { _, _ in .delivered }
        desk.resolve("redis")
        desk.pass(.seconds(10))
        #expect(desk.told("slack") == ["+redis", "+redis"])
        #expect(desk.messages("slack").map(\.isTextOnly) == [false, true])
        #expect(desk.told("webhook").filter { $0.hasSuffix("redis") } == ["+redis", "-redis"])
    }

    @Test func `an outage that is over before a sink could be reached is still told, in its order`() {
        var desk = Desk()
        var isUp = false
        desk.answer = { _, _ in isUp ? .delivered : .later(AlertError(.unreachable, "down"), after: nil) }
        desk.fire("redis")
        desk.resolve("redis")
        desk.pass(.seconds(5))
        isUp = true
        desk.answer = { _, _ in .delivered }
        desk.pass(.seconds(120))
        #expect(desk.told().suffix(2) == ["+redis", "-redis"])
    }

    @Test func `a cause that flaps is told three times in a window, then held until a place is free`() {
        var desk = Desk()
        for _ in 0..<10 {
            desk.fire("redis")
            desk.pass(.seconds(5))
            desk.resolve("redis")
            desk.pass(.seconds(5))
        }
        #expect(desk.told() == ["+redis", "-redis", "+redis", "-redis", "+redis", "-redis"])
        desk.fire("redis")
        desk.pass(.seconds(300))
        // Held, and told when the first telling is a window ago.
        #expect(desk.told().last == "+redis" && desk.told().count == 7)
        #expect(desk.file.count == 22)
    }

    // CHECKLIST R100; the bar of the storm.
    @Test func `requirement 3: a storm of 1,000 is in the file, few messages, all named within a minute`() throws {
        var desk = Desk()
        let start = desk.now
        for number in 0..<1_000 {
            desk.fire("game:\(number)")
            if number % 50 == 0 { desk.pass(.milliseconds(100)) }
        }
        desk.pass(.seconds(60))
        #expect(desk.file.count == 1_000)
        #expect(desk.sent.count <= 3)
        #expect(start.duration(to: try #require(desk.sent.first).at) <= .seconds(5))
        #expect(start.duration(to: try #require(desk.sent.last).at) <= .seconds(60))
        #expect(Set(desk.told()).count == 1_000)
        let before = desk.sent.count
        for number in 0..<1_000 { desk.resolve("game:\(number)") }
        desk.pass(.seconds(120))
        #expect(desk.told().filter { $0.hasPrefix("-") }.count == 1_000)
        #expect(desk.sent.count - before <= 3)
    }

    @Test func `five that wait are told one by one, six as one message`() {
        for count in [5, 6] {
            var desk = Desk()
            desk.answer = { _, _ in nil }
            desk.fire("first")
            for number in 1...count { desk.fire("next:\(number)") }
            desk.answer = { _, _ in .delivered }
            desk.take(.answered(sink: "slack", .delivered, at: desk.wall))
            desk.pass(.seconds(20))
            #expect(desk.messages().map(\.alerts.count) == (count == 5 ? [1, 1, 1, 1, 1, 1] : [1, 6]))
        }
    }

    @Test func `during a storm a new critical kind is told at once, a known one waits`() throws {
        var desk = Desk()
        for number in 0..<20 { desk.fire("game:\(number)") }
        desk.pass(.seconds(3))
        let count = desk.sent.count
        desk.fire("game:late")
        desk.pass(.seconds(3))
        #expect(desk.sent.count == count)
        desk.fire("redis", kind: "redisConnectivityIssue")
        desk.pass(.milliseconds(10))
        #expect(desk.told().suffix(2) == ["+game:late", "+redis"])
    }

    @Test func `requirement 4: one message a second, and Retry-After is obeyed`() {
        var desk = Desk()
        for number in 0..<5 { desk.fire("shard:\(number)") }
        desk.pass(.seconds(10))
        let gaps = zip(desk.sent, desk.sent.dropFirst()).map { $0.at.duration(to: $1.at) }
        #expect(gaps.count == 4)
        for gap in gaps { #expect(gap >= .seconds(1)) }

        var busy = Desk()
        busy.answer = { _, _ in .later(AlertError(.throttled, "slack answered 429"), after: .seconds(30)) }
        busy.fire("redis")
        busy.answer = { _, _ in .delivered }
        busy.pass(.seconds(29))
        #expect(busy.sent.count == 1)
        busy.pass(.seconds(2))
        #expect(busy.sent.count == 2)
    }

    @Test func `requirement 5: a sink that refuses is reported on the others and tried again, nothing is lost`() {
        var desk = Desk(sinks: ["slack", "webhook"])
        desk.answer = { _, sink in
            sink == "slack" ? .refused(AlertError(.sinkRefused, "slack answered 404 no_service")) : .delivered
        }
        desk.fire("redis")
        desk.fire("database")
        desk.pass(.seconds(10))
        #expect(desk.told("webhook").contains("+alertDeliveryFailing:slack"))
        #expect(!desk.told("slack").contains("+alertDeliveryFailing:slack"))
        #expect(desk.messages("slack").count == 1)
        #expect(desk.engine.failingSinks == ["slack"])
        desk.answer = { _, _ in .delivered }
        desk.pass(.seconds(400))
        #expect(desk.told("slack").suffix(2) == ["+redis", "+database"])
        #expect(desk.told("webhook").last == "-alertDeliveryFailing:slack")
        #expect(desk.engine.failingSinks.isEmpty)
    }

    @Test func `a sink that asks for patience is reported when that lasts`() {
        var desk = Desk(sinks: ["slack", "webhook"])
        desk.answer = { _, sink in
            sink == "slack" ? .later(AlertError(.throttled, "slack answered 429"), after: .seconds(1)) : .delivered
        }
        desk.fire("redis")
        desk.pass(.seconds(25))
        #expect(desk.messages("slack").count >= 4)
        #expect(!desk.told("webhook").contains("+alertDeliveryFailing:slack"))
        desk.pass(.seconds(60))
        #expect(desk.told("webhook").filter { $0 == "+alertDeliveryFailing:slack" }.count == 1)
        // Its patience begins anew once it took something.
        desk.answer = { _, _ in .delivered }
        desk.pass(.seconds(120))
        #expect(desk.told("webhook").last == "-alertDeliveryFailing:slack")
        desk.answer = { _, sink in
            sink == "slack" ? .later(AlertError(.throttled, "slack answered 429"), after: .seconds(1)) : .delivered
        }
        desk.fire("database")
        desk.pass(.seconds(20))
        #expect(desk.told("webhook").filter { $0 == "+alertDeliveryFailing:slack" }.count == 1)
    }

    @Test func `a sink that only fails for now is reported after three failures, and never given up`() {
        var desk = Desk(sinks: ["slack", "webhook"])
        desk.answer = { _, sink in
            sink == "slack" ? .later(AlertError(.timeout, "slack does not answer in time"), after: nil) : .delivered
        }
        desk.fire("redis")
        desk.pass(.seconds(2))
        #expect(!desk.told("webhook").contains("+alertDeliveryFailing:slack"))
        desk.pass(.seconds(3_600))
        #expect(desk.told("webhook").filter { $0 == "+alertDeliveryFailing:slack" }.count == 1)
        let attempts = desk.messages("slack").count
        #expect((55...90).contains(attempts), "\(attempts)")
        desk.answer = { _, _ in .delivered }
        desk.pass(.seconds(120))
        #expect(desk.engine.isIdle)
    }

    @Test func `requirement 6: every attempt says the same, also when the cause is gone meanwhile`() {
        var desk = Desk()
        desk.answer = { _, _ in .later(AlertError(.unavailable, "slack answered 500"), after: nil) }
        desk.fire("redis")
        desk.pass(.seconds(1))
        desk.resolve("redis")
        desk.pass(.seconds(60))
        let attempts = desk.messages()
        #expect(attempts.count > 3)
        #expect(Set(attempts).count == 1)
        #expect(attempts.last?.alerts.first?.state == .firing)
        desk.answer = { _, _ in .delivered }
        desk.pass(.seconds(120))
        #expect(desk.told().last == "-redis")
    }

    @Test func `requirement 7: a crash at any moment loses nothing and tells no recovery twice over`() {
        var desk = Desk()
        desk.answer = { _, _ in nil }
        desk.fire("redis")
        desk.answer = { _, _ in .delivered }
        desk.restart()
        desk.pass(.seconds(1))
        #expect(desk.told() == ["+redis", "+redis"])
        desk.restart(after: .seconds(60))
        desk.fire("redis")
        desk.pass(.seconds(1))
        // Told before the crash: a repeat, by the rate limit that outlives it.
        #expect(desk.told().count == 2)
        desk.resolve("redis")
        desk.pass(.seconds(1))
        desk.restart()
        desk.resolve("redis")
        desk.pass(.seconds(5))
        #expect(desk.told() == ["+redis", "+redis", "-redis"])
        #expect(desk.messages().last?.alerts.first?.lastedMilliseconds.map { $0 >= 61_000 } == true)
    }

    @Test func `what an earlier life told and this one does not see again is ended on request`() {
        var desk = Desk()
        desk.fire("redis", kind: "redisConnectivityIssue")
        desk.fire("order:1", kind: "orderUnknown")
        desk.pass(.seconds(5))
        desk.restart(after: .seconds(10))
        desk.take(.resolveUnconfirmed(kinds: ["redisConnectivityIssue"], at: desk.wall))
        desk.pass(.seconds(5))
        #expect(desk.told() == ["+redis", "+order:1", "-redis"])
        #expect(desk.engine.firing == ["order:1"])
    }

    @Test func `what this life sees again, or raised itself, is not ended on request`() {
        var desk = Desk()
        desk.fire("redis", kind: "redisConnectivityIssue")
        desk.pass(.seconds(5))
        desk.restart(after: .seconds(10))
        desk.fire("redis", kind: "redisConnectivityIssue")
        desk.fire("redis/2", kind: "redisConnectivityIssue")
        desk.take(.resolveUnconfirmed(kinds: ["redisConnectivityIssue"], at: desk.wall))
        desk.pass(.seconds(5))
        #expect(desk.engine.firing == ["redis", "redis/2"])
        #expect(!desk.told().contains { $0.hasPrefix("-") })
    }

    @Test func `requirement 9: a quiet sink is shown that the way is open, a busy one is not`() {
        var policy = AlertPolicy()
        policy.canaryInterval = .seconds(3_600)
        var desk = Desk(policy: policy)
        desk.pass(.seconds(3_500))
        desk.fire("redis")
        desk.pass(.seconds(3_500))
        #expect(desk.told() == ["+redis"])
        desk.pass(.seconds(200))
        #expect(desk.told() == ["+redis", "+alertingCanary"])
        #expect(!desk.engine.firing.contains("alertingCanary"))
    }

    @Test func `requirement 12: what waits is bounded, the oldest of the least severity go, and are counted`() {
        var policy = AlertPolicy()
        policy.waitingLimit = 10
        var desk = Desk(policy: policy)
        desk.answer = { _, _ in nil }
        desk.fire("first")
        for number in 0..<10 { desk.fire("info:\(number)", kind: "note", severity: .info) }
        for number in 0..<5 { desk.fire("critical:\(number)") }
        #expect(desk.engine.waiting == ["slack": 10])
        #expect(desk.engine.statistics.dropped == 6)
        desk.answer = { _, _ in .delivered }
        desk.take(.answered(sink: "slack", .delivered, at: desk.wall))
        desk.pass(.seconds(5))
        let told = desk.told()
        for number in 0..<5 { #expect(told.contains("+critical:\(number)")) }
        #expect(!told.contains("+info:0") && told.contains("+info:9"))
        #expect(desk.messages().last?.omitted == 6)
        #expect(desk.file.count == 16)
    }

    @Test func `the same id counts once, whoever repeats it`() {
        var desk = Desk()
        desk.fire("redis", id: "a")
        desk.fire("redis", id: "a")
        desk.restart()
        desk.fire("redis", id: "a")
        #expect(desk.file.count == 1)
        #expect(desk.engine.statistics.repeatedIDs == 1)
    }

    @Test func `what merely happened has no recovery and its repeats are told together later`() {
        var desk = Desk()
        for _ in 0..<3 { desk.fire("overfilled", isLasting: false) }
        desk.resolve("overfilled")
        desk.pass(.seconds(301))
        #expect(desk.told() == ["+overfilled", "+overfilled"])
        #expect(desk.messages().last?.alerts.first?.suppressed == 2)
        #expect(desk.engine.firing.isEmpty)
    }

    // CHECKLIST R19, PITFALLS D43.
    @Test func `switched off nothing is written or told; switched on, what is true by then is`() {
        var desk = Desk()
        desk.fire("shard:1")
        desk.pass(.seconds(2))
        desk.take(.switched(isEnabled: false, at: desk.wall))
        desk.fire("redis")
        desk.fire("short")
        desk.resolve("short")
        desk.pass(.seconds(60))
        desk.resolve("shard:1")
        desk.pass(.seconds(60))
        #expect(desk.told() == ["+shard:1"] && desk.file.count == 1)
        desk.take(.switched(isEnabled: true, at: desk.wall))
        desk.pass(.seconds(5))
        #expect(desk.told() == ["+shard:1", "-shard:1", "+redis"])
        #expect(desk.messages()[1].alerts.first?.lastedMilliseconds == 62_000)
    }

    @Test func `a full disk keeps nothing from the sinks, is told once, and the file gets everything later`() {
        var desk = Desk()
        desk.fileTakes = false
        desk.fire("redis")
        desk.fire("database")
        desk.pass(.seconds(20))
        #expect(desk.told() == ["+redis", "+alertFileFailing", "+database"])
        #expect(desk.file.isEmpty && !desk.engine.isIdle)
        desk.fileTakes = true
        desk.pass(.seconds(20))
        #expect(desk.told().last == "-alertFileFailing")
        #expect(Set(desk.file.map(\.sequence)) == [1, 2, 3, 4])
        #expect(desk.engine.isIdle)
    }

    @Test func `a file that hangs holds the sinks up for no more than a second`() {
        var engine = AlertEngine(
            policy: AlertPolicy(), source: "s/1", sinks: ["slack"], seed: 1, at: MachineInstant.origin)
        _ = engine.handle(.restore(records: [], cursors: [:], at: 0), at: .origin)
        let desk = Desk()
        let first = engine.handle(.fire(desk.request("redis", id: "1")), at: .origin)
        #expect(first.count == 1)
        let later = engine.handle(.tick(at: 1), at: .origin.advanced(by: .seconds(1)))
        #expect(later.contains { if case .send = $0 { true } else { false } })
    }

    @Test func `a sink that is set later begins with what comes then, one that is taken away is let go`() {
        var desk = Desk(sinks: [])
        desk.fire("old")
        desk.take(.configured(desk.engine.policy, sinks: ["slack"]))
        desk.fire("new")
        desk.pass(.seconds(2))
        #expect(desk.told() == ["+new"])
        desk.answer = { _, _ in nil }
        desk.fire("lost")
        desk.take(.configured(desk.engine.policy, sinks: []))
        desk.take(.answered(sink: "slack", .delivered, at: desk.wall))
        #expect(desk.engine.isIdle)
    }
}
