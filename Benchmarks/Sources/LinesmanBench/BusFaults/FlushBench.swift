import Bus
import BusTestKit
import NIOConcurrencyHelpers
import RedisTestKit
import Runtime

/// FLUSHALL under traffic: one gap for each subscriber, no more, and everything goes on.
enum FlushBench {
    private static let stations = 5
    private static let subscribersEach = 20
    private static let rounds = 3

    /// Gaps and messages of one subscriber.
    private struct Seen {
        var gaps: [Gap] = []
        var last = 0
    }

    static func run(_ bench: FaultBench, _ report: inout Report) async throws {
        let seen = NIOLockedValueBox(Array(repeating: Seen(), count: stations * subscribersEach))
        let sent = NIOLockedValueBox(0)
        var wrong = 0
        wrong = try await FaultyRedis.run { redis in
            try await withThrowingTaskGroup(of: Int?.self) { tasks in
                for station in 0..<stations {
                    tasks.addTask {
                        try await listen(redis.server.url, station, seen)
                        return nil
                    }
                }
                tasks.addTask {
                    try await publish(redis.server.url, sent)
                    return nil
                }
                tasks.addTask { try await flush(bench, redis, seen, sent) }
                defer { tasks.cancelAll() }
                while let result = try await tasks.next() {
                    if let result { return result }
                }
                throw CancellationError()
            }
        }
        let total = stations * subscribersEach
        if wrong > 0 { report.violation("flushall: \(wrong) times not exactly one gap per subscriber") }
        report.set("flushall_subscribers", to: .number(Double(total)))
        report.set("flushall_rounds", to: .number(Double(rounds)))
        report.add(
            Bar("flushall: subscribers without exactly one gap, of \(total * rounds)", Double(wrong), .atMost(0)),
            as: "flushall_wrong_gaps")
    }

    private static func listen(_ url: String, _ station: Int, _ seen: NIOLockedValueBox<[Seen]>) async throws {
        try await BusStation.run(FaultBench.settings(url), source: "subscriber/\(station)") { host in
            var subscriptions: [Subscription<Numbered>] = []
            for _ in 0..<subscribersEach { subscriptions.append(try await host.bus.subscribe(to: Numbered.journal)) }
            await withDiscardingTaskGroup { tasks in
                for (index, subscription) in subscriptions.enumerated() {
                    tasks.addTask {
                        for await delivery in subscription {
                            seen.withLockedValue { seen in
                                let place = station * subscribersEach + index
                                switch delivery {
                                case .message(let envelope, _): seen[place].last = envelope.body.number
                                case .gap(let gap): seen[place].gaps.append(gap)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    private static func publish(_ url: String, _ sent: NIOLockedValueBox<Int>) async throws {
        try await BusStation.run(FaultBench.settings(url), source: "publisher/1") { host in
            for number in 1... {
                try await host.bus.publish(Numbered(number), on: Numbered.journal)
                sent.withLockedValue { $0 = number }
                try await MachineClock.real.sleep(for: .milliseconds(3))
            }
        }
    }

    /// - Returns: how many subscribers were not handed exactly one gap, over all rounds.
    private static func flush(
        _ bench: FaultBench, _ redis: FaultyRedis, _ seen: NIOLockedValueBox<[Seen]>, _ sent: NIOLockedValueBox<Int>
    ) async throws -> Int {
        var wrong = 0
        for round in 1...rounds {
            func arrived() async throws {
                let target = sent.withLockedValue { $0 } + 100
                try await bench.until("message \(target) everywhere") {
                    seen.withLockedValue { $0.allSatisfy { $0.last >= target } }
                }
            }
            try await arrived()
            seen.withLockedValue { seen in for index in seen.indices { seen[index].gaps = [] } }
            _ = try await OwnRedis.ask(port: redis.server.port, ["FLUSHALL"])
            try await arrived()
            // A second gap would come with the next look at the server's data, once a second.
            try await bench.clock.sleep(for: .milliseconds(2_500))
            let counts = seen.withLockedValue { $0.map { $0.gaps.filter { $0.reason == .dataLost }.count } }
            let all = seen.withLockedValue { $0.map(\.gaps.count) }
            let missed = zip(counts, all).count { $0 != 1 || $1 != 1 }
            wrong += missed
            bench.say("round \(round) of \(rounds): \(all.reduce(0, +)) gaps for \(all.count) subscribers")
        }
        return wrong
    }
}
