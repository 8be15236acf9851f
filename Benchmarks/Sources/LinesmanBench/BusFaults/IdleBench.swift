import Bus
import BusTestKit
import RedisTestKit
import Wire

/// An hour without a message, in a minute: PINGs come 60 times as often, and no PONG may be missed.
///
/// The deadline of a PONG is not scaled: what a machine keeps a process waiting does not shrink with the interval.
enum IdleBench {
    private static let scale = 60
    /// An hour's PINGs of both connections.
    private static let wanted = 2 * 3_600

    static func run(_ bench: FaultBench, _ report: inout Report) async throws {
        let scaled = ["REDIS_PING_INTERVAL_MS": "\(1_000 / scale)"]
        let outcome: (reconnects: Int, gaps: Int, pings: Int) = try await FaultyRedis.run { redis in
            try await BusStation.run(FaultBench.settings(redis.server.url, scaled), source: "idle/1") { host in
                let subscription = try await host.bus.subscribe(to: Numbered.hint)
                let journal = try await host.bus.subscribe(to: Numbered.journal)
                let before = reconnects(host)
                var statistics: [String] = []
                while pings(statistics) < wanted {
                    try await bench.clock.sleep(for: .seconds(1))
                    statistics = try await OwnRedis.ask(port: redis.server.port, ["INFO", "commandstats"])
                }
                let after = reconnects(host)
                subscription.cancel()
                journal.cancel()
                return (after - before, host.bus.status.gaps, pings(statistics))
            }
        }
        if outcome.gaps > 0 { report.violation("idle: \(outcome.gaps) gaps though nothing was missed") }
        report.set("idle_pings", to: .number(Double(outcome.pings)))
        report.set("idle_scale", to: .number(Double(scale)))
        report.add(
            Bar("idle: reconnects in an hour, interval scaled 1:\(scale)", Double(outcome.reconnects), .atMost(0)),
            as: "idle_reconnects")
        report.note(
            "idle: the PING interval is scaled 1:\(scale), its deadline is not; \(outcome.pings) PINGs on two links"
        )
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
