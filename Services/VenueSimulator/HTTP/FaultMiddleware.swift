import Hummingbird
import NIOCore

/// Counts requests and answers, and does to them what was asked for under `/control/faults`.
struct FaultMiddleware: RouterMiddleware {
    typealias Context = VenueRequestContext

    let simulator: Simulator

    func handle(
        _ request: Request, context: VenueRequestContext,
        next: (Request, VenueRequestContext) async throws -> Response
    ) async throws -> Response {
        let path = request.uri.path
        if path.hasPrefix("/control") { return try await next(request, context) }
        let subject = "\(request.method.rawValue) \(path)"
        let isOrder = request.method == .post && path.hasSuffix("/portfolio/events/orders")
        simulator.state.withLockedValue { $0.countRequest("\(request.method.rawValue) \(Self.generic(path))") }
        if strike(.reset, subject) != nil { return try await cut(context) }
        if strike(.hang, subject) != nil {
            // Until the client gives up, bounded by a minute.
            try await simulator.clock.sleep(for: .seconds(60))
            return try await cut(context)
        }
        if let slow = strike(.slowHTTP, subject) {
            try await simulator.clock.sleep(for: .milliseconds(slow.delayMs ?? 200))
        }
        if path.hasSuffix("/scoreboard"), strike(.scoreFeedDown, subject) != nil {
            return answer(VenueReply(status: 503, body: ["code": 503, "message": "Service Unavailable"]))
        }
        if isOrder, strike(.refuse, subject) != nil {
            simulator.state.withLockedValue { $0.countRefusal(.exchangeUnavailable) }
            return answer(.refused(OrderRefusal(.exchangeUnavailable)))
        }
        if let limit = strike(.rateLimit, subject) {
            var answer = answer(VenueReply(status: 429, body: ["error": "too many requests"]))
            if let delay = limit.delayMs { answer.headers[ReplayHeader.retryAfter] = "\((delay + 999) / 1_000)" }
            return answer
        }
        if strike(.wrongStatus, subject) != nil {
            return answer(.ok(KalshiBodies.error("internal_error", "internal error")))
        }
        var response = try await next(request, context)
        if let spoil = strike(.spoil, subject), let field = spoil.field, let value = spoil.value {
            response = try await Spoiling.spoil(response, field, value)
        }
        if isOrder, strike(.lostAcknowledgement, subject) != nil { return try await cut(context) }
        simulator.state.withLockedValue { $0.countAnswer(response.status.code) }
        return response
    }

    private func strike(_ kind: FaultKind, _ subject: String) -> FaultOrder? {
        simulator.state.withLockedValue { $0.faults.strike(kind, subject, at: $0.venueTime) }
    }

    private func answer(_ reply: VenueReply) -> Response {
        simulator.answer { state in
            state.countAnswer(reply.status)
            return reply
        }
    }

    /// Closes the connection; the response that follows goes nowhere.
    private func cut(_ context: VenueRequestContext) async throws -> Response {
        try? await context.channel.close()  // closed by the client already is as good
        return Response(status: .internalServerError)
    }

    /// The path with tickers and ids left out, so that it can be counted by.
    static func generic(_ path: String) -> String {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true).map(String.init)
        let names: Set<String> = ["markets", "events", "orders"]
        var result: [String] = []
        for (index, part) in parts.enumerated() {
            let follows = index > 0 && names.contains(parts[index - 1]) && part != "orders" && part != "batched"
            result.append(follows ? ":id" : part)
        }
        return "/" + result.joined(separator: "/")
    }
}
