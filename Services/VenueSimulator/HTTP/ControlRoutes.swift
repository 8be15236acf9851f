import Domain
import Foundation
import Hummingbird

/// What the demo, the tests and the chaos runbook ask of the simulator; no fault touches these paths.
struct ControlRoutes: Sendable {
    let simulator: Simulator

    func add(to group: RouterGroup<VenueRequestContext>) {
        let simulator = simulator
        group.post("start") { _, _ in
            simulator.answer { state in
                let started = state.start(at: simulator.clock.now)
                return VenueReply(status: started ? 200 : 409, body: Self.clock(state))
            }
        }
        group.post("stop") { _, _ in
            simulator.answer { state in
                state.stop()
                return .ok(Self.clock(state))
            }
        }
        group.get("clock") { _, _ in simulator.answer { .ok(Self.clock($0)) } }
        group.get("stats") { _, _ in simulator.answer { .ok(ControlBodies.statistics($0)) } }
        group.get("order-times") { _, _ in simulator.answer { .ok(ControlBodies.times($0.times)) } }
        group.get("orders") { request, _ in
            let query = Query(request)
            return simulator.answer { state in
                guard let after = query.integer("after", default: 0, in: 0...Int.max) else {
                    return .badRequest("after: how many orders are known already")
                }
                return .ok(ControlBodies.orders(state.exchange, after: after))
            }
        }
        group.post("account") { request, _ in
            let body = try await request.body.collect(upTo: 64 * 1024)
            let bytes = Array(body.readableBytesView)
            return simulator.answer { Self.plant(bytes, &$0) }
        }
        group.get("faults") { _, _ in simulator.answer { .ok(ControlBodies.faults($0.faults)) } }
        group.post("faults") { request, _ in
            let body = try await request.body.collect(upTo: 64 * 1024)
            let bytes = Array(body.readableBytesView)
            return simulator.answer { Self.arm(bytes, &$0) }
        }
        group.delete("faults") { _, _ in
            simulator.answer { state in
                state.faults.disarmAll()
                return .ok(ControlBodies.faults(state.faults))
            }
        }
        group.delete("faults/:id") { _, context in
            let id = context.parameters.get("id").flatMap(Int.init)
            return simulator.answer { state in
                guard let id, state.faults.disarm(id) else { return .notFound() }
                return .ok(ControlBodies.faults(state.faults))
            }
        }
    }

    private static func clock(_ state: VenueState) -> JSONText { ControlBodies.clock(state.clock) }

    private static func plant(_ bytes: [UInt8], _ state: inout VenueState) -> VenueReply {
        guard let order = try? JSONDecoder.venue.decode(PlantOrder.self, from: Data(bytes)),
            order.contracts == nil || order.market != nil, order.contracts != nil || order.cash != nil
        else { return .badRequest("market and contracts, or cash, as decimals in text: \"-1.00\"") }
        do {
            try state.plant(order)
        } catch {
            return .badRequest("\(error)")
        }
        return .ok(ControlBodies.statistics(state))
    }

    private static func arm(_ bytes: [UInt8], _ state: inout VenueState) -> VenueReply {
        guard let order = try? JSONDecoder.venue.decode(FaultOrder.self, from: Data(bytes)) else {
            let kinds = FaultKind.allCases.map(\.rawValue).joined(separator: ", ")
            let rest = "target, count, probability, for_venue_seconds, seed, delay_ms, field, value"
            return .badRequest("kind (\(kinds)), \(rest)")
        }
        if let problem = order.problem { return .badRequest(problem) }
        if order.kind == .reset, order.target ?? "websocket" == "websocket" {
            let closed = state.closeSockets()
            return .ok(["id": 0, "closed": .integer(Int64(closed))])
        }
        let id = state.faults.arm(order, at: state.venueTime)
        return VenueReply(status: 201, body: ["id": .integer(Int64(id))])
    }
}
