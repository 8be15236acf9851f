/// Lets orders into a running process: only from this host, and only with the token (CHECKLIST N32).
///
/// Without a configured token it lets nobody in.
public struct ControlGate: Sendable {
    private let token: Secret?
    private let requests: @Sendable (_ result: String) -> Counter

    /// - Parameters:
    ///   - token: what whoever gives orders must know; nil refuses everything.
    ///   - metrics: counts `control_requests_total` by result.
    public init(token: Secret?, metrics: MetricsRegistry) {
        self.token = token
        requests = { result in
            metrics.counter(
                "control_requests_total", "Requests to control this process, by what became of them.",
                labels: ["result": result])
        }
    }

    /// Why the request may not pass; nil when it may.
    public func refusal(of request: StatusRequest) -> StatusResponse? {
        let refusal = judge(request)
        requests(refusal?.error ?? "passed").increment()
        return refusal.map { .refusal($0.status, $0.error, $0.message) }
    }

    private func judge(_ request: StatusRequest) -> (status: Int, error: String, message: String)? {
        guard request.isLocal else {
            return (403, "not_local", "orders are taken from this host only: run the command where the process runs")
        }
        guard let token else {
            return (
                403, "no_token_configured",
                "no orders are taken: set CONTROL_TOKEN, or CONTROL_TOKEN_FILE to a file that holds the token"
            )
        }
        guard let offered = Self.bearer(request.headers["authorization"]) else {
            return (401, "no_token", "an order needs the header Authorization: Bearer <the value of CONTROL_TOKEN>")
        }
        guard token.matches(offered) else {
            return (401, "wrong_token", "this is not the token that CONTROL_TOKEN holds")
        }
        return nil
    }

    private static func bearer(_ header: String?) -> String? {
        guard let header, header.lowercased().hasPrefix("bearer ") else { return nil }
        let offered = header.dropFirst(7).drop { $0 == " " }
        return offered.isEmpty ? nil : String(offered)
    }
}

extension StatusRoute {
    /// An order, which passes the gate or is answered by it.
    public static func control(
        _ path: String, _ gate: ControlGate,
        handle: @escaping @Sendable (StatusRequest) async throws -> StatusResponse
    ) -> StatusRoute {
        StatusRoute(.post, path) { request in
            if let refusal = gate.refusal(of: request) { return refusal }
            return try await handle(request)
        }
    }
}

extension StatusResponse {
    private struct Refusal: Encodable {
        let error: String
        let message: String
    }

    /// A refusal as JSON: a code for programs and a sentence for people.
    public static func refusal(_ status: Int, _ error: String, _ message: String) -> StatusResponse {
        .json(Refusal(error: error, message: message), status: status)
    }
}
