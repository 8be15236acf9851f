import Foundation
import Logging
import Resilience
import Runtime
import Servers
import TestKit
import Testing

@Suite struct LogTests {
    private func line(_ format: LogFormat, _ log: (Logger) -> Void) -> String {
        let capture = LogCapture()
        log(
            Logger(label: "redis") {
                LineLogHandler(
                    label: $0, level: .info, format: format, output: capture.output,
                    wallClock: .fixed(1_776_726_799_000_000))
            })
        return capture.lines.joined(separator: "|")
    }

    @Test func `a text line has time, level, label, message and sorted metadata`() {
        let text = line(.text) { log in
            log.warning("connection lost", metadata: [Key.reason: "it broke", Key.attempt: "3"])
        }
        #expect(text == "2026-04-20T23:13:19.000000Z warning redis: connection lost attempt=3 reason=\"it broke\"")
    }

    @Test func `a record is one line, whatever is in it`() {
        let text = line(.text) { $0.error("two\nlines", metadata: [Key.reason: "a\nb\"c"]) }
        #expect(!text.contains("\n"))
        #expect(text.hasSuffix("two\\nlines reason=\"a\\nb\\\"c\""))
    }

    @Test func `a JSON line decodes, whatever is in it`() throws {
        let text = line(.json) { log in
            log.error("broken", metadata: [Key.reason: "a\n\"b\"\\\u{1}\u{e9}", "time": "mine", Key.game: "g"])
        }
        let decoded = try JSONDecoder().decode([String: String].self, from: Data(text.utf8))
        #expect(decoded["reason"] == "a\n\"b\"\\\u{1}\u{e9}" && decoded["time_"] == "mine")
        #expect(decoded["time"] == "2026-04-20T23:13:19.000000Z" && decoded["level"] == "error")
        #expect(decoded["logger"] == "redis" && decoded["message"] == "broken")
    }

    @Test func `records below the level are not written and secrets never are`() {
        let text = line(.text) { log in
            log.debug("quiet")
            log.info("connected", metadata: [Key.address: "\(Secret("hunter2"))"])
        }
        #expect(!text.contains("quiet") && !text.contains("hunter2") && text.contains("<redacted>"))
    }
}

@Suite struct MetricsTests {
    @Test func `the same name and labels are the same instrument`() {
        let metrics = MetricsRegistry()
        metrics.counter("sent_total", labels: ["channel": "a"]).increment()
        metrics.counter("sent_total", labels: ["channel": "a"]).increment(by: 4)
        metrics.gauge("depth").set(2.5)
        metrics.histogram("wait_seconds", buckets: [1, 2]).observe(Duration.milliseconds(1500))
        #expect(
            metrics.snapshot() == [
                "sent_total{channel=\"a\"}": 5, "depth": 2.5, "wait_seconds_count": 1, "wait_seconds_sum": 1.5,
            ])
    }

    @Test func `the Prometheus text is complete and sorted`() {
        let metrics = MetricsRegistry()
        metrics.gauge("z_depth", "How deep.").set(3)
        metrics.counter("a_total", "Help with \\ and\nline.", labels: ["b": "quote\" \\ \n", "a": "1"]).increment()
        let histogram = metrics.histogram("m_seconds", "Time.", labels: ["kind": "x"], buckets: [0.5, 1])
        for value in [0.1, 0.7, 0.9, 5] { histogram.observe(value) }
        #expect(
            metrics.prometheusText() == """
                # HELP a_total Help with \\\\ and\\nline.
                # TYPE a_total counter
                a_total{a="1",b="quote\\" \\\\ \\n"} 1
                # HELP m_seconds Time.
                # TYPE m_seconds histogram
                m_seconds_bucket{kind="x",le="0.5"} 1
                m_seconds_bucket{kind="x",le="1"} 3
                m_seconds_bucket{kind="x",le="+Inf"} 4
                m_seconds_sum{kind="x"} 6.7
                m_seconds_count{kind="x"} 4
                # HELP z_depth How deep.
                # TYPE z_depth gauge
                z_depth 3

                """)
        #expect(histogram.quantile(0.5) == 1 && histogram.quantile(1) == nil)
    }

    @Test func `label sets are bounded and the rest is counted together`() {
        let metrics = MetricsRegistry(labelSetsPerMetric: 3)
        for number in 0..<10 { metrics.counter("n_total", labels: ["id": "\(number)"]).increment() }
        let snapshot = metrics.snapshot()
        #expect(snapshot.count == 4)
        #expect(snapshot["n_total{id=\"other\"}"] == 7)
    }

    @Test func `counters lose nothing between tasks`() async {
        let counter = MetricsRegistry().counter("n_total")
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 { group.addTask { for _ in 0..<1000 { counter.increment() } } }
        }
        #expect(counter.value == 8000)
    }
}

