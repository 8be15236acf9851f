import Domain
import Hosting
import Testing
import Wire

/// What a heartbeat's metrics say of its sender's bus.
@Suite struct BusReportTests {
    private func report(_ metrics: [String: Double]) -> BusReport {
        BusReport(
            Heartbeat(
                service: "game-shard", instance: "shard-01", incarnation: "life", processID: 1, startedAt: 0, beat: 1,
                status: .healthy, checks: [:], metrics: metrics, build: "test"))
    }

    private static let well: [String: Double] = [
        "redis_connected{connection=\"commands\"}": 1, "redis_connected{connection=\"subscriptions\"}": 1,
        "bus_canary_healthy": 1,
    ]

    @Test func `the figures of both connections and of every reason are added up`() {
        let report = report(
            Self.well.merging([
                "redis_reconnects_total{connection=\"commands\"}": 2,
                "redis_reconnects_total{connection=\"subscriptions\"}": 3,
                "bus_gaps_total{reason=\"overflow\"}": 1, "bus_gaps_total{reason=\"trimmed\"}": 4,
                "redis_messages_dropped_total": 70, "bus_hints_dropped_total": 8, "bus_dead_letters_total": 9,
                "bus_dead_letters_unwritten_total": 100, "bus_outbox_messages": 10,
            ]) { $1 })
        #expect(report.service == "game-shard" && report.instance == "shard-01")
        #expect(report.state == .live && report.breaker == "closed")
        #expect(report.reconnects == 5 && report.gaps == 5)
        #expect(report.dropped == 70 && report.unsent == 8 && report.deadLetters == 9 && report.waiting == 10)
    }

    @Test func `a bus is live, interrupted, deaf, or says nothing`() {
        #expect(report(Self.well).state == .live)
        for connection in ["commands", "subscriptions"] {
            let down = Self.well.merging(["redis_connected{connection=\"\(connection)\"}": 0]) { $1 }
            #expect(report(down).state == .interrupted)
        }
        #expect(report(Self.well.merging(["bus_canary_healthy": 0]) { $1 }).state == .deaf)
        #expect(report([:]).state == .unknown)
        #expect(report(["bus_canary_healthy": 1]).state == .unknown)
    }

    @Test(arguments: [(0.0, 0.0, "closed"), (0, 1, "half-open"), (2, 1, "open")])
    func `the worse of the two breakers is shown`(commands: Double, subscriptions: Double, shown: String) {
        let report = report([
            "redis_breaker_state{connection=\"commands\"}": commands,
            "redis_breaker_state{connection=\"subscriptions\"}": subscriptions,
        ])
        #expect(report.breaker == shown)
    }

    @Test func `whether live trading is authorised there is told, or not`() {
        #expect(report(["trading_is_live": 1]).isLive == true)
        #expect(report(["trading_is_live": 0]).isLive == false)
        #expect(report([:]).isLive == nil)
    }

    @Test func `no figure from outside is too large or too odd`() {
        #expect(report(["redis_messages_dropped_total": .infinity]).dropped == .max)
        #expect(report(["redis_messages_dropped_total": -1e300]).dropped == .min)
        #expect(report(["redis_messages_dropped_total": .nan]).dropped == 0)
        #expect(report(["redis_messages_dropped_total": 2.9]).dropped == 2)
    }
}
