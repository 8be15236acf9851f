import NIOPosix
import TestKit
import Testing

@testable import Venues

/// What the HTTP client promises beside the venues' words.
@Suite struct VenueHTTPClientTests {
    @Test func `an address that is posted to again takes the next request's own headers and body`() async throws {
        let server = try await ScriptedServer { _, _ in .json("{}") }
        let http = Fixture.http()
        let url = "http://127.0.0.1:\(server.port)/orders"
        for number in 1...3 {
            let headers = number == 2 ? [] : [("X-Number", "\(number)")]
            let answer = try await http.send("POST", url, headers: headers, body: Array("\(number)".utf8))
            #expect(answer.status == 200)
        }
        #expect(server.requests.map(\.body) == ["1", "2", "3"])
        #expect(server.requests.map { $0.headers["x-number"] } == ["1", nil, "3"])
        await http.shutdown()
        await server.stop()
    }

    @Test func `a request leaves and its answer is read on one loop`() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 4)
        let server = try await ScriptedServer { _, _ in .json("{}") }
        let http = Fixture.http(group: group)
        for _ in 0..<12 { _ = try await http.send("GET", "http://127.0.0.1:\(server.port)/") }
        #expect(server.connections == 1, "a connection on each loop")
        await http.shutdown()
        await server.stop()
        try await group.shutdownGracefully()
    }

    @Test(arguments: [false, true])
    func `a cancelled request is given up`(isEarly: Bool) async throws {
        let server = try await ScriptedServer { _, _ in .hang }
        let http = Fixture.http()
        let request = Task {
            if isEarly { while !Task.isCancelled { await Task.yield() } }
            _ = try await http.send("POST", "http://127.0.0.1:\(server.port)/orders", body: [])
        }
        if !isEarly { try await eventually("the request is there") { server.requests.count == 1 } }
        request.cancel()
        let error = await #expect(throws: VenueError.self) { try await request.value }
        #expect(error?.code == .cancelled)
        #expect(server.requests.count == (isEarly ? 0 : 1))
        await http.shutdown()
        await server.stop()
    }
}
