import Runtime
import Testing

@testable import Redis

@Suite struct RedisEndpointTests {
    @Test func `an address names host, port, login and database`() throws {
        let endpoint = try RedisEndpoint.parse("rediss://anna:p%40ss@cache.example:6380/3")
        #expect(endpoint.address == .network(host: "cache.example", port: 6380))
        #expect(endpoint.usesTLS)
        #expect(endpoint.username == "anna")
        #expect(endpoint.password?.value == "p@ss")
        #expect(endpoint.database == 3)
        #expect(endpoint.description == "rediss://cache.example:6380/3")
    }

    @Test func `a password may stand without a user, and everything may be left out`() throws {
        let withPassword = try RedisEndpoint.parse("redis://:secret@localhost")
        #expect(withPassword.username == nil)
        #expect(withPassword.password?.value == "secret")
        #expect(withPassword.address == .network(host: "localhost", port: 6379))
        #expect(try RedisEndpoint.parse("REDIS://host/").database == 0)
        let noPassword = try RedisEndpoint.parse("redis://anna:@host")
        #expect(noPassword.username == "anna" && noPassword.password?.value == "")
        #expect(try RedisEndpoint.parse("redis://:@host").password == nil)
    }

    @Test func `a login is percent-encoded, so that every password can be written`() throws {
        let every = try RedisEndpoint.parse("redis://a%2Fb:%3A%40%2F%3F%23%25%20%C3%BC@h/1")
        #expect(every.username == "a/b")
        #expect(every.password?.value == ":@/?#% ü")
        #expect(try RedisEndpoint.parse("redis://:a:b@h").password?.value == "a:b")
    }

    @Test func `an IPv6 address stands in brackets, a socket is a path`() throws {
        let six = try RedisEndpoint.parse("redis://[::1]:7000/2")
        #expect(six.address == .network(host: "::1", port: 7000))
        #expect(six.description == "redis://[::1]:7000/2")
        #expect(try RedisEndpoint.parse("redis://[fe80::1]").address == .network(host: "fe80::1", port: 6379))
        let socket = try RedisEndpoint.parse("unix:///run/redis%20a.sock?db=2")
        #expect(socket.address == .unixSocket(path: "/run/redis a.sock"))
        #expect(socket.database == 2)
        #expect(try RedisEndpoint.parse("unix://:secret@/run/redis.sock").password?.value == "secret")
    }

    @Test(arguments: [
        ("", RedisURLProblem.scheme), ("localhost:6379", .scheme), ("redis:localhost", .scheme),
        ("http://localhost", .scheme), ("redis ://localhost", .characters), ("redis://höst", .characters),
        ("redis://h\t", .characters), ("redis://", .host), ("redis://:6379", .host), ("redis:///1", .host),
        ("redis://::1", .host), ("redis://[::1", .host), ("redis://[::1]6379", .host), ("redis://[host]", .host),
        ("redis://a b", .characters), ("redis://a,b", .host), ("redis://h:", .port), ("redis://h:0", .port),
        ("redis://h:65536", .port), ("redis://h:-1", .port), ("redis://h:6379a", .port), ("redis://h:+6379", .port),
        ("redis://h:99999999999999999999", .port), ("redis://h:1:2", .port), ("redis://h/x", .database),
        ("redis://h/-1", .database), ("redis://h/+1", .database), ("redis://h/1/2", .database),
        ("redis://h//1", .database), ("redis://h/65536", .database), ("redis://h/1.0", .database),
        ("redis://anna@h", .login), ("redis://a:%zz@h", .login), ("redis://a:b@c@h", .login),
        ("redis://h?db=1", .extra), ("redis://h/1?timeout=5", .extra), ("redis://h/1#a", .extra),
        ("unix://run/redis.sock", .path), ("unix://", .path), ("unix:///", .path), ("unix:///a%00b", .path),
        ("unix:///a?db=x", .database), ("unix:///a?db=", .database), ("unix:///a?database=1", .extra),
    ])
    func `anything else is refused, and it is said which part is wrong`(url: String, problem: RedisURLProblem) {
        #expect(throws: problem) { try RedisEndpoint.parse(url) }
        #expect(RedisEndpoint(url: url) == nil)
    }

    @Test func `no rest of an address is taken for one`() throws {
        let whole = "rediss://anna:p%40ss@cache.example:6380/3"
        for length in 0..<whole.count {
            let part = String(whole.prefix(length))
            guard let endpoint = RedisEndpoint(url: part) else { continue }
            #expect(endpoint.usesTLS, "\(part)")
            guard case .network(let host, _) = endpoint.address else { continue }
            #expect(!host.isEmpty && !host.contains("@"), "\(part)")
        }
    }
}
