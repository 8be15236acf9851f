import Foundation
import Resilience
import Runtime
import Servers
import TestKit
import Testing

@Suite struct ChildProcessTests {
    @Test func `a program's output and exit code come back`() async throws {
        let (status, output) = try await ChildProcess.run("/bin/sh", ["-c", "echo out; echo err >&2; exit 3"])
        #expect(status == .exited(3))
        #expect(output == "out\nerr\n")
    }

    @Test func `arguments and the environment arrive as they are`() async throws {
        let result = try await ChildProcess.run(
            "/bin/sh", ["-c", "echo \"$1|$X|$(pwd)\"", "sh", "a b'\"$c"], environment: ["X": "y z"], directory: "/usr")
        #expect(result.output == "a b'\"$c|y z|/usr\n")
    }

    @Test func `a missing program ends with 127`() async throws {
        let result = try await ChildProcess.run("/nowhere/to/be/found")
        #expect(result.status == .exited(127))
    }

    @Test func `a child inherits neither ignored signals nor open descriptors`() async throws {
        let held = open("/etc/hostname", O_RDONLY)
        defer { close(held) }
        let result = try await ChildProcess.run("/bin/ls", ["/proc/self/fd"])
        // The fourth is the one that ls has open on the folder itself.
        #expect(result.output.split(separator: "\n").count == 4)
    }

    @Test func `a program that ignores SIGTERM is killed with all its children`() async throws {
        let child = try ChildProcess.spawn(
            "/bin/sh", ["-c", "trap '' TERM; sleep 1000 & echo $!; wait"], output: .captured)
        try await eventually("the child speaks") { child.captured.hasSuffix("\n") }
        let grandchild = Int32(child.captured.dropLast()) ?? -1
        #expect(kill(grandchild, 0) == 0)
        let status = await child.terminate(killAfter: .milliseconds(50))
        #expect(status == .signalled(SIGKILL))
        #expect(!child.isRunning)
        try await eventually("the grandchild is gone") { !isAlive(grandchild) }
    }

    @Test func `children left behind by a program that ended go with it`() async throws {
        let result = try await ChildProcess.run("/bin/sh", ["-c", "sleep 1000 >/dev/null & echo $!"])
        let left = Int32(result.output.dropLast()) ?? -1
        try await eventually("the background process is gone") { !isAlive(left) }
    }

    @Test func `a run that takes too long is killed`() async throws {
        await #expect(throws: DeadlineExceeded.self) {
            _ = try await ChildProcess.run("/bin/sleep", ["1000"], timeout: .milliseconds(50))
        }
    }

    @Test func `resident memory is read while it runs`() async throws {
        let child = try ChildProcess.spawn("/bin/sleep", ["1000"])
        #expect((child.rssMegabytes ?? 0) > 0.1)
        await child.kill9()
        #expect(child.rssMegabytes == nil)
        #expect(child.exitStatus == .signalled(SIGKILL))
    }

    @Test(arguments: [[], ["frozen"]])
    func `nothing outlives a parent that gets SIGKILL`(_ arguments: [String]) async throws {
        // Issue 2: "leaves nothing running", also when killed.
        let program = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
            .appendingPathComponent("ServersParent").path
        let parent = try ChildProcess.spawn(program, arguments, output: .captured)
        try await eventually(within: .seconds(60), "the parent has its servers") {
            parent.captured.contains("ready=yes") || !parent.isRunning
        }
        var facts: [String: String] = [:]
        for pair in parent.captured.split(whereSeparator: \.isWhitespace) {
            let halves = pair.split(separator: "=", maxSplits: 1)
            if halves.count == 2 { facts[String(halves[0])] = String(halves[1]) }
        }
        let processes = ["redis", "postgres", "sleeper"].compactMap { facts[$0].flatMap { Int32($0) } }
        try #require(processes.count == 3, "\(parent.captured)")
        let workers = try #require(facts["workers"]).split(separator: ",").compactMap { Int32($0) }
            // Some end by themselves.
            .filter(isAlive)
        try #require(!workers.isEmpty, "\(parent.captured)")
        #expect(processes.allSatisfy(isAlive))
        await parent.kill9()
        try await eventually(within: .seconds(15), "the servers are gone") { !processes.contains(where: isAlive) }
        try await eventually(within: .seconds(15), "what they started is gone") { !workers.contains(where: isAlive) }
        let directory = try #require(facts["directory"])
        try await eventually(within: .seconds(15), "the files are gone") {
            !FileManager.default.fileExists(atPath: directory)
        }
    }

    @Test func `a directory that was left by a process and its guard is removed, and no other`() async throws {
        let outer = try TemporaryDirectory("abandoned")
        defer { outer.remove() }
        // Ours is beside those of the test, which is what is looked at.
        let prefix = "abandoned-\(RandomSource.system.uuid().prefix(8))"
        let base = URL(filePath: outer.path).deletingLastPathComponent().path
        let own = try TemporaryDirectory(prefix)
        defer { own.remove() }
        func left(_ name: String, secondsAgo age: Double, isEmpty: Bool = false) throws -> String {
            let path = "\(base)/\(prefix)-\(name)"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            if !isEmpty { try Data("x".utf8).write(to: URL(filePath: "\(path)/file")) }
            try Self.age(path, by: age)
            return path
        }
        let old = try left("aaaaaa", secondsAgo: 60)
        let used = try left("cccccc", secondsAgo: 0)
        let young = try left("bbbbbb", secondsAgo: 0, isEmpty: true)
        let other = try left("kept", secondsAgo: 60)
        defer { for path in [old, used, young, other] { try? FileManager.default.removeItem(atPath: path) } }
        try Self.age(own.path, by: 60)
        TemporaryDirectory.removeAbandoned(prefix)
        let files = FileManager.default
        #expect(!files.fileExists(atPath: old))
        #expect(!files.fileExists(atPath: used), "it was written to a moment ago, and nobody holds it")
        #expect(files.fileExists(atPath: young), "its owner may be about to lock it")
        #expect(files.fileExists(atPath: other), "it is not ours")
        #expect(files.fileExists(atPath: own.path), "its owner lives")
    }

    private static func age(_ path: String, by seconds: Double) throws {
        let then = Date(timeIntervalSince1970: Double(WallClock.real.microseconds) / 1_000_000 - seconds)
        try FileManager.default.setAttributes([.modificationDate: then], ofItemAtPath: path)
    }
}

