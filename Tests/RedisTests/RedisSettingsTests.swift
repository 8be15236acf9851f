import Runtime
import Testing

@testable import Redis

@Suite struct RedisSettingsTests {
    @Test func `every problem of the settings is reported, none shows the password`() {
        let reader = SettingsReader(environment: [
            "REDIS_URL": "http://:geheim@localhost", "REDIS_PONG_TIMEOUT_MS": "0",
            "REDIS_RECONNECT_BASE_DELAY_MS": "5000", "REDIS_RECONNECT_MAX_DELAY_MS": "100",
        ])
        _ = RedisSettings(reader)
        do {
            try reader.finish()
            Issue.record("accepted")
        } catch {
            let keys = Set(error.problems.map(\.key))
            #expect(keys.contains("REDIS_URL"))
            #expect(keys.contains("REDIS_PONG_TIMEOUT_MS"))
            #expect(error.description.contains("REDIS_RECONNECT_BASE_DELAY_MS"))
            #expect(!error.description.contains("geheim"))
        }
    }

    @Test(arguments: [
        ("REDIS_URL", "redis://:geheim@localhost:0", "port"), ("REDIS_URL", "redis://geheim@localhost", "login"),
        ("REDIS_CA_FILE", "/nowhere/ca.pem", "readable"), ("REDIS_MAX_MESSAGE_BYTES", "0", "1024"),
        ("REDIS_ROLE_CHECK_PINGS", "0", "from 1"), ("REDIS_MIN_PUBSUB_BUFFER_BYTES", "-1", "from 0"),
        ("REDIS_RECONNECT_JITTER_PCT", "1.5", "from 0"), ("REDIS_RECONNECT_MAX_FAILURES", "0", "from 1"),
        ("REDIS_RECONNECT_BASE_DELAY_MS", "0", "from 1"), ("REDIS_RECONNECT_MAX_DELAY_MS", "nan", "from 1"),
        ("REDIS_PING_INTERVAL_MS", "9", "from 10"), ("REDIS_MAX_IN_FLIGHT", "0", "from 1"),
        ("REDIS_QUEUE_MAX_BYTES", "1e3", "from 1024"), ("REDIS_MAX_REPLY_BYTES", "99999999999999999999", "from 1024"),
    ])
    func `a bad value is refused with its name and what would do`(key: String, value: String, says: String) {
        let reader = SettingsReader(environment: [key: value])
        _ = RedisSettings(reader)
        let error = #expect(throws: SettingsError.self) { try reader.finish() }
        #expect(error?.problems.map(\.key) == [key])
        #expect(error?.problems.first?.message.contains(says) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("geheim") == false)
    }

    @Test func `the defaults are the seed's`() throws {
        // CHECKLIST R5.
        let settings = RedisSettings(SettingsReader(environment: [:]))
        #expect(settings.backoff.base == .seconds(1) && settings.backoff.cap == .seconds(60))
        #expect(settings.backoff.jitter == 0.1 && settings.backoff.resetAfter == .seconds(60))
        #expect(settings.breaker.failureThreshold == 10 && settings.breaker.cooldown == .seconds(60))
        #expect(settings.breaker.probes == 1)
        #expect(settings.endpoint.address == .network(host: "127.0.0.1", port: 6379))
    }

    @Test func `the four settings of the reconnect change what they name`() throws {
        let settings = RedisSettings(
            SettingsReader(environment: [
                "REDIS_RECONNECT_BASE_DELAY_MS": "10", "REDIS_RECONNECT_MAX_DELAY_MS": "100",
                "REDIS_RECONNECT_JITTER_PCT": "0.5", "REDIS_RECONNECT_MAX_FAILURES": "3",
            ]))
        #expect(settings.backoff.base == .milliseconds(10) && settings.backoff.cap == .milliseconds(100))
        #expect(settings.backoff.jitter == 0.5 && settings.breaker.failureThreshold == 3)
    }
}
