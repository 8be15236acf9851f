import Foundation
import Hummingbird
import Logging
import NIOCore
import Resilience

/// A request to the status server, without the HTTP library's types.
public struct StatusRequest: Sendable {
    public let path: String
    public let query: [String: String]
    /// Names in lower case.
    public let headers: [String: String]
    public let body: [UInt8]
    /// Whether it comes from this host.
    public let isLocal: Bool

    public init(
        path: String, query: [String: String] = [:], headers: [String: String] = [:], body: [UInt8] = [],
        isLocal: Bool = true
    ) {
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.isLocal = isLocal
    }
}

public struct StatusResponse: Sendable {
    public var status: Int
    public var contentType: String
    public var body: String

    public init(status: Int = 200, contentType: String = "text/plain; charset=utf-8", body: String) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    public static func json(_ value: some Encodable, status: Int = 200) -> StatusResponse {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            let body = String(decoding: try encoder.encode(value), as: UTF8.self)
            return StatusResponse(status: status, contentType: "application/json", body: body)
        } catch {
            return StatusResponse(status: 500, body: "cannot be encoded: \(error)")
        }
    }
}

/// One route besides the standard ones.
public struct StatusRoute: Sendable {
    public enum Method: String, Sendable { case get = "GET", post = "POST" }

    public let method: Method
    public let path: String
    let handle: @Sendable (StatusRequest) async throws -> StatusResponse

    /// - `path`: from the root, for example `/kill-switch`.
    public init(
        _ method: Method, _ path: String, handle: @escaping @Sendable (StatusRequest) async throws -> StatusResponse
    ) {
        self.method = method
        self.path = path
        self.handle = handle
    }
}

/// What the status server shows; each is asked anew for every request.
public struct StatusRoutes: Sendable {
    /// Whether the process works at all (`/healthz`).
    public var isLive: @Sendable () async -> Bool
    /// Whether it may be used (`/readyz`), with every check by name.
    public var checks: @Sendable () async -> [String: Bool]
    /// The Prometheus text (`/metrics`).
    public var metrics: @Sendable () async -> String
    /// Anything encodable (`/status`).
    public var status: @Sendable () async -> any Encodable & Sendable
    public var more: [StatusRoute]

    public init(
        isLive: @escaping @Sendable () async -> Bool = { true },
        checks: @escaping @Sendable () async -> [String: Bool],
        metrics: @escaping @Sendable () async -> String,
        status: @escaping @Sendable () async -> any Encodable & Sendable,
        more: [StatusRoute] = []
    ) {
        self.isLive = isLive
        self.checks = checks
        self.metrics = metrics
        self.status = status
        self.more = more
    }
}

/// The HTTP side of a process: `/healthz`, `/readyz`, `/metrics`, `/status` and its own routes; on loopback by default.
public final class StatusServer: Sendable {
    /// The largest body of a request, in bytes.
    public static let bodyLimit = 64 * 1024

    private let host: String
    private let port: Int
    private let routes: StatusRoutes
    private let log: Logger
    private let bound = Promise<Int>()

    /// - `port`: 0 for a free one.
    public init(host: String = "127.0.0.1", port: Int, routes: StatusRoutes, log: Logger) {
        self.host = host
        self.port = port
        self.routes = routes
        self.log = log
    }

    /// The port it listens on; waits until it does.
    public func boundPort() async -> Int { await bound.value() }

    /// The port if it already listens.
    public var currentPort: Int? { bound.current }

    /// Serves until cancelled.
    public func run() async throws {
        var quiet = log
        // The library reports its own cancellation as an error; what goes wrong in serving is thrown by `run`.
        quiet.logLevel = .critical
        let application = Application(
            router: makeRouter(),
            configuration: ApplicationConfiguration(address: .hostname(host, port: port), serverName: nil),
            onServerRunning: { [bound, log, host] channel in
                let port = channel.localAddress?.port ?? 0
                bound.fulfil(port)
                log.info("status server listens", metadata: [Key.address: "\(host)", Key.port: "\(port)"])
            }, logger: quiet)
        try await application.run()
    }

    private func makeRouter() -> Router<StatusContext> {
        let router = Router(context: StatusContext.self)
        let routes = routes
        router.add(middleware: OtherMethods(routes.methods))
        router.get("/healthz") { _, _ in
            let isLive = await routes.isLive()
            return Self.response(StatusResponse(status: isLive ? 200 : 503, body: isLive ? "ok\n" : "not live\n"))
        }
        router.get("/readyz") { _, _ in
            let checks = await routes.checks()
            return Self.response(.json(checks, status: checks.values.allSatisfy { $0 } ? 200 : 503))
        }
        router.get("/metrics") { _, _ in
            let text = await routes.metrics()
            return Self.response(
                StatusResponse(contentType: "text/plain; version=0.0.4; charset=utf-8", body: text))
        }
        router.get("/status") { _, _ in
            Self.response(.json(await routes.status()))
        }
        for route in routes.more {
            router.on(RouterPath(route.path), method: route.method == .get ? .get : .post) { request, context in
                let body = try await request.body.collect(upTo: Self.bodyLimit)
                var query: [String: String] = [:]
                for (name, value) in request.uri.queryParameters { query[String(name)] = String(value) }
                var headers: [String: String] = [:]
                for field in request.headers { headers[field.name.canonicalName] = field.value }
                let asked = StatusRequest(
                    path: request.uri.path, query: query, headers: headers, body: Array(body.readableBytesView),
                    isLocal: context.isLocal)
                return Self.response(try await route.handle(asked))
            }
        }
        return router
    }

    private static func response(_ response: StatusResponse) -> Response {
        var made = Response(
            status: .init(code: response.status), headers: [.contentType: response.contentType],
            body: ResponseBody(byteBuffer: ByteBuffer(string: response.body)))
        if response.status == 401 { made.headers[.wwwAuthenticate] = "Bearer" }
        return made
    }
}

extension StatusRoutes {
    /// What may be asked of each path.
    fileprivate var methods: [String: Set<String>] {
        var methods: [String: Set<String>] = [:]
        for path in ["/healthz", "/readyz", "/metrics", "/status"] { methods[path] = ["GET"] }
        for route in more { methods[route.path, default: []].insert(route.method.rawValue) }
        return methods
    }
}

/// A request with where it comes from.
private struct StatusContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let isLocal: Bool

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        isLocal = source.channel.remoteAddress?.isLoopback ?? false
    }
}

extension SocketAddress {
    /// 127.0.0.0/8 and ::1, also where IPv4 is written as IPv6.
    fileprivate var isLoopback: Bool {
        guard let ip = ipAddress?.lowercased() else { return false }
        let plain = ip.hasPrefix("::ffff:") ? String(ip.dropFirst(7)) : ip
        return plain == "::1" || plain.hasPrefix("127.")
    }
}

/// Answers 405 where a path is known and the method is not; a path that nobody knows is a 404.
private struct OtherMethods: RouterMiddleware {
    let methods: [String: Set<String>]

    init(_ methods: [String: Set<String>]) { self.methods = methods }

    func handle(
        _ request: Request, context: StatusContext, next: (Request, StatusContext) async throws -> Response
    ) async throws -> Response {
        guard let known = methods[request.uri.path], !known.contains(request.method.rawValue) else {
            return try await next(request, context)
        }
        let allowed = known.sorted().joined(separator: ", ")
        return Response(
            status: .methodNotAllowed, headers: [.allow: allowed],
            body: ResponseBody(byteBuffer: ByteBuffer(string: "only \(allowed)\n")))
    }
}
