import Domain
import Redis
import RedisTestKit
import Runtime
import TestKit
import Testing
import Wire

@testable import Bus

@Suite(.timeLimit(.minutes(2))) struct DeadLetterTests {
    @Test func `letters of every service lie in one stream with who, where, why and how they begin`() async throws {
        let server = try await OwnRedis.started()
        try await withBus(fastSettings(server.url), source: "reader/1") { station in
            let hints = try await station.bus.subscribe(to: Notes.hint)
            let journal = try await station.bus.subscribe(to: Notes.journal)
            try await collecting([hints, journal]) { _ in
                try await station.client.publish(.text("{\"type\":\"note\"}"), on: "notes:hint")
                try await station.client.publish(.bytes([0xFF, 0x00, 0x41]), on: "notes:journal")
                let stream = DeadLetterStream(station.client)
                try await eventually(within: .seconds(20), "both are written") {
                    try await stream.read(limit: 9).total == 2
                }
                let letters = try await stream.read(limit: 9).letters
                let hint = try #require(letters.first { $0.channel == "notes:hint" })
                #expect(hint.reader == "reader/1" && hint.size == 15 && hint.payloadPrefix == "{\"type\":\"note\"}")
                #expect(hint.reason.contains("no \"") && hint.at > 1_700_000_000_000_000)
                let frame = try #require(letters.first { $0.channel == "notes:journal" })
                #expect(frame.reason == "not a journal frame" && frame.payloadPrefix == "\u{FFFD}\u{0}A", "\(frame)")
                #expect(Set(station.bus.deadLetters) == Set(letters))
                let newest = try await stream.read(limit: 1)
                #expect(newest.letters == [letters[1]] && newest.total == 2)
                let removed = try await stream.clear()
                let left = try await stream.read(limit: 9)
                #expect(removed == 2 && left.letters.isEmpty && left.total == 0)
            }
        }
    }

    @Test func `a flood is counted in full, and written and kept within bounds`() async throws {
        let server = try await OwnRedis.started()
        let bounds = BusSettings.of(["BUS_DEAD_LETTERS": "10", "BUS_DEAD_LETTERS_PER_SECOND": "1"])
        try await withBus(fastSettings(server.url), bounds: bounds) { station in
            let subscription = try await station.bus.subscribe(to: Notes.hint)
            try await collecting([subscription]) { _ in
                for number in 1...500 { try await station.client.publish(.text("bad \(number)"), on: "notes:hint") }
                try await eventually(within: .seconds(20), "all are counted") { station.bus.status.deadLetters == 500 }
                #expect(station.bus.deadLetters.map(\.payloadPrefix) == (491...500).map { "bad \($0)" })
                let stream = DeadLetterStream(station.client)
                try await eventually(within: .seconds(20), "a burst is written") {
                    try await stream.read(limit: 1000).total >= 20
                }
                let total = try await stream.read(limit: 1000).total
                #expect(total < 100, "\(total) written")
            }
        }
    }

    @Test func `what cannot be written is only counted`() async throws {
        let registry = MetricsRegistry()
        let client = RedisClient(
            settings: fastSettings("redis://127.0.0.1:1"), name: "idle", clock: .real, random: .seeded(1),
            log: LogCapture().logger(), metrics: MetricsRegistry())
        let letters = DeadLetters(
            client: client, source: "s/1", settings: BusSettings(), clock: .real, wallClock: .fixed(7),
            log: LogCapture().logger(), metrics: BusMetrics(registry))
        letters.add(channel: "c", reason: "r", payload: Array("p".utf8))
        #expect(letters.latest.count == 1)
        let text = registry.prometheusText()
        #expect(text.contains("bus_dead_letters_total 1") && text.contains("bus_dead_letters_unwritten_total 1"))
    }

    @Test func `what looks like a secret is masked`() {
        let cases = [
            ("{\"password\":\"hunter2\",\"a\":1}", "{\"password\":<redacted>,\"a\":1}"),
            ("{\"apiKey\": \"abc\", \"b\":2}", "{\"apiKey\": <redacted>, \"b\":2}"),
            ("{\"token\":\"cut off in the mid", "{\"token\":<redacted>"),
            ("Authorization: Bearer abc.def", "Authorization: <redacted>"),
            ("secret=xyz&next=1", "secret=<redacted>&next=1"),
            ("redis://user:pass@host:6379/0", "redis://<redacted>@host:6379/0"),
            ("{\"game\":\"401\",\"seq\":7}", "{\"game\":\"401\",\"seq\":7}"),
        ]
        for (text, expected) in cases { #expect(SecretMask.masked(text) == expected) }
    }
}
