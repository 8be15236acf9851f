/// Turns an answer that is not what was asked for into a `VenueError` (WIRE 1.7).
///
/// Error bodies come in three shapes: `{"error":{"code","message",…}}`, the flat `{"code","message",…}` and
/// `{"error":"text"}`; a body may also be HTML, or an error under a status of success.
enum KalshiErrors {
    /// Nil when the answer is a success.
    static func refusal(in response: VenueResponse) -> VenueError? {
        let body = try? JSONValue(response.body)  // an unreadable body is judged by its status below
        let told = body.flatMap(read)
        if (200..<300).contains(response.status) {
            // One recorded endpoint answered its refusal with a 2xx and no order.
            guard let told, body?["order_id"] == nil, body?["order"] == nil else { return nil }
            return make(response, told, isReadable: true)
        }
        return make(response, told ?? ("", ""), isReadable: told != nil)
    }

    /// The venue's code and message, when the body is an error at all.
    private static func read(_ body: JSONValue) -> (code: String, message: String)? {
        if let inner = body["error"] {
            if let text = inner.text { return ("", text) }
            guard case .object = inner else { return nil }
            return (inner["code"]?.text ?? "", message(inner))
        }
        guard let code = body["code"]?.text, !code.isEmpty else { return nil }
        return (code, message(body))
    }

    private static func message(_ body: JSONValue) -> String {
        [body["message"]?.text, body["details"]?.text].compactMap { $0 }.joined(separator: ": ")
    }

    private static let codes: [String: VenueError.Code] = [
        "invalid_order": .invalidOrder,
        "invalid_price": .invalidPrice,
        "invalid_parameters": .invalidRequest,
        "bad_request": .invalidRequest,
        "insufficient_balance": .insufficientBalance,
        "deprecated_v1_order_endpoint": .deprecatedEndpoint,
        "authentication_error": .authentication,
        "market_not_found": .marketNotFound,
        "market_inactive": .marketInactive,
        "market_closed": .marketInactive,
        "market_not_active": .marketInactive,
        "trading_is_paused": .exchangePaused,
        "exchange_is_paused": .exchangePaused,
        "order_already_exists": .duplicateOrder,
        "fill_or_kill_insufficient_resting_volume": .fillOrKillUnfilled,
        "not_found": .notFound,
        "too_many_requests": .rateLimited,
    ]

    private static func make(
        _ response: VenueResponse, _ told: (code: String, message: String), isReadable: Bool
    ) -> VenueError {
        let status = response.status
        let code = codes[told.code.lowercased()] ?? byStatus(status)
        return VenueError(
            code, status: status, detail: told.code, message: told.message,
            provesNonAcceptance: isReadable && isExplicit(status, code), retryAfter: response.retryAfter)
    }

    private static func byStatus(_ status: Int) -> VenueError.Code {
        switch status {
        case 400: .invalidRequest
        case 401: .authentication
        case 403: .forbidden
        case 404: .notFound
        case 408: .timeout
        case 409: .conflict
        case 410: .deprecatedEndpoint
        case 429: .rateLimited
        case 200..<500: .unexpectedStatus
        default: .serverError
        }
    }

    /// Whether an order that got this answer was certainly not taken: the venue says so itself, and does not say that
    /// it has it already or that it cannot tell.
    private static func isExplicit(_ status: Int, _ code: VenueError.Code) -> Bool {
        switch status {
        case 408, 425, 499: return false
        // A conflict may be with the order itself; only a named refusal is one.
        case 409:
            return [.fillOrKillUnfilled, .insufficientBalance, .invalidOrder, .invalidPrice, .marketInactive]
                .contains(code)
        case 400..<500: return code != .duplicateOrder
        case 200..<300: return code != .duplicateOrder && code != .unexpectedStatus
        default: return false
        }
    }
}
