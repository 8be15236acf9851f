import Bus
import BusTestKit
import Foundation
import RedisTestKit
import Wire

/// Subscribing and unsubscribing again and again: nothing may pile up, here or at the server.
enum ChurnBench {
    private static let tasks = 8
    private static let cycles = 10_000

    /// What could pile up.
    private struct Held: Hashable {
        var connections: Int
        var descriptors: Int
        var channels: Int
        var patterns: Int
    }

    static func run(_ bench: FaultBench, _ report: inout Report) async throws {
        let (before, highest, after, growth) = try await FaultyRedis.run { redis in
            try await BusStation.run(FaultBench.settings(redis.server.url), source: "churn/1") { host in
                try await churn(host.bus, cycles: 200)
                let before = try await held(redis)
                let memory = OwnProcess.residentMegabytes ?? 0
                var highest = before.connections
                for part in 1...10 {
                    try await churn(host.bus, cycles: cycles / 10)
                    highest = max(highest, try await held(redis).connections)
                    bench.say("\(part * cycles / 10) cycles")
                }
                let end = bench.clock.now.advanced(by: .seconds(10))
                var after = try await held(redis)
                // The last UNSUBSCRIBE is on its way.
                while after.channels + after.patterns > before.channels + before.patterns, bench.clock.now < end {
                    try await bench.clock.sleep(for: .milliseconds(20))
                    after = try await held(redis)
                }
                return (before, highest, after, (OwnProcess.residentMegabytes ?? 0) - memory)
            }
        }
        if highest != before.connections || after != before || after.channels + after.patterns > 0 {
            report.violation("churn: before \(before), after \(after), at most \(highest) connections")
        }
        report.set("churn_cycles", to: .number(Double(cycles)))
        report.set("churn_rss_growth_mb", to: .number(growth))
        report.add(
            Bar("churn: connections more, after \(cycles) cycles", Double(highest - before.connections), .atMost(0)),
            as: "churn_connections_growth")
        report.add(
            Bar("churn: file descriptors more", Double(after.descriptors - before.descriptors), .atMost(0)),
            as: "churn_descriptors_growth")
        report.add(
            Bar("churn: names left at the server", Double(after.channels + after.patterns), .atMost(0)),
            as: "churn_names_left")
        report.note("churn: \(before.connections) connections, \(before.descriptors) descriptors of this process")
    }

    private static func churn(_ bus: Bus, cycles: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<tasks {
                group.addTask {
                    for cycle in 0..<(cycles / tasks) {
                        // Some names are shared by all tasks.
                        let name = cycle.isMultiple(of: 2) ? "churn:\(task):\(cycle % 50)" : "churn:\(cycle % 20)"
                        let subscription =
                            switch cycle % 5 {
                            case 0: try await bus.subscribe(matching: ChannelPattern<Numbered>("\(name):*"))
                            case 1:
                                try await bus.subscribe(
                                    to: Channel<Numbered>("\(name):journal", .journaled(keeping: 10)))
                            default: try await bus.subscribe(to: Channel<Numbered>(name, .hint))
                            }
                        subscription.cancel()
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private static func held(_ redis: FaultyRedis) async throws -> Held {
        let port = redis.server.port
        let clients = try await OwnRedis.ask(port: port, ["CLIENT", "LIST"]).flatMap { $0.split(separator: "\n") }
        let patterns = try await OwnRedis.ask(port: port, ["PUBSUB", "NUMPAT"]).first.flatMap { Int($0) } ?? -1
        return Held(
            connections: clients.count { $0.contains("name=churn.") }, descriptors: OwnProcess.openDescriptors ?? 0,
            channels: try await OwnRedis.ask(port: port, ["PUBSUB", "CHANNELS", "churn:*"]).count { $0 != "OK" },
            patterns: patterns)
    }
}

/// What this process uses.
enum OwnProcess {
    /// Resident memory; nil where there is no /proc.
    static var residentMegabytes: Double? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Double($0) }
        return pages.map { $0 * Double(sysconf(Int32(_SC_PAGESIZE))) / 1_048_576 }
    }

    /// Sockets only: pipes and files of the runtime come and go.
    static var openDescriptors: Int? {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") else { return nil }
        return names.count { name in
            // Closed meanwhile: not ours to count.
            let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(name)")
            return target?.hasPrefix("socket:") == true
        }
    }
}
