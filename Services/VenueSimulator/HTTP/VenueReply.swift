import Domain
import Hummingbird
import NIOCore

/// An answer: a status, a JSON body, and the venue time it was true at.
struct VenueReply: Sendable {
    let status: Int
    let body: JSONText

    static func ok(_ body: JSONText) -> VenueReply { VenueReply(status: 200, body: body) }

    static func refused(_ refusal: OrderRefusal) -> VenueReply {
        VenueReply(
            status: refusal.status,
            body: KalshiBodies.error(
                refusal.code.rawValue, refusal.message, details: refusal.details, service: "exchange"))
    }

    static func notFound() -> VenueReply {
        VenueReply(status: 404, body: KalshiBodies.error("not_found", "not found"))
    }

    static func badRequest(_ details: String) -> VenueReply {
        VenueReply(status: 400, body: KalshiBodies.error("bad_request", "bad request", details: details))
    }

    func response(at venueTime: VenueInstant) -> Response {
        Response(
            status: .init(code: status),
            headers: [.contentType: "application/json", ReplayHeader.venueTime: "\(venueTime.microseconds)"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: body.text)))
    }
}

/// The headers that only a replay has.
enum ReplayHeader {
    /// Microseconds since 1970: how clients of a replay learn what time it is there.
    static let venueTime = name("X-Venue-Time")
    /// A scoreboard reader that wants the replay to wait for it names itself.
    static let replayReader = name("X-Replay-Reader")
    /// The venue time, microseconds since 1970, of the newest step that this reader has worked off.
    static let replayHandled = name("X-Replay-Handled")

    /// A venue's own, for `rateLimit`.
    static let retryAfter = name("Retry-After")

    private static func name(_ text: String) -> HTTPFields.Element.Name {
        guard let name = HTTPFields.Element.Name(text) else { preconditionFailure("\(text) is not a header name") }
        return name
    }
}

/// A request's context: the connection too, so that a fault can cut it.
struct VenueRequestContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }
}

/// Query parameters of one request.
struct Query: Sendable {
    private let values: [String: String]

    init(_ request: Request) {
        var values: [String: String] = [:]
        for (name, value) in request.uri.queryParameters { values[String(name)] = String(value) }
        self.values = values
    }

    /// Nil when absent or empty.
    subscript(_ name: String) -> String? { values[name].flatMap { $0.isEmpty ? nil : $0 } }

    func list(_ name: String) -> Set<String>? {
        self[name].map { Set($0.split(separator: ",").map(String.init)) }
    }

    /// - Returns: nil when the value is not a number in the range.
    func integer(_ name: String, default standard: Int, in range: ClosedRange<Int>) -> Int? {
        guard let text = self[name] else { return standard }
        return Int(text).flatMap { range.contains($0) ? $0 : nil }
    }

    /// One page of items, and the cursor of the next: `offset-N`, empty at the end.
    func page<Item>(_ items: [Item], limit standard: Int) -> (items: ArraySlice<Item>, cursor: String)? {
        guard let limit = integer("limit", default: standard, in: 1...1_000) else { return nil }
        var start = 0
        if let cursor = self["cursor"] {
            guard cursor.hasPrefix("offset-"), let offset = Int(cursor.dropFirst(7)), offset >= 0 else { return nil }
            start = min(offset, items.count)
        }
        let end = min(start + limit, items.count)
        return (items[start..<end], end < items.count ? "offset-\(end)" : "")
    }
}
