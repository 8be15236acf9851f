import Domain
import NIOConcurrencyHelpers
import Runtime
import TestKit
import Testing

@testable import Venues

/// What is asked between the connection and the body of an order (DESIGN rule 14).
@Suite struct LastLookTests {
    /// A switch that is engaged at the moment of the look.
    private final class Switch: Sendable {
        private let state = NIOLockedValueBox((looks: 0, isEngaged: false))

        var looks: Int { state.withLockedValue { $0.looks } }
        func set(engaged: Bool) { state.withLockedValue { $0.isEngaged = engaged } }
        var look: LastLook {
            LastLook {
                self.state.withLockedValue { state in
                    state.looks += 1
                    return state.isEngaged ? "kill_switch_file" : nil
                }
            }
        }
    }

    @Test func `nobody looks before there is a connection`() async throws {
        let server = try await ScriptedServer { _, _ in .hang }
        await server.stop()
        let http = Fixture.http()
        let gateway = KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time)
        let killSwitch = Switch()
        let outcome = await gateway.submit(try Fixture.order(), deadline: .seconds(60), lastLook: killSwitch.look)
        guard case .unknown(let error) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(error.code == .connectionFailed)
        #expect(killSwitch.looks == 0, "what is seen before the connection is old when the body is written")
        await http.shutdown()
    }

    @Test(arguments: [false, true])
    func `an order that the last look forbids never gets to the venue whole, on a new or an old connection`(
        isWarm: Bool
    ) async throws {
        let server = try await ScriptedServer { _, _ in .json("{}") }
        let http = Fixture.http()
        let gateway = KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time)
        let killSwitch = Switch()
        let url = "http://127.0.0.1:\(server.port)/orders"
        if isWarm { _ = try await http.send("POST", url, body: Array("warm".utf8), lastLook: killSwitch.look) }
        let before = (looks: killSwitch.looks, requests: server.requests.count)
        #expect(before.looks == (isWarm ? 1 : 0))

        killSwitch.set(engaged: true)
        let outcome = await gateway.submit(try Fixture.order(), deadline: .seconds(60), lastLook: killSwitch.look)
        guard case .refused(let error) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(error.code == .withheld && error.detail == "kill_switch_file" && error.provesNonAcceptance)
        #expect(killSwitch.looks == before.looks + 1, "once for each order")
        // Its line and headers may be there; they wait for a body on a connection that is over.
        try await eventually("the connection has ended") { server.ended == 1 }
        #expect(server.requests.count == before.requests)
        #expect(!server.received.contains("client_order_id"), "\(server.received)")

        killSwitch.set(engaged: false)
        let next = try await http.send("POST", url, body: Array("next".utf8), lastLook: killSwitch.look)
        #expect(next.status == 200)
        #expect(server.requests.last?.body == "next")
        #expect(server.connections == 2, "nothing follows on the connection of a request that was broken off")
        await http.shutdown()
        await server.stop()
    }
}
