import Bus
import BusTestKit
import RedisTestKit
import Wire

/// An hour without a message, in a minute: PINGs and their deadlines come 60 times as often, and none may be missed.
enum IdleBench {
    private static let scale = 60
    private static let minutes = 1

    static func run(_ bench: FaultBench, _ report: inout Report) async throws {
        let scaled = [
            "REDIS_PING_INTERVAL_MS": "\(1_000 / scale)", "REDIS_PONG_TIMEOUT_MS": "\(1_500 / scale)",
        ]
        let outcome: (reconnects: Int, gaps: Int, pings: Int) = try await FaultyRedis.run { redis in
            try await BusStation.run(FaultBench.settings(redis.server.url, scaled), source: "idle/1") { host in
                let subscription = try await host.bus.subscribe(to: Numbered.hint)
                let journal = try await host.bus.subscribe(to: Numbered.journal)
                let before = reconnects(host)
                try await bench.clock.sleep(for: .seconds(60 * minutes))
                let after = reconnects(host)
                subscription.cancel()
                journal.cancel()
                let statistics = try await OwnRedis.ask(port: redis.server.port, ["INFO", "commandstats"])
                return (after - before, host.bus.status.gaps, pings(statistics))
            }
        }
        if outcome.gaps > 0 { report.violation("idle: \(outcome.gaps) gaps though nothing was missed") }
        report.set("idle_pings", to: .number(Double(outcome.pings)))
        report.set("idle_scale", to: .number(Double(scale)))
        report.add(
            Bar("idle: reconnects in an hour, time scaled 1:\(scale)", Double(outcome.reconnects), .atMost(0)),
            as: "idle_reconnects")
        report.note(
            "idle: time scaled 1:\(scale); \(outcome.pings) PINGs in \(minutes) min, each with \(1_500 / scale) ms "
                + "for its PONG")
    }

    private static func reconnects(_ host: BusStation) -> Int {
        let status = host.client.status
        return status.commands.reconnects + status.subscriptions.reconnects
    }

    private static func pings(_ statistics: [String]) -> Int {
        let line = statistics.flatMap { $0.split(separator: "\n") }.first { $0.hasPrefix("cmdstat_ping:calls=") }
        return line.flatMap { Int($0.dropFirst("cmdstat_ping:calls=".count).prefix { $0.isNumber }) } ?? 0
    }
}
