import Foundation
import Redis
import RedisTestKit
import Runtime
import Servers
import TestKit
import Testing

/// Links whose packets the kernel drops.
///
/// That needs iptables and the right to use it; where either is missing the proxy of `HalfOpenTests` is what is run.
@Suite(.timeLimit(.minutes(3))) struct FirewallTests {
    @Test(.enabled(if: Firewall.isUsable, "iptables is missing or not permitted; the stalling proxy runs instead"))
    func `5.13 packets that the kernel drops in silence are found out the same`() async throws {
        let server = try await OwnRedis.started()
        try await withClient(fastSettings(server.url), name: "dropped") { client in
            let subscription = try await client.subscribe(to: ["a"])
            try await collecting(subscription) { collected in
                let dropped = try await Firewall.dropping(server.port) {
                    try await eventually(within: .seconds(30), "both are found out, and further attempts fail") {
                        let status = client.status
                        return !status.commands.isConnected && !status.subscriptions.isConnected
                            && status.commands.failures >= 2 && status.subscriptions.failures >= 2
                    }
                    return client.status
                }
                #expect(dropped.gapSince != nil && dropped.commands.lastError == .connectTimedOut)
                try await eventually(within: .seconds(30), "replaced") { client.status.isReady }
                try await eventually(within: .seconds(30), "the old ones are gone") {
                    let subscribers = try await server.subscribers(of: "a")
                    let connections = try await client.connectionsSeen("dropped")
                    return subscribers == 1 && connections == 2
                }
                try await client.publish("1", on: "a")
                try await eventually(within: .seconds(20), "heard") { collected.texts.last == "a=1" }
                #expect(collected.texts == ["gap", "a=1"])
            }
        }
    }
}

/// The kernel's packet filter, for one port of loopback at a time.
private enum Firewall {
    private static let path = ["/usr/sbin/iptables", "/sbin/iptables"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    static let isUsable: Bool = {
        guard let path, geteuid() == 0 else { return false }
        let list = Process()
        list.executableURL = URL(filePath: path)
        list.arguments = ["-w", "10", "-n", "-L", "INPUT"]
        list.standardOutput = FileHandle.nullDevice
        list.standardError = FileHandle.nullDevice
        // Thrown: it cannot be run.
        guard (try? list.run()) != nil else { return false }
        list.waitUntilExit()
        return list.terminationStatus == 0
    }()

    /// Drops all packets to and from a port while `body` runs.
    static func dropping<R>(_ port: Int, _ body: () async throws -> R) async throws -> R {
        try await change("-I", port)
        let outcome: Result<R, any Error>
        do { outcome = .success(try await body()) } catch { outcome = .failure(error) }
        try await change("-D", port)
        return try outcome.get()
    }

    private static func change(_ action: String, _ port: Int) async throws {
        for side in ["--dport", "--sport"] {
            let rule = ["-w", "10", action, "INPUT", "-i", "lo", "-p", "tcp", side, "\(port)", "-j", "DROP"]
            let (end, output) = try await ChildProcess.run(
                path ?? "", rule, environment: [:], timeout: .seconds(30))
            try #require(end.isSuccess, "\(rule): \(output)")
        }
    }
}
