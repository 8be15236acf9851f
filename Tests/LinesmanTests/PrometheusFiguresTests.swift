import Foundation
import Resilience
import Runtime
import Servers
import TestKit
import Testing

@testable import Linesman

/// CHECKLIST R97 to R100: the questions of `statistics reliability`, put to a real Prometheus that has a day behind it.
@Suite(.enabled(if: PastPrometheus.isInstalled, "needs Debian's prometheus"))
struct PrometheusFiguresTests {
    @Test func `a day with a restart, an outage and lost connections is read as it was`() async throws {
        let prometheus = try await PastPrometheus.start { minute in
            // The process begins anew after 700 minutes, and its counter with it.
            let reconnects = minute < 700 ? min(minute / 100, 4) : minute < 800 ? 0 : 3
            return [
                // One minute in forty of the second process is missing.
                #"up{job="linesman",service="orchestrator"} 1"#,
                #"up{job="linesman",service="shard-01"} \#(minute % 40 == 0 ? 0 : 1)"#,
                #"up{job="another",service="shard-01"} 0"#,
                #"redis_connected{service="orchestrator"} 1"#,
                #"redis_connected{service="shard-01"} \#(minute == 600 ? 0 : 1)"#,
                #"redis_reconnects_total{service="shard-01"} \#(reconnects)"#,
                #"redis_events_total{event="lost",service="shard-01"} \#(reconnects)"#,
                #"redis_events_total{event="attempt_failed",service="shard-01"} \#(minute < 300 ? 0 : 12)"#,
                #"redis_events_total{event="waiting",service="shard-01"} \#(minute)"#,
                #"db_transactions_recovered{service="orchestrator"} \#(minute < 500 ? 0 : 98)"#,
                #"db_transactions_given_up{service="orchestrator"} \#(minute < 500 ? 0 : 2)"#,
                #"alerts_dropped_total{service="orchestrator"} 0"#,
                #"alert_delivery_seconds_bucket{le="10",service="orchestrator"} 0"#,
                #"alert_delivery_seconds_bucket{le="30",service="orchestrator"} \#(minute < 500 ? 0 : 19)"#,
                #"alert_delivery_seconds_count{service="orchestrator"} \#(minute < 500 ? 0 : 20)"#,
            ]
        }
        let figures = try await PrometheusFigures(url: prometheus.url, days: 1).ask()
        #expect(figures.map(\.isMet) == [false, true, true, false, true, false])
        #expect(figures[0].value.hasPrefix("97.5"), "\(figures[0])")
        #expect(figures[1].value.hasPrefix("99.93"), "\(figures[1])")
        #expect(figures[2].value == "7 of 7, 12 attempts failed", "four and three, over the restart: \(figures[2])")
        #expect(figures[3].value == "98 of 100", "\(figures[3])")
        #expect(figures[4].value == "0")
        #expect(figures[5].value == "19 of 20", "\(figures[5])")
        await prometheus.end()
    }

    @Test func `a connection that was not made again is missed, also later, and what nobody exports is no figure`()
        async throws
    {
        let prometheus = try await PastPrometheus.start { minute in
            let (lost, made) = minute >= 720 || minute < 100 ? (0, 0) : minute < 700 ? (2, 2) : (3, 2)
            return [
                // Its process ended while it was cut off, half a day ago; the next one has its first connection.
                #"redis_connected{service="shard-01"} 1"#,
                #"redis_reconnects_total{service="shard-01"} \#(made)"#,
                #"redis_events_total{event="lost",service="shard-01"} \#(lost)"#,
            ]
        }
        let figures = try await PrometheusFigures(url: prometheus.url, days: 1).ask()
        #expect(figures[2].value == "2 of 3, 0 attempts failed" && figures[2].isMet == false, "\(figures[2])")
        for index in [0, 4] { #expect(figures[index].value == "-" && figures[index].isMet == nil) }
        for index in [3, 5] { #expect(figures[index].value == "0 of 0" && figures[index].isMet == nil) }
        await prometheus.end()
    }
}

/// A private Prometheus whose past was written, and that scrapes nothing.
private struct PastPrometheus {
    static var isInstalled: Bool {
        ["prometheus", "promtool"].allSatisfy { (try? Programs.find($0, package: "prometheus")) != nil }
    }

    let url: String
    private let server: ChildProcess
    private let directory: TemporaryDirectory

    /// - `samples`: the lines of each minute of the last day, from 0 to 1,439.
    static func start(_ samples: (_ minute: Int) -> [String]) async throws -> PastPrometheus {
        let directory = try TemporaryDirectory()
        let now = WallClock.real.microseconds / 1_000_000
        var series: [Substring: [String]] = [:]
        for minute in 0..<1_440 {
            for line in samples(minute) {
                let end = try #require(line.firstIndex(of: " "))
                series[line[..<end], default: []].append("\(line) \(now - Int64(1_439 - minute) * 60)\n")
            }
        }
        let past = series.sorted { $0.key < $1.key }.flatMap(\.value).joined() + "# EOF\n"
        try past.write(toFile: "\(directory.path)/past.txt", atomically: false, encoding: .utf8)
        try "scrape_configs: []\n".write(toFile: "\(directory.path)/none.yml", atomically: false, encoding: .utf8)
        let data = "\(directory.path)/data"
        let filled = try ChildProcess.spawn(
            try Programs.find("promtool", package: "prometheus"),
            ["tsdb", "create-blocks-from", "openmetrics", "\(directory.path)/past.txt", data], output: .captured)
        try #require(await filled.wait().isSuccess, "\(filled.captured)")

        let port = try FreePort.find()
        let server = try ChildProcess.spawn(
            try Programs.find("prometheus", package: "prometheus"),
            [
                "--config.file=\(directory.path)/none.yml", "--storage.tsdb.path=\(data)",
                "--web.listen-address=127.0.0.1:\(port)",
            ], output: .file("\(directory.path)/log"))
        let prometheus = PastPrometheus(url: "http://127.0.0.1:\(port)", server: server, directory: directory)
        try await eventually(within: .seconds(60), "a Prometheus that answers") {
            try #require(server.isRunning, "Prometheus has ended")
            return (try? await LocalHTTP().text("\(prometheus.url)/-/ready")) != nil
        }
        return prometheus
    }

    func end() async {
        await server.terminate()
        directory.remove()
    }
}
