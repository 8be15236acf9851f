import Domain
import FleetTestKit
import Foundation
import Resilience
import Runtime

/// Shards that are killed, stopped and cut off in turn: how long a game is without an owner that sees it, and what
/// stale owners achieve.
enum FailoverBench {
    private struct Result: Sendable {
        var outcomes: [FailoverRun.Outcome] = []
        var verdicts = StaleShouts.Verdicts()
        var unowned = 0
        var alerts: [String] = []
    }

    static func run(_ bench: FleetBench, _ report: inout Report) async throws {
        let rounds = bench.options.fleetRounds
        let result = try await bench.withFleet { fleet, log in
            let shouts = StaleShouts(fleet: fleet)
            try await shouts.watch()
            let run = FailoverRun(fleet: fleet, shouts: shouts)
            var random = SeededGenerator(seed: bench.options.seed)
            var result = Result()
            let seen = log.firings.count
            for round in 0..<rounds {
                let fault = FaultyFleet.Fault.allCases[round % FaultyFleet.Fault.allCases.count]
                let victim = FaultyFleet.shards[round / FaultyFleet.Fault.allCases.count % FaultyFleet.shards.count]
                let pause = Duration.milliseconds(Int.random(in: 0..<500, using: &random))
                let outcome = try await run.run(fault, of: victim, after: pause)
                bench.say("round \(round + 1) of \(rounds): \(text(outcome, victim)); load \(FleetBench.load)")
                result.outcomes.append(outcome)
            }
            try await fleet.untilReady(within: .seconds(120))
            try await bench.until("each shout has its verdict") { try await shouts.judged() == 2 * shouts.count }
            result.verdicts = try await shouts.verdicts()
            result.unowned = try await fleet.unowned()
            result.alerts = log.firings.dropFirst(seen).map { "\($0.kind): \($0.summary)" }
            return result
        }
        times(result.outcomes, &report)
        promises(result, &report)
    }

    private static func text(_ outcome: FailoverRun.Outcome, _ victim: ShardID) -> String {
        let moves = outcome.moves.values.map(\.seconds)
        let slowest = moves.max().map { String(format: "%.2f s", $0) } ?? "never"
        let detection = outcome.detection.map { String(format: "%.2f s", $0.seconds) } ?? "never"
        return "\(victim) \(outcome.fault.rawValue), known after \(detection), \(moves.count) games moved after "
            + "\(slowest) at most, \(outcome.lost.count) lost, \(outcome.shouts) stale signals sent"
    }

    private static func times(_ outcomes: [FailoverRun.Outcome], _ report: inout Report) {
        for fault in FaultyFleet.Fault.allCases {
            let own = outcomes.filter { $0.fault == fault }
            let moves = own.flatMap { $0.moves.values.map(\.seconds) }
            let detections = own.compactMap { $0.detection?.seconds }
            let key = "failover_\(fault.rawValue)"
            report.set("\(key)_rounds", to: .number(Double(own.count)))
            report.set("\(key)_moves", to: .number(Double(moves.count)))
            for (name, values) in [("detection", detections), ("move", moves)] {
                for (suffix, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
                    guard let value = values.percentile(share) else { continue }
                    report.set("\(key)_\(name)_\(suffix)_s", to: .number(value))
                }
            }
            report.add(
                Bar(
                    "\(fault.rawValue): new owner with fresh books, s, p99 of \(moves.count)", moves.percentile(0.99),
                    .atMost(3)), as: "\(key)_move_p99_s")
        }
        let all = outcomes.flatMap { $0.moves.values.map(\.seconds) }
        report.set("failover_moves", to: .number(Double(all.count)))
        report.set("failover_rounds", to: .number(Double(outcomes.count)))
        report.add(
            Bar("any fault: new owner with fresh books, s, p99 of \(all.count)", all.percentile(0.99), .atMost(3)),
            as: "failover_move_p99_s")
    }

    private static func promises(_ result: Result, _ report: inout Report) {
        let lost = result.outcomes.reduce(0) { $0 + $1.lost.count } + result.unowned
        let verdicts = result.verdicts
        report.add(Bar("games lost", Double(lost), .atMost(0)), as: "failover_games_lost")
        report.add(
            Bar("stale reservations accepted of \(verdicts.reservations)", Double(verdicts.accepted), .atMost(0)),
            as: "failover_stale_accepted")
        report.set("failover_reservations", to: .number(Double(verdicts.reservations)))
        report.set("failover_stale_sent", to: .number(Double(verdicts.stale)))
        report.set("failover_stale_refused", to: .number(Double(verdicts.staleRefused + verdicts.ownRefused)))
        report.set("failover_stale_refused_own", to: .number(Double(verdicts.ownRefused)))
        report.set("failover_twins_approved", to: .number(Double(verdicts.twinsApproved)))
        report.add(
            Bar("alerts while single shards failed", Double(result.alerts.count), .atMost(0)), as: "failover_alerts")
        report.note(
            "\(verdicts.stale) stale signals sent, \(verdicts.staleRefused) refused for their epoch; of "
                + "\(verdicts.twins) twins that differ only in owner and epoch \(verdicts.twinsApproved) approved; "
                + "\(verdicts.ownRefused) of the shards' own refused for theirs")
        for alert in Set(result.alerts).sorted() { report.note("failover alert: \(alert)") }
        if !result.alerts.isEmpty { report.violation("\(result.alerts.count) alerts while a shard was well") }
        if lost > 0 { report.violation("\(lost) games lost") }
        if verdicts.accepted > 0 { report.violation("\(verdicts.accepted) reservations under a stale epoch") }
        if verdicts.staleRefused < verdicts.stale || verdicts.stale == 0 {
            report.violation("stale signals were not refused for their epoch: \(verdicts.all)")
        }
        if verdicts.twinsApproved == 0 { report.violation("no twin was approved, so refusals prove nothing") }
        if !verdicts.isSighted { report.violation("a stale reservation made on purpose was not seen") }
    }
}
