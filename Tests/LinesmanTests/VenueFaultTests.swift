import ChaosEngine
import Foundation
import Runtime
import Testing

@testable import Linesman

/// Faults of a venue that plays faster than the clock on the wall.
@Suite struct VenueFaultTests {
    /// What the venue was sent.
    private actor Orders {
        private(set) var bodies: [String] = []

        func take(_ body: String) { bodies.append(body) }
    }

    private struct Order: Decodable {
        let kind: String
        let forVenueSeconds: Int?

        enum CodingKeys: String, CodingKey {
            case kind
            case forVenueSeconds = "for_venue_seconds"
        }
    }

    /// A simulator that says so of its clock.
    private static func venue(_ clock: String, _ orders: Orders) -> StatusServer {
        let paths = [
            StatusRoute(.get, "/control/clock") { _ in StatusResponse(body: clock) },
            StatusRoute(.get, "/control/stats") { _ in StatusResponse(body: "{\"faults\":{}}") },
            StatusRoute(.post, "/control/faults") { request in
                await orders.take(String(decoding: request.body, as: UTF8.self))
                return StatusResponse(status: 201, body: "{\"id\":1,\"closed\":1}")
            },
        ]
        let routes = StatusRoutes(checks: { [:] }, metrics: { "" }, status: { "" }, more: paths)
        return StatusServer(port: 0, routes: routes, log: .quiet)
    }

    @Test func `what is asked of the venue lasts in its own time`() throws {
        for (speed, seconds) in [(1.0, 44), (10.0, 440), (0.3, 14)] {
            for kind in VenueFault.kinds where kind != .disconnect {
                let text = VenueFault.order(kind, for: .seconds(44), speed: speed)
                let order = try JSONDecoder().decode(Order.self, from: Data(text.utf8))
                #expect(order.forVenueSeconds == seconds, "\(kind) at \(speed)")
            }
        }
        let text = VenueFault.order(.disconnect, for: .seconds(44), speed: 10)
        let order = try JSONDecoder().decode(Order.self, from: Data(text.utf8))
        #expect(order.kind == "reset" && order.forVenueSeconds == nil)
        #expect(!VenueFault.kinds.contains(.kill))
    }

    @Test(.timeLimit(.minutes(2)))
    func `a fault asks the venue how fast it plays, and is not made where nobody says`() async throws {
        let (orders, none) = (Orders(), Orders())
        let (fast, silent) = (Self.venue("{\"speed\":10.0}", orders), Self.venue("{\"phase\":\"playing\"}", none))
        // Both end with this test.
        let running = [fast, silent].map { server in Task { try await server.run() } }
        defer { for one in running { one.cancel() } }

        let port = await fast.boundPort()
        let mute = try #require(VenueFault(.mute, at: "http://127.0.0.1:\(port)/control", for: .seconds(44)))
        try await mute.make()
        let bodies = await orders.bodies
        #expect(bodies == ["{\"kind\":\"mute\",\"for_venue_seconds\":440}"])

        let other = await silent.boundPort()
        let never = try #require(VenueFault(.mute, at: "http://127.0.0.1:\(other)/control", for: .seconds(44)))
        await #expect(throws: ChaosFailure.self) { try await never.make() }
        let made = await none.bodies
        #expect(made.isEmpty)
    }
}
