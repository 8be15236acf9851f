import Bus
import BusTestKit
import RedisTestKit
import Resilience
import Runtime
import Wire

/// Redis away for a while: how long after it accepts commands again every subscription is live.
///
/// Rounds run on several servers side by side; the second half of each server's rounds loads a data set first.
enum AwayBench {
    private static let stations = 4
    private static let hints = 30
    private static let journals = 10
    private static let patterns = 10
    private static let keys = 10_000

    private struct Outcome: Sendable {
        var plain = RoundTimes()
        var loading = RoundTimes()
        /// Rounds in which the server was seen to answer LOADING.
        var loadingSeen = 0
        var violations: [String] = []
    }

    static func run(_ bench: FaultBench, _ report: inout Report) async throws {
        let plainRounds = (bench.options.faultRounds + stations - 1) / stations
        let loadingRounds = (plainRounds + 1) / 2
        let outcomes = try await withThrowingTaskGroup(of: Outcome.self) { tasks in
            for station in 0..<stations {
                tasks.addTask { try await measure(bench, station, plainRounds, loadingRounds) }
            }
            return try await tasks.reduce(into: [Outcome]()) { $0.append($1) }
        }
        var plain = RoundTimes()
        var loading = RoundTimes()
        for outcome in outcomes {
            plain.add(outcome.plain)
            loading.add(outcome.loading)
            for violation in outcome.violations { report.violation("away: \(violation)") }
        }
        let seconds = bench.options.away
        report.set("away_seconds", to: .number(Double(seconds)))
        report.set("away_rounds", to: .number(Double(plain.seconds.count)))
        report.set("away_live_mean_s", to: .number(plain.mean))
        report.add(
            Bar("away \(seconds) s: all live, s, max of \(plain.seconds.count)", plain.maximum, .atMost(2)),
            as: "away_live_max_s")
        report.set("away_loading_rounds", to: .number(Double(outcomes.reduce(0) { $0 + $1.loadingSeen })))
        report.set("away_loading_live_mean_s", to: .number(loading.mean))
        report.add(
            Bar("away \(seconds) s, then LOADING: max of \(loading.seconds.count)", loading.maximum, .atMost(2)),
            as: "away_loading_live_max_s")
        report.note(
            "away: \(hints + journals + patterns) subscriptions each; LOADING was answered in "
                + "\(outcomes.reduce(0) { $0 + $1.loadingSeen }) of \(loading.seconds.count) such rounds")
    }

    private static func measure(
        _ bench: FaultBench, _ station: Int, _ plainRounds: Int, _ loadingRounds: Int
    ) async throws -> Outcome {
        // So that the servers do not come back all at once.
        try await bench.clock.sleep(for: .seconds(bench.options.away) * station / stations)
        // Each key takes that many microseconds to load.
        return try await FaultyRedis.run(["--key-load-delay", "300"]) { redis in
            let settings = FaultBench.settings(redis.server.url)
            return try await BusStation.run(settings, source: "subscriber/\(station)") { host in
                let subscriptions = try await subscribe(host.bus)
                var outcome = Outcome()
                for round in 1...(plainRounds + loadingRounds) {
                    if round == plainRounds + 1 { try await fill(redis) }
                    let (time, wasLoading) = try await away(bench, redis, host)
                    if try await listeners(redis) != subscriptions.count {
                        outcome.violations.append("the server misses subscriptions of station \(station)")
                    }
                    bench.say("server \(station + 1), round \(round): live after \(time.wholeMilliseconds) ms")
                    guard round > plainRounds else {
                        outcome.plain.add(time)
                        continue
                    }
                    outcome.loading.add(time)
                    if wasLoading { outcome.loadingSeen += 1 }
                }
                return outcome
            }
        }
    }

    /// - Returns: from the server's first PONG until every subscription is acknowledged.
    private static func away(
        _ bench: FaultBench, _ redis: FaultyRedis, _ host: BusStation
    ) async throws -> (time: Duration, wasLoading: Bool) {
        try await bench.until("ready before the round") { host.client.status.isReady }
        await redis.server.kill()
        try await bench.clock.sleep(for: .seconds(bench.options.away))
        async let started: Void = redis.server.startAgain()
        let (accepts, wasLoading) = try await firstPong(bench, redis.server.port)
        let live = try await bench.until("live again") { host.client.status.isReady }
        try await started
        return (live.since(accepts), wasLoading)
    }

    private static func firstPong(
        _ bench: FaultBench, _ port: Int
    ) async throws -> (at: MachineInstant, wasLoading: Bool) {
        var wasLoading = false
        while true {
            // Thrown while nobody listens yet.
            let answer = (try? await OwnRedis.ask(port: port, ["PING"])) ?? []
            if answer.first == "PONG" { return (bench.clock.now, wasLoading) }
            if answer.first?.hasPrefix("-LOADING") == true { wasLoading = true }
            try await bench.clock.sleep(for: .milliseconds(1))
        }
    }

    private static func subscribe(_ bus: Bus) async throws -> [Subscription<Numbered>] {
        var subscriptions: [Subscription<Numbered>] = []
        for index in 0..<hints {
            subscriptions.append(try await bus.subscribe(to: Channel<Numbered>("away:hint:\(index)", .hint)))
        }
        for index in 0..<journals {
            let channel = Channel<Numbered>("away:journal:\(index)", .journaled(keeping: 1_000))
            subscriptions.append(try await bus.subscribe(to: channel))
        }
        for index in 0..<patterns {
            subscriptions.append(try await bus.subscribe(matching: ChannelPattern<Numbered>("away:\(index):*")))
        }
        return subscriptions
    }

    /// Subscriptions of this part as the server has them.
    private static func listeners(_ redis: FaultyRedis) async throws -> Int {
        let port = redis.server.port
        let channels = try await OwnRedis.ask(port: port, ["PUBSUB", "CHANNELS", "away:*"]).count { $0 != "OK" }
        let patterns = try await OwnRedis.ask(port: port, ["PUBSUB", "NUMPAT"]).first.flatMap { Int($0) } ?? 0
        return channels + patterns
    }

    private static func fill(_ redis: FaultyRedis) async throws {
        let script = "for i = 1, \(keys) do redis.call('SET', 'fill:' .. i, string.rep('x', 100)) end"
        _ = try await OwnRedis.ask(port: redis.server.port, ["EVAL", script, "0"])
    }
}
