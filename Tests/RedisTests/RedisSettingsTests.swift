import Runtime
import Testing

@testable import Redis

@Suite struct RedisSettingsTests {
    @Test func `an address names host, port, login and database`() throws {
        let endpoint = try #require(RedisEndpoint(url: "rediss://anna:p%40ss@cache.example:6380/3"))
        #expect(endpoint.address == .network(host: "cache.example", port: 6380))
        #expect(endpoint.usesTLS)
        #expect(endpoint.username == "anna")
        #expect(endpoint.password?.value == "p@ss")
        #expect(endpoint.database == 3)
        #expect(endpoint.description == "rediss://cache.example:6380/3")
    }

    @Test func `a password may stand without a user, and everything may be left out`() throws {
        let withPassword = try #require(RedisEndpoint(url: "redis://:secret@localhost"))
        #expect(withPassword.username == nil)
        #expect(withPassword.password?.value == "secret")
        #expect(withPassword.address == .network(host: "localhost", port: 6379))
        #expect(RedisEndpoint(url: "unix:///run/redis.sock?db=2")?.database == 2)
        #expect(RedisEndpoint(url: "redis://[::1]:7000")?.address == .network(host: "::1", port: 7000))
    }

    @Test(arguments: ["", "localhost:6379", "http://localhost", "redis://", "redis://h/x", "redis://h/-1"])
    func `anything else is refused`(url: String) {
        #expect(RedisEndpoint(url: url) == nil)
    }

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
}
