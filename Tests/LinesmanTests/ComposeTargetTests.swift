import ChaosEngine
import Foundation
import Servers
import Testing

@testable import Linesman

/// What a rehearsal against containers tells Docker.
@Suite struct ComposeTargetTests {
    private static let container = ComposeTarget.Container(
        service: "game-shard", name: "linesman-shard-01-1", address: "10.0.0.1", network: "linesman")

    private static func script(_ kind: Fault.Kind) -> FaultScript {
        ComposeTarget.script(kind, [container], memory: "512", policy: "unless-stopped")
    }

    @Test func `back ends are ended with the password that the container itself knows`() throws {
        let words = try #require(Self.script(.terminate).make.first)
        #expect(Array(words.prefix(5)) == ["docker", "exec", "linesman-shard-01-1", "sh", "-c"])
        let line = try #require(words.last)
        #expect(words.count == 6 && line.hasPrefix("PGPASSWORD=\"$POSTGRES_PASSWORD\" psql "), "\(line)")
        #expect(line.contains(" -h 127.0.0.1 "), "its socket may ask for the password too")
    }

    /// A `docker` that says of a container what it is told to, and writes down what it was asked.
    private static func fakes(_ state: String, in folder: String) throws {
        let docker = """
            #!/bin/sh
            echo "$*" >> "\(folder)/asked"
            if [ "$1" = inspect ]; then echo "\(state)"; fi
            """
        for (name, text) in [("docker", docker), ("sleep", "#!/bin/sh\n")] {
            try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(folder)/\(name)")
        }
    }

    private static func run(
        _ commands: [CommandLineWords], in folder: String
    ) async throws -> [ChildProcess.ExitStatus] {
        var ends: [ChildProcess.ExitStatus] = []
        for words in commands {
            let (end, _) = try await ChildProcess.run(
                words[0], Array(words.dropFirst()), environment: ["PATH": "\(folder):/usr/bin:/bin"])
            ends.append(end)
        }
        return ends
    }

    @Test(arguments: [("false true 137", true), ("false false 137", true), ("true false 0", false)])
    func `want of memory ends a container, and Docker leaves it alone until it is undone`(
        state: String, hasEnded: Bool
    ) async throws {
        let folder = try TemporaryDirectory("docker")
        defer { folder.remove() }
        try Self.fakes(state, in: folder.path)
        let script = Self.script(.exhaust)
        let ends = try await Self.run(script.make, in: folder.path)
        #expect(ends.map(\.isSuccess) == [true, hasEnded])
        _ = try await Self.run(script.undo, in: folder.path)
        let asked = try String(contentsOfFile: "\(folder.path)/asked", encoding: .utf8)
            .split(separator: "\n").map(String.init)
        #expect(asked.first == "update --restart no linesman-shard-01-1")
        #expect(asked.dropFirst().first?.hasPrefix("exec linesman-shard-01-1 sh -c echo 1000 > /proc/1/") == true)
        #expect(
            Array(asked.suffix(2)) == [
                "update --restart unless-stopped linesman-shard-01-1", "start linesman-shard-01-1",
            ])
    }

    @Test func `a twin gets the settings of its container, and goes before that is started again`() async throws {
        let folder = try TemporaryDirectory("docker")
        defer { folder.remove() }
        try Self.fakes("SECRET=of-the-suite", in: folder.path)
        let script = Self.script(.impersonate)
        let ends = try await Self.run(script.make + script.undo, in: folder.path)
        #expect(ends.map(\.isSuccess) == [true, true])
        let asked = try String(contentsOfFile: "\(folder.path)/asked", encoding: .utf8)
            .split(separator: "\n").map(String.init)
        let started = try #require(asked.first { $0.hasPrefix("run ") })
        #expect(started.hasPrefix("run --detach --name linesman-shard-01-1-twin --network linesman "))
        #expect(started.contains(" --volumes-from linesman-shard-01-1 --env-file /dev/stdin "))
        #expect(
            Array(asked.suffix(2)) == ["rm --force linesman-shard-01-1-twin", "restart linesman-shard-01-1"])
    }

    @Test func `containers can be impersonated and run out of memory, and their clocks are the host's`() {
        let target = ComposeTarget(project: "nothing")
        for kind in [Fault.Kind.exhaust, .impersonate] {
            #expect(target.obstacle(to: Fault(kind, .busiestShard)) == nil)
        }
        #expect(target.obstacle(to: Fault(.stepClock, .executionService)) != nil)
        let filed = target.filed()
        #expect(filed == nil, "nobody has looked yet")
        #expect(target.troubles().count == 1, "which a round that ends so is told")
    }
}