/// Whether a process runs; a zombie does not.
func isAlive(_ process: Int32) -> Bool {
    guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
    let state = stat.split(separator: ")").last?.split(separator: " ").first
    return state != "Z" && state != "X"
}

@Suite struct PrivateServerTests {
    @Test func `ports are free and differ`() throws {
        let ports = try (0..<20).map { _ in try FreePort.find() }
        #expect(Set(ports).count == 20)
        #expect(ports.allSatisfy { $0 >= 1024 })
        // Nobody who asks the kernel for any port may be given one of them before it is bound.
        let range = try String(contentsOfFile: "/proc/sys/net/ipv4/ip_local_port_range", encoding: .utf8)
        let first = try #require(range.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) })
        #expect(first < 32_000 || ports.allSatisfy { $0 < first }, "\(ports)")
    }

    @Test func `a missing program is named with its package`() {
        let error = #expect(throws: ServersError.self) {
            try Programs.find("no-such-server", package: "no-such-package")
        }
        #expect(error?.code == .missingProgram)
        #expect(error?.message.contains("apt-get install no-such-package") == true)
    }

    @Test func `a private redis answers, forgets on restart, and stalls when paused`() async throws {
        try await withOwnRedis { redis in
            #expect(try await ask(redis, "SET", "a", "1") == "OK")
            #expect(try await ask(redis, "GET", "a") == "1")
            let before = redis.processID
            try await redis.restart()
            #expect(redis.processID != before)
            #expect(try await ask(redis, "GET", "a").isEmpty)
            redis.pause()
            await #expect(throws: DeadlineExceeded.self) {
                _ = try await ask(redis, "PING", timeout: .milliseconds(200))
            }
            redis.resume()
            #expect(try await ask(redis, "PING") == "PONG")
            await redis.kill()
            #expect(!redis.isRunning)
        }
    }

    @Test func `an append-only redis remembers over a restart`() async throws {
        try await withOwnRedis(appendOnly: true) { redis in
            _ = try await ask(redis, "SET", "a", "1")
            try await redis.restart()
            #expect(try await ask(redis, "GET", "a") == "1")
        }
    }

    @Test func `the shared servers give each test a corner of its own`() async throws {
        let first = try await withRedis { $0 }
        let second = try await withRedis { $0 }
        #expect(first.prefix != second.prefix && first.port == second.port)
        let names = try await withPostgres { one in
            try await one.run(sql: "CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
            return try await withPostgres { other in
                let found = try await other.run(sql: "SELECT to_regclass('t') IS NULL")
                #expect(found == "t")
                return [one.name, other.name]
            }
        }
        #expect(Set(names).count == 2)
    }

    @Test func `a private PostgreSQL keeps its data over a crash and is closed to strangers`() async throws {
        try await withOwnPostgres(fsync: true) { server in
            try await server.run(sql: "CREATE TABLE t (n int); INSERT INTO t VALUES (42)", database: "linesman")
            try await server.restart(.immediate)
            #expect(try await server.run(sql: "SELECT n FROM t", database: "linesman") == "42")
            await server.kill()
            try await server.startAgain()
            #expect(try await server.run(sql: "SELECT n FROM t", database: "linesman") == "42")
            let attributes = try FileManager.default.attributesOfItem(atPath: server.directory)
            #expect(attributes[.posixPermissions] as? Int == 0o700)
            let psql = try Programs.find("psql", package: "postgresql-client")
            let good = try await ChildProcess.run(psql, [server.url(database: "linesman"), "-Atc", "SELECT 1"])
            #expect(good.output == "1\n")
            let wrong = server.url(database: "linesman").replacingOccurrences(of: server.password.value, with: "wrong")
            let refused = try await ChildProcess.run(psql, [wrong, "-Atc", "SELECT 1"])
            #expect(refused.status != .exited(0) && refused.output.contains("password"))
            let socket = try await ChildProcess.run(psql, [server.socketURL(database: "linesman"), "-Atc", "SELECT 1"])
            #expect(socket.output == "1\n")
        }
    }

    @Test(arguments: [false, true])
    func `a commit that was answered is kept when the server is killed at once`(fsync: Bool) async throws {
        try await withOwnPostgres(fsync: fsync) { server in
            try await server.run(sql: "CREATE TABLE t (n int)", database: "linesman")
            for life in 1...5 {
                try await server.run(sql: "INSERT INTO t VALUES (\(life))", database: "linesman")
                await server.kill()
                try await server.startAgain()
                #expect(try await server.run(sql: "SELECT count(*) FROM t", database: "linesman") == "\(life)")
            }
        }
    }

    private func ask(_ redis: PrivateRedis, _ command: String..., timeout: Duration = .seconds(5)) async throws
        -> String
    {
        let result = try await ChildProcess.run(
            "redis-cli", ["-p", "\(redis.port)"] + command, timeout: timeout)
        return result.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
