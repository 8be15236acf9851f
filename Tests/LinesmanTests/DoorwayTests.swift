import Foundation
import Runtime
import Servers
import TestKit
import Testing

@testable import Linesman

/// Servers that move, seen from an address that stays.
@Suite struct DoorwayTests {
    /// Says its name at `/metrics`.
    private static func server(_ name: String, host: String = "127.0.0.1", port: Int = 0) -> StatusServer {
        let routes = StatusRoutes(checks: { [:] }, metrics: { name }, status: { name })
        return StatusServer(host: host, port: port, routes: routes, log: .quiet)
    }

    private static func answer(at port: Int) async throws -> String {
        try await LocalHTTP().text("http://127.0.0.1:\(port)/metrics")
    }

    @Test(.timeLimit(.minutes(2)))
    func `a doorway leads where it was led last, and what led elsewhere is closed`() async throws {
        let servers = [Self.server("first"), Self.server("second")]
        // Both end with this test.
        let running = servers.map { server in Task { try await server.run() } }
        defer { for one in running { one.cancel() } }
        let doorway = try await Doorway.open()
        await #expect(throws: (any Error).self, "it leads nowhere yet") {
            try await Self.answer(at: doorway.port)
        }
        for (index, name) in [(0, "first"), (1, "second"), (0, "first")] {
            let port = await servers[index].boundPort()
            doorway.lead(to: Doorway.Server(host: "127.0.0.1", port: port))
            try await eventually("\(name) answers") {
                // One that was closed on the way is asked again.
                (try? await Self.answer(at: doorway.port)) == name
            }
        }
        doorway.lead(to: nil)
        try await eventually("nobody answers") { (try? await Self.answer(at: doorway.port)) == nil }
    }

    private static func container(_ service: String, _ address: String) -> ComposeTarget.Container {
        ComposeTarget.Container(service: service, name: "linesman-\(service)-1", address: address)
    }

    @Test(.timeLimit(.minutes(2)))
    func `two containers that come back at each other's addresses are each found under the port they had`()
        async throws
    {
        let inner = try FreePort.find()
        let servers = ["127.0.0.2", "127.0.0.3"].map { Self.server($0, host: $0, port: inner) }
        // Both end with this test.
        let running = servers.map { server in Task { try await server.run() } }
        defer { for one in running { one.cancel() } }
        for server in servers { _ = await server.boundPort() }

        let doorways = ComposeDoorways()
        let before = [Self.container("a", "127.0.0.2"), Self.container("b", "127.0.0.3")]
        doorways.endLook(doorways.beginLook(), before)
        let ports = [try await doorways.port(to: before[0], inner), try await doorways.port(to: before[1], inner)]
        func say(_ first: String?, _ second: String?) async throws {
            for (port, name) in zip(ports, [first, second]) {
                try await eventually("\(name ?? "nobody") answers") {
                    // As above.
                    (try? await Self.answer(at: port)) == name
                }
            }
        }
        try await say("127.0.0.2", "127.0.0.3")

        let late = doorways.beginLook()
        doorways.endLook(doorways.beginLook(), [])
        try await say(nil, nil)
        doorways.endLook(
            doorways.beginLook(), [Self.container("a", "127.0.0.3"), Self.container("b", "127.0.0.2")])
        try await say("127.0.0.3", "127.0.0.2")
        doorways.endLook(late, before)
        #expect(doorways.running.map(\.address) == ["127.0.0.3", "127.0.0.2"], "what was seen before is old")
        let again = try await doorways.port(to: before[0], inner)
        #expect(again == ports[0])
    }
}
