import Foundation
import Hosting
import Runtime

/// Engages and releases the kill switch over HTTP, as `linesman kill-switch` does (docs/CONTROL.md).
///
/// It needs no leader, and no order that waits holds it up.
struct KillSwitchRoutes: Sendable {
    private struct Order: Decodable {
        var reason: String?
        var by: String?
    }

    private struct Engaged: Encodable {
        let file: Bool
        let postgres: Bool
        let redis: Bool
        let places: [String]
    }

    private struct Released: Encodable {
        /// What is still engaged.
        let remaining: [String]
    }

    private let host: ServiceHost
    private let lever: KillSwitchLever
    private let gate: ControlGate

    init(host: ServiceHost, token: Secret?) {
        self.host = host
        lever = KillSwitchLever(host)
        gate = ControlGate(token: token, metrics: host.context.metrics)
    }

    /// `POST /control/kill-switch/engage` and `/control/kill-switch/release`.
    var all: [StatusRoute] {
        [
            .control("/control/kill-switch/engage", gate) { await engage($0) },
            .control("/control/kill-switch/release", gate) { await release($0) },
        ]
    }

    /// A reason is welcome and not asked for: who is in a hurry must not be refused.
    private func engage(_ request: StatusRequest) async -> StatusResponse {
        guard let order = Self.order(request) else { return Self.malformed }
        let taken = await lever.engage(reason: order.reason ?? "engaged by an operator over HTTP", by: order.by)
        host.log.notice("kill switch engaged over HTTP", metadata: ["places": "\(taken.lines)"])
        guard taken.isAnywhere else {
            return .refusal(
                503, "nothing_took_it", "stop the processes instead, orders may still leave: \(taken.lines)")
        }
        let answer = Engaged(
            file: taken.file, postgres: taken.database, redis: taken.redis, places: taken.lines)
        return .json(answer, status: taken.database ? 200 : 202)
    }

    private func release(_ request: StatusRequest) async -> StatusResponse {
        guard let order = Self.order(request), let reason = order.reason else { return Self.malformed }
        do {
            let left = try await lever.release(reason: reason, by: order.by)
            host.log.notice("kill switch released over HTTP", metadata: ["remaining": "\(left)"])
            return .json(Released(remaining: left), status: left.isEmpty ? 200 : 202)
        } catch {
            return .refusal(
                503, "not_stored", "PostgreSQL did not take it down, so nothing is released: \(error)")
        }
    }

    private static let malformed = StatusResponse.refusal(
        400, "malformed", #"the body must be {"reason": "why"}; only engaging goes without a reason"#)

    /// An empty body is an order without a reason.
    private static func order(_ request: StatusRequest) -> (reason: String?, by: String)? {
        guard !request.body.isEmpty else { return (nil, "http") }
        guard let order = try? JSONDecoder().decode(Order.self, from: Data(request.body)) else { return nil }
        let by = plain(order.by ?? "", 64)
        return (order.reason.map { plain($0, 500) }.flatMap { $0.isEmpty ? nil : $0 }, by.isEmpty ? "http" : by)
    }

    /// Without control characters and what no reason needs.
    private static func plain(_ text: String, _ limit: Int) -> String {
        let kept = text.unicodeScalars.filter { $0.value > 0x1F && $0.value != 0x7F }
        return String(String.UnicodeScalarView(kept)).trimmingCharacters(in: .whitespaces).prefix(limit).description
    }
}
