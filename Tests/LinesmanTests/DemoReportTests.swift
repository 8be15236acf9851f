import Foundation
import Testing

@testable import Linesman

@Suite struct DemoReportTests {
    static let report = DemoReport(
        recording: "tor-at-cle-2026-04-20", speed: 120, profile: "demo", faults: nil, faultsStruck: [:],
        wallSeconds: 81.4, frames: 900,
        signals: 12, intents: 5, orders: 5, fills: 6, partialFills: 1, rejected: 0, exposurePeak: 49.5, pnl: -3.25,
        fees: 0.61, positionsOpen: 0, messagesLost: 0, duplicates: 0, refusals: ["game_exposure": 7],
        brierOurs: 0.08, brierSource: 0.05, finalScore: "CLE 115, TOR 105", settled: true, tradesDigest: "00",
        processes: [.init(name: "orchestrator", pid: 42, restarts: 0, exitCode: nil, rssMB: 33.1)])

    @Test func `the report has every promised key`() throws {
        let object = try #require(try JSONSerialization.jsonObject(with: Self.report.json()) as? [String: Any])
        let promised = [
            "recording", "speed", "wall_seconds", "frames", "signals", "intents", "orders", "fills", "partial_fills",
            "rejected", "exposure_peak", "pnl", "fees", "positions_open", "messages_lost", "duplicates", "processes",
        ]
        for key in promised { #expect(object[key] != nil, "\(key)") }
        let process = try #require((object["processes"] as? [[String: Any]])?.first)
        #expect(Set(process.keys) == ["name", "pid", "restarts", "exit_code", "rss_mb"])
        #expect(try JSONDecoder().decode(DemoReport.self, from: Self.report.json()) == Self.report)
    }

    @Test func `a run that broke a promise says which`() {
        var report = Self.report
        #expect(report.problem == nil)
        report.duplicates = 1
        #expect(report.problem?.contains("twice") == true)
        report.messagesLost = 2
        #expect(report.problem?.contains("lost") == true)
        report.settled = false
        #expect(report.problem?.contains("settled") == true)
    }

    @Test func `the Brier score is the mean squared distance from what happened`() {
        #expect(BrierScore.of([], happened: true) == nil)
        #expect(BrierScore.of([1, 0.5], happened: true) == 0.125)
        #expect(BrierScore.of([1, 0.5], happened: false) == 0.625)
    }

    @Test func `the shipped profile is printed and written as what the services read`() throws {
        let text = DemoProfile.toml(extra: [("REDIS_URL", "redis://127.0.0.1:7000/0")])
        #expect(text.contains("MIN_EDGE_PCT = 4"))
        #expect(text.contains("REDIS_URL = \"redis://127.0.0.1:7000/0\""))
        #expect(DemoProfile.literal("a\"b\\c") == "\"a\\\"b\\\\c\"")
    }

    @Test func `people read the clock of a period`() {
        #expect(GameClock.text(703) == "11:43")
        #expect(GameClock.text(60) == "1:00")
        #expect(GameClock.text(27.6) == "27.6")
    }
}
