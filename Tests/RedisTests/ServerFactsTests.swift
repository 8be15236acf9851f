import Testing

@testable import Redis

/// What is read from the server's own words at the login.
@Suite struct ServerFactsTests {
    @Test func `versions are compared as numbers`() {
        // CHECKLIST R1; PITFALLS 5.51.
        #expect(RedisVersion("7.0.15") == RedisVersion(major: 7, minor: 0))
        #expect(RedisVersion("6.2.14").map { $0 < .minimum } == true)
        #expect(RedisVersion("10.0.1").map { $0 < .minimum } == false)
        for text in ["", "7", "a.b", "7.x", "v7.0"] { #expect(RedisVersion(text) == nil) }
    }

    @Test func `INFO tells run, version and clients cut off, in any order and with lines nobody knows`() {
        var facts = RedisServerFacts()
        facts.read(info: "# Server\r\nredis_version:7.4.1\r\nos:Linux: any\r\nrun_id:abc\r\nnonsense\r\n")
        facts.read(info: "# Stats\r\nclient_output_buffer_limit_disconnections:3\r\n")
        #expect(facts.runID == "abc" && facts.version == RedisVersion(major: 7, minor: 4) && facts.overruns == 3)
        #expect(facts.versionText == "7.4.1")
    }

    @Test func `a server below the minimum is refused with what to do, an unknown version is not`() {
        var facts = RedisServerFacts()
        #expect(throws: Never.self) { try facts.requireVersion() }
        facts.read(info: "redis_version:5.0.14")
        let error = #expect(throws: RedisError.self) { try facts.requireVersion() }
        #expect(error?.code == .serverTooOld)
        #expect(error?.message.contains("upgrade it to 7.0") == true)
    }

    @Test func `the pubsub class of the output buffer limits is found`() throws {
        let text = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
        let limit = try #require(OutputBufferLimit(setting: text))
        #expect(limit == OutputBufferLimit(hard: 32 << 20, soft: 8 << 20, softSeconds: 60))
        #expect(limit.smallest == 8 << 20)
        for text in ["", "normal 0 0 0", "pubsub 1 2", "pubsub a b c"] {
            #expect(OutputBufferLimit(setting: text) == nil)
        }
    }

    @Test func `the server's own defaults are enough, less is not, and none at all is`() {
        let minimum = 32 << 20
        #expect(!OutputBufferLimit(hard: 32 << 20, soft: 8 << 20, softSeconds: 60).isBelow(minimum))
        #expect(!OutputBufferLimit(hard: 0, soft: 0, softSeconds: 0).isBelow(minimum))
        #expect(OutputBufferLimit(hard: 16 << 20, soft: 8 << 20, softSeconds: 60).isBelow(minimum))
        #expect(OutputBufferLimit(hard: 0, soft: 4 << 20, softSeconds: 60).isBelow(minimum))
        #expect(!OutputBufferLimit(hard: 1, soft: 1, softSeconds: 1).isBelow(0))
        #expect(OutputBufferLimit(hard: 0, soft: 0, softSeconds: 0).smallest == nil)
    }

    @Test func `only connections of the same service and instance and of another life are leftovers`() {
        let own = RedisIdentity(name: "linesman:game-shard/7", incarnation: "b")
        #expect(own.clientName(.commands) == "linesman:game-shard/7/b:commands")
        #expect(own.isLeftover("linesman:game-shard/7/a:subscriptions"))
        for name in [
            "linesman:game-shard/7/b:commands", "linesman:game-shard/77/a:commands", "linesman:game-shard/7:commands",
            "linesman:game-shard/7/x/a:commands", "linesman:game-shard/7/a", "linesman:game-shard/7/a:other", "",
        ] {
            #expect(!own.isLeftover(name), "\(name)")
        }
        let nameless = RedisIdentity(name: "tool", incarnation: nil)
        #expect(nameless.clientName(.subscriptions) == "tool:subscriptions")
        #expect(!nameless.isLeftover("tool/a:commands"))
    }

    @Test func `leftovers are read from CLIENT LIST by their numbers`() {
        let own = RedisIdentity(name: "s/1", incarnation: "b")
        let list = """
            id=3 addr=127.0.0.1:1 name=s/1/a:commands age=5 cmd=client|list
            id=4 addr=127.0.0.1:2 name= age=5
            id=5 addr=127.0.0.1:3 name=s/1/b:commands age=5
            id=61 addr=127.0.0.1:4 name=s/1/a:subscriptions age=5

            """
        #expect(own.leftovers(in: list) == [3, 61])
        #expect(own.leftovers(in: "").isEmpty && own.leftovers(in: "garbage\n\n=").isEmpty)
    }

    @Test func `a name the server would refuse is made printable`() {
        let odd = RedisIdentity(name: "a b\nc", incarnation: "ü")
        #expect(odd.clientName(.commands).utf8.allSatisfy { (0x21...0x7e).contains($0) })
    }

    @Test(arguments: [
        ("NOAUTH Authentication required.", RedisError.Code.authenticationRequired),
        ("WRONGPASS invalid username-password pair or user is disabled.", .wrongPassword),
        ("ERR AUTH <password> called without any password configured", .wrongPassword),
        ("NOPERM this user has no permissions", .permissionDenied),
        ("LOADING Redis is loading the dataset in memory", .loading),
        ("READONLY You can't write against a read only replica.", .readOnly),
        ("MISCONF Redis is configured to save RDB snapshots", .misconfigured),
        ("OOM command not allowed when used memory > 'maxmemory'.", .outOfMemory),
        ("NOSCRIPT No matching script.", .noScript), ("BUSY Redis is busy running a script.", .busyScript),
        ("MASTERDOWN Link with MASTER is down", .masterDown), ("NOREPLICAS Not enough good replicas", .noReplicas),
        ("CLUSTERDOWN Hash slot not served", .clusterDown), ("MOVED 3999 127.0.0.1:6381", .moved),
        ("ASK 3999 127.0.0.1:6381", .moved), ("TRYAGAIN Multiple keys request", .tryAgain),
        ("WRONGTYPE Operation against a key", .wrongType), ("ERR max number of clients reached", .maximumClients),
        ("DENIED Redis is running in protected mode", .denied), ("ERR DB index is out of range", .databaseOutOfRange),
        ("ERR unknown command", .server), ("LOADINGS", .server), ("", .server),
    ])
    func `an error reply is told by its first word`(reply: String, code: RedisError.Code) {
        let error = RedisError(reply: reply)
        #expect(error.code == code && error.message == reply)
    }

    @Test func `a server that cannot serve us now is waited for, one that must not is left`() {
        for code in [RedisError.Code.loading, .busyScript, .tryAgain] {
            #expect(RedisError(code, "").reaction == .wait && RedisError(code, "").isTransient)
        }
        for code in [RedisError.Code.readOnly, .masterDown, .authenticationRequired, .differentServer] {
            #expect(RedisError(code, "").reaction == .leave)
        }
        for code in [RedisError.Code.misconfigured, .outOfMemory, .maximumClients, .noReplicas] {
            #expect(RedisError(code, "").reaction == .stay && RedisError(code, "").isTransient)
        }
        for code in [RedisError.Code.wrongPassword, .permissionDenied, .serverTooOld, .messageTooLarge, .tlsFailed] {
            #expect(!RedisError(code, "").isTransient)
        }
    }
}