@Suite struct IdentityTests {
    @Test func `a name-based UUID matches the published example`() {
        // RFC 9562, appendix A.4.
        #expect(
            UUIDv5.make(namespace: .dns, name: "www.example.com") == "2ed6657d-e927-568b-95e1-2665a8aea6a2")
    }

    @Test func `a UUID is read in either case and nothing else is`() {
        #expect(UUIDText("2ED6657D-E927-568B-95E1-2665A8AEA6A2")?.text == "2ed6657d-e927-568b-95e1-2665a8aea6a2")
        for bad in ["", "2ed6657d", "2ed6657d-e927-568b-95e1-2665a8aea6a", "2ed6657de927-568b-95e1-2665a8aea6a2-"] {
            #expect(UUIDText(bad) == nil)
        }
    }

    @Test func `random UUIDs are version 4 and repeat with their seed`() {
        let first = RandomSource.seeded(9)
        let uuid = first.uuid()
        #expect(UUIDText(uuid) != nil && Array(uuid)[14] == "4" && "89ab".contains(Array(uuid)[19]))
        #expect(uuid == RandomSource.seeded(9).uuid() && uuid != first.uuid())
        #expect(RandomSource.system.uuid() != RandomSource.system.uuid())
    }
}

@Suite(.timeLimit(.minutes(1))) struct StatusServerTests {
    private struct Status: Encodable, Sendable { let service: String }

    @Test func `the status server answers its routes on a free loopback port`() async throws {
        let isReady = Tally()
        let metrics = MetricsRegistry()
        metrics.counter("hits_total").increment()
        let routes = StatusRoutes(
            checks: { ["redis": isReady.count > 0, "postgres": true] },
            metrics: { metrics.prometheusText() },
            status: { Status(service: "game-shard") },
            more: [
                StatusRoute(.post, "/echo") { request in
                    StatusResponse(body: "\(request.query["a"] ?? "") \(String(decoding: request.body, as: UTF8.self))")
                }
            ])
        let server = StatusServer(port: 0, routes: routes, log: LogCapture().logger())
        let task = Task { try await server.run() }
        let port = await server.boundPort()
        #expect(port > 0 && server.currentPort == port)
        #expect(try await get(port, "/healthz").0 == 200)
        #expect(try await get(port, "/readyz") == (503, "{\"postgres\":true,\"redis\":false}"))
        isReady.note("ready")
        #expect(try await get(port, "/readyz") == (200, "{\"postgres\":true,\"redis\":true}"))
        #expect(try await get(port, "/metrics") == (200, "# TYPE hits_total counter\nhits_total 1\n"))
        #expect(try await get(port, "/status") == (200, "{\"service\":\"game-shard\"}"))
        #expect(try await get(port, "/echo?a=1", post: "body") == (200, "1 body"))
        #expect(try await get(port, "/nothing").0 == 404)
        #expect(try await get(port, "/status", post: "{}").0 == 405)
        #expect(try await get(port, "/echo").0 == 405)
        let tooMuch = String(repeating: "x", count: StatusServer.bodyLimit + 1)
        #expect(try await get(port, "/echo", post: tooMuch).0 == 413)
        task.cancel()
        _ = await task.result
        await #expect(throws: (any Error).self) { try await get(port, "/healthz") }
    }

    private func get(_ port: Int, _ path: String, post: String? = nil) async throws -> (Int, String) {
        let data = post.map { ["--data", $0] } ?? []
        let result = try await ChildProcess.run(
            "curl", ["-sS", "-w", "\n%{http_code}", "http://127.0.0.1:\(port)\(path)"] + data, timeout: .seconds(10))
        guard result.status.isSuccess else { throw Broken() }
        let parts = result.output.split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(parts.last ?? "") ?? 0, parts.dropLast().joined(separator: "\n"))
    }
}
