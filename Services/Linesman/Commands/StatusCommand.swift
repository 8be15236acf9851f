import ArgumentParser
import Foundation
import Hosting
import Runtime

/// `linesman status`: what the running suite says of itself.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show dependencies, shards, services, their bus, games with epochs and alerts of the running suite.")

    @Option(help: "The orchestrator's status address.")
    var url = "http://127.0.0.1:8080"

    @Flag(help: "As JSON, as the orchestrator tells it.")
    var json = false

    func run() async throws {
        let http = LocalHTTP()
        let text: String
        do {
            text = try await http.text("\(url)/status")
        } catch {
            Console.complain("status: no orchestrator answers at \(url); is the suite running?")
            throw ArgumentParser.ExitCode(Runtime.ExitCode.unavailable.rawValue)
        }
        if json {
            Console.say(text)
            return
        }
        Console.say(Self.table(try JSONDecoder().decode(SuiteStatus.self, from: Data(text.utf8))))
    }

    static func table(_ status: SuiteStatus) -> String {
        let leading = status.fleet.isLeading ? "leading, term \(status.fleet.term ?? 0)" : "standing by"
        var lines = [
            "orchestrator \(leading); trading \(status.tradingMode); venue time \(status.venueTime)", "dependencies",
        ]
        for (name, isHealthy) in status.checks.sorted(by: { $0.key < $1.key }) {
            lines.append("  \(name.padded(28)) \(isHealthy ? "healthy" : "UNHEALTHY")")
        }
        if let monitor = status.monitor { lines += Self.lines(of: monitor, at: status.at ?? 0) }
        lines.append("shards")
        for shard in status.fleet.shards {
            lines.append(
                "  \(shard.shard.padded(28)) \(shard.status.padded(10)) \(shard.games) of \(shard.capacity) games, "
                    + "heard \(shard.heardMsAgo) ms ago" + (shard.isDrained == true ? ", drained" : "")
                    + failed(shard.failedChecks))
        }
        lines.append("services")
        for service in status.fleet.services {
            lines.append(
                "  \("\(service.service)/\(service.instance)".padded(28)) \(service.status.padded(10)) "
                    + "heard \(service.heardMsAgo) ms ago" + failed(service.failedChecks))
        }
        lines.append("bus")
        lines += (status.bus ?? []).map { line(of: $0, isDead: status.fleet.isDead($0)) }
        lines.append("games")
        for game in status.fleet.games {
            let owner = game.shard.map { "\($0), epoch \(game.epoch ?? 0)" } ?? (game.reason ?? "nobody")
            lines.append(
                "  \(game.game.padded(28)) \(game.status.padded(10)) \(game.state.padded(10)) \(owner)  \(game.name)")
        }
        lines.append(Self.line(of: status.alerting))
        if status.recentAlerts.isEmpty { lines.append("  none") }
        for alert in status.recentAlerts.suffix(10) {
            lines.append("  \(WallClock.text(alert.at))  \(alert.state.padded(10)) \(alert.kind): \(alert.summary)")
        }
        return lines.joined(separator: "\n")
    }

    private static func lines(of monitor: SuiteStatus.Monitor, at now: Int64) -> [String] {
        guard monitor.isOn else { return ["monitor OFF: health checks are switched off (HEALTH_CHECKS_ENABLED)"] }
        let cycle = monitor.lastCycleMs.map { ", the last look took \(tenths($0)) ms" } ?? ""
        return ["monitor every \(tenths(Double(monitor.intervalMs) / 1_000)) s\(cycle)"]
            + monitor.checks.map { check in
                let state = check.state == .unhealthy ? "UNHEALTHY" : check.state.rawValue
                let age = check.at == 0 ? "" : "\(max(0, now - check.at) / 1_000) ms ago  "
                return "  \(check.name.padded(28)) \(state.padded(10)) \(age)\(check.detail)"
            }
    }

    private static func line(of alerting: SuiteStatus.Alerting?) -> String {
        guard let alerting else { return "alerts" }
        guard alerting.isEnabled else { return "alerts OFF: alerting is switched off (CRITICAL_ALERTS_ENABLED)" }
        let firing = alerting.firing.isEmpty ? "" : ", firing: \(alerting.firing.joined(separator: " "))"
        let failing =
            alerting.failingSinks.isEmpty ? "" : ", sinks that fail: \(alerting.failingSinks.joined(separator: " "))"
        return "alerts\(firing)\(failing)"
    }

    private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    /// - `isDead`: its last words are no news.
    private static func line(of bus: BusReport, isDead: Bool) -> String {
        let figures = [
            count(bus.reconnects, "reconnect"), count(bus.gaps, "gap"), "\(bus.dropped) dropped",
            "\(bus.unsent) unsent", "\(bus.waiting) waiting", count(bus.deadLetters, "dead letter"),
        ]
        let breaker = bus.breaker == "closed" ? "" : ", breaker \(bus.breaker)"
        let state = isDead ? "dead" : bus.state.rawValue
        return "  \("\(bus.service)/\(bus.instance)".padded(28)) \(state.padded(11)) "
            + figures.joined(separator: ", ") + breaker
    }

    private static func count(_ count: Int, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }

    private static func failed(_ checks: [String]) -> String {
        checks.isEmpty ? "" : ", failing: \(checks.joined(separator: " "))"
    }
}

extension SuiteStatus.Fleet {
    /// Whether the process is not heard any more.
    fileprivate func isDead(_ bus: BusReport) -> Bool {
        if bus.service == "game-shard" { return shards.contains { $0.shard == bus.instance && $0.status == "dead" } }
        return services.contains {
            $0.service == bus.service && $0.instance == bus.instance && $0.status == "dead"
        }
    }
}
