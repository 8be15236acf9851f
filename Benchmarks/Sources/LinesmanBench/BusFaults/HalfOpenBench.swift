import Bus
import BusTestKit
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Wire

/// Links that carry nothing any more though nobody closed them: how long until that is found, and until all is live.
///
/// New links pass, as through a NAT that has begun anew. Every other round is idle until then, the others carry
/// messages up to the last moment.
enum HalfOpenBench {
    private static let stations = 4

    private struct Outcome: Sendable {
        var found = RoundTimes()
        var live = RoundTimes()
    }

    static func run(_ bench: FaultBench, _ report: inout Report) async throws {
        let rounds = (bench.options.faultRounds + stations - 1) / stations
        let outcome = try await withThrowingTaskGroup(of: Outcome.self) { tasks in
            for station in 0..<stations { tasks.addTask { try await measure(bench, station, rounds) } }
            return try await tasks.reduce(into: Outcome()) { all, one in
                all.found.add(one.found)
                all.live.add(one.live)
            }
        }
        let count = outcome.found.seconds.count
        report.set("half_open_rounds", to: .number(Double(count)))
        report.set("half_open_found_mean_s", to: .number(outcome.found.mean))
        report.add(
            Bar("half-open: both links found, s, max of \(count)", outcome.found.maximum, .atMost(3)),
            as: "half_open_found_max_s")
        report.set("half_open_live_mean_s", to: .number(outcome.live.mean))
        report.set("half_open_live_max_s", to: .number(outcome.live.maximum ?? 0))
        report.note(
            "half-open: live again after \(outcome.live.mean.formatted()) s on average, "
                + "\((outcome.live.maximum ?? 0).formatted()) s at most")
    }

    private static func measure(_ bench: FaultBench, _ station: Int, _ rounds: Int) async throws -> Outcome {
        var generator = bench.generator(station)
        let waits = (0..<rounds).map { _ in Duration.milliseconds(Int.random(in: 200...1_500, using: &generator)) }
        return try await FaultyRedis.run { redis in
            let proxy = try await FaultProxy.start(to: redis.server.port)
            let settings = FaultBench.settings(proxy.url)
            return try await BusStation.run(settings, source: "subscriber/\(station)") { host in
                let subscription = try await host.bus.subscribe(to: Numbered.hint)
                let reading = Task { for await _ in subscription {} }
                defer { reading.cancel() }
                var outcome = Outcome()
                for (round, wait) in waits.enumerated() {
                    try await bench.until("ready before the round") { host.client.status.isReady }
                    let traffic = round.isMultiple(of: 2) ? Task { await chatter(host.bus) } : nil
                    defer { traffic?.cancel() }
                    try await bench.clock.sleep(for: wait)
                    let (found, live) = try await stall(bench, proxy, host)
                    bench.say(
                        "link \(station + 1), round \(round + 1): found after \(found.wholeMilliseconds) ms, "
                            + "live after \(live.wholeMilliseconds) ms")
                    outcome.found.add(found)
                    outcome.live.add(live)
                }
                return outcome
            }
        }
    }

    /// - Returns: until both links were found lost, and until everything was live again.
    private static func stall(
        _ bench: FaultBench, _ proxy: FaultProxy, _ host: BusStation
    ) async throws -> (found: Duration, live: Duration) {
        let before = host.client.status
        let start = bench.clock.now
        try await proxy.forget()
        func isFound() -> Bool {
            let now = host.client.status
            let commands = !now.commands.isConnected || now.commands.reconnects > before.commands.reconnects
            let subscriptions =
                !now.subscriptions.isConnected || now.subscriptions.reconnects > before.subscriptions.reconnects
            return commands && subscriptions
        }
        let found = try await bench.until("found", isFound)
        let live = try await bench.until("live again") { host.client.status.isReady }
        return (found.since(start), live.since(start))
    }

    private static func chatter(_ bus: Bus) async {
        var number = 0
        while !Task.isCancelled {
            number += 1
            // Lost while the link is: that is what this is about.
            _ = try? await bus.publish(Numbered(number), on: Numbered.hint)
            try? await MachineClock.real.sleep(for: .milliseconds(10))
        }
    }
}
