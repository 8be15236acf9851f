import Bus
import BusTestKit
import NIOConcurrencyHelpers
import RedisTestKit
import Resilience
import Runtime
import Wire

/// A consumer that stops reading under a steady stream: its memory stays flat, and one gap tells what it missed.
enum MemoryBench {
    private static let perSecond = 5_000
    private static let tick = Duration.milliseconds(10)

    private struct Outcome: Sendable {
        var samples: [(at: Duration, megabytes: Double)] = []
        /// Samples before this one belong to the warm-up.
        var warm = 0
        var published = 0
        var received = 0
        var gaps: [Gap] = []
        var overflows = 0
    }

    static func run(_ bench: FaultBench, _ report: inout Report) async throws {
        let outcome = try await FaultyRedis.run { redis in
            let settings = FaultBench.settings(redis.server.url)
            return try await BusStation.run(settings, source: "publisher/1") { publisher in
                try await BusStation.run(settings, source: "subscriber/1") { subscriber in
                    try await measure(bench, publisher.bus, subscriber)
                }
            }
        }
        let warm = outcome.samples[..<outcome.warm].map(\.megabytes)
        let after = outcome.samples[outcome.warm...].map(\.megabytes)
        guard let highestWarm = warm.max(), let highest = after.max(), let lowest = after.min() else {
            throw BenchError(.failure, "memory: too short: the queue was not filled twice")
        }
        let dropped = outcome.gaps.reduce(0) { $0 + ($1.missed ?? 0) }
        if outcome.gaps.count != 1 { report.violation("memory: \(outcome.gaps.count) gaps instead of one") }
        if dropped + outcome.received != outcome.published {
            report.violation(
                "memory: \(outcome.published) published, but \(dropped) dropped and \(outcome.received) received")
        }
        report.set("memory_minutes", to: .number(bench.options.minutes))
        report.set("memory_rss_mb", to: .number(highestWarm))
        report.set("memory_rss_lowest_mb", to: .number(lowest))
        report.set("memory_dropped", to: .number(Double(dropped)))
        report.add(
            Bar("memory: RSS above the warm queue's, MB", highest - highestWarm, .atMost(5)),
            as: "memory_rss_growth_mb")
        report.note(
            "memory: \(bench.options.minutes.formatted()) min at \(perSecond)/s; RSS \(lowest.formatted()) to "
                + "\(highest.formatted()) MB after warm-up, \(highestWarm.formatted()) MB before; "
                + "\(dropped) dropped and told by \(outcome.gaps.count) gap, \(outcome.received) still there")
    }

    private static func measure(
        _ bench: FaultBench, _ publisher: Bus, _ subscriber: BusStation
    ) async throws -> Outcome {
        let subscription = try await subscriber.bus.subscribe(to: Numbered.hint)
        let isOver = NIOLockedValueBox(false)
        let limit = subscriber.client.settings.queueLimit
        async let published = stream(bench, publisher, isOver)
        var outcome = Outcome()
        let start = bench.clock.now
        var warmAt: MachineInstant?
        let length = Duration.seconds(bench.options.minutes * 60)
        while warmAt.map({ bench.clock.now.since($0) < length }) ?? true {
            try await bench.clock.sleep(for: .seconds(2))
            let dropped = subscriber.client.status.dropped
            outcome.samples.append((bench.clock.now.since(start), OwnProcess.residentMegabytes ?? 0))
            if outcome.samples.count.isMultiple(of: 15) {
                bench.say("\(dropped) dropped, \((outcome.samples.last?.megabytes ?? 0).formatted()) MB")
            }
            if warmAt == nil, dropped > 2 * limit {
                warmAt = bench.clock.now
                outcome.warm = outcome.samples.count
                bench.say("warm")
            }
        }
        isOver.withLockedValue { $0 = true }
        outcome.published = try await published
        var iterator = subscription.makeAsyncIterator()
        while outcome.received + outcome.gaps.reduce(0, { $0 + ($1.missed ?? 0) }) < outcome.published {
            guard let delivery = await iterator.next() else { break }
            switch delivery {
            case .message: outcome.received += 1
            case .gap(let gap): outcome.gaps.append(gap)
            }
        }
        return outcome
    }

    /// - Returns: how many were sent.
    private static func stream(
        _ bench: FaultBench, _ bus: Bus, _ isOver: NIOLockedValueBox<Bool>
    ) async throws -> Int {
        let start = bench.clock.now
        var number = 0
        while !isOver.withLockedValue({ $0 }) {
            let due = Int(bench.clock.now.since(start).wholeMilliseconds) * perSecond / 1_000
            let numbers = number..<max(number, min(due, number + 1_000))
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in numbers {
                    tasks.addTask { try await bus.publish(Numbered(number + 1), on: Numbered.hint) }
                }
                try await tasks.waitForAll()
            }
            number = numbers.upperBound
            try await bench.clock.sleep(for: tick)
        }
        return number
    }
}
