import FleetTestKit
import Foundation
import Resilience
import Runtime
import TestKit

/// Redis killed and away for a while: one alert and its end, no game moved, and trading goes on.
enum RedisAwayBench {
    private struct Result: Sendable {
        var firings: [AlertLog.Entry] = []
        var recoveries: [AlertLog.Entry] = []
        var messages: [SlackSink.Arrival] = []
        var moved = 0
        var deaths = 0
        var trades: Duration?
        var isComplete = false
    }

    static func run(_ bench: FleetBench, _ report: inout Report) async throws {
        let seconds = bench.options.away
        let result = try await bench.withFleet { fleet, log in
            let moves = try await fleet.moves()
            let before = bench.clock.now
            let told = fleet.sink.arrivals.count
            let seen = log.entries.count
            await fleet.redis.kill()
            bench.say("Redis is away")
            try await bench.clock.sleep(for: .seconds(bench.options.away))
            let approved = try await fleet.approvals()
            let back = bench.clock.now
            try await fleet.redis.startAgain()
            bench.say("Redis is back")
            var result = Result()
            try await bench.until("a signal is approved again") { try await fleet.approvals() > approved }
            result.trades = back.duration(to: bench.clock.now)
            try await fleet.untilReady(within: .seconds(60))
            // What comes late comes within the time in which silent shards would be judged, and alerts told.
            try await bench.clock.sleep(for: .seconds(20))
            result.moved = try await fleet.moves() - moves
            result.deaths = fleet.watch.deaths(since: before)
            let fresh = log.entries.dropFirst(seen)
            result.firings = fresh.filter { $0.state == "firing" }
            result.recoveries = fresh.filter { $0.state == "recovered" }
            result.messages = Array(fleet.sink.arrivals.dropFirst(told))
            result.isComplete = fleet.isComplete
            return result
        }
        report.set("redis_away_seconds", to: .number(Double(seconds)))
        report.add(
            Bar("Redis away \(seconds) s: alerts beside the one", Double(abs(result.firings.count - 1)), .atMost(0)),
            as: "redis_away_alerts_beyond_one")
        report.set("redis_away_alerts", to: .number(Double(result.firings.count)))
        report.add(
            Bar("recoveries beside the one", Double(abs(result.recoveries.count - 1)), .atMost(0)),
            as: "redis_away_recoveries_beyond_one")
        report.set("redis_away_messages", to: .number(Double(result.messages.count { $0.status == 200 })))
        report.add(Bar("games moved", Double(result.moved), .atMost(0)), as: "redis_away_moves")
        report.set("redis_away_deaths", to: .number(Double(result.deaths)))
        report.add(
            Bar("first approval after Redis is back, s", result.trades?.seconds, .atMost(30)),
            as: "redis_away_trades_again_s")
        for entry in result.firings + result.recoveries {
            report.note("\(entry.state): \(entry.kind), \(entry.summary)")
        }
        if result.moved > 0 { report.violation("\(result.moved) games moved while Redis was away") }
        if result.deaths > 0 { report.violation("\(result.deaths) shards were taken for dead while Redis was away") }
        if result.firings.count != 1 { report.violation("\(result.firings.count) alerts instead of one") }
        if result.recoveries.count != 1 { report.violation("\(result.recoveries.count) recoveries instead of one") }
        if !result.isComplete { report.violation("a process ended") }
        for text in AlertTimes.untold(result.firings + result.recoveries, result.messages) { report.violation(text) }
        AlertTimes(result.firings, result.messages).add(to: &report, key: "redis_away")
    }
}
