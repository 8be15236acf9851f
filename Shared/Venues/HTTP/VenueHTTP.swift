import AsyncHTTPClient
import Domain
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Resilience
import Runtime

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// How long a venue may take, and how much it may say (DESIGN section 7).
public struct VenueHTTPLimits: Hashable, Sendable {
    public let connectTimeout: Duration
    public let requestTimeout: Duration
    public let bodyBytes: Int
    public let connectionsPerHost: Int

    public init(
        connectTimeout: Duration = .seconds(2), requestTimeout: Duration = .seconds(5), bodyBytes: Int = 8 << 20,
        connectionsPerHost: Int = 8
    ) {
        self.connectTimeout = connectTimeout
        self.requestTimeout = requestTimeout
        self.bodyBytes = bodyBytes
        self.connectionsPerHost = connectionsPerHost
    }
}

/// An answer, whatever its status.
public struct VenueResponse: Hashable, Sendable {
    public let status: Int
    public let body: [UInt8]
    /// What the answer said of venue time; only a replay does.
    public let venueTime: VenueInstant?
    /// When the server made it, in seconds since 1970; nil when it did not say so, or a cache answered in its place.
    public let date: Int64?
    /// How long the venue asked to be left alone, as `Retry-After` says.
    public let retryAfter: Duration?

    public init(
        status: Int, body: [UInt8], venueTime: VenueInstant? = nil, date: Int64? = nil, retryAfter: Duration? = nil
    ) {
        self.status = status
        self.body = body
        self.venueTime = venueTime
        self.date = date
        self.retryAfter = retryAfter
    }
}

/// One HTTP client for all venues of a process: bounded in time and size, every failure classified.
public final class VenueHTTP: Sendable {
    /// Addresses that are posted to and kept taken apart: an order's is always the same.
    private static let keptAddresses = 16

    private let client: HTTPClient
    /// Where every connection is: a request is handed over as a whole, once, and everything else happens there.
    private let loop: any EventLoop
    private let limits: VenueHTTPLimits
    private let time: VenueTime
    private let addresses = NIOLockedValueBox<[String: HTTPClient.Request]>([:])

    public init(
        limits: VenueHTTPLimits = VenueHTTPLimits(), time: VenueTime,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        var configuration = HTTPClient.Configuration()
        // Nobody collects spans, and each would take the address apart first.
        configuration.tracing.tracer = nil
        configuration.timeout.connect = TimeAmount(limits.connectTimeout)
        configuration.redirectConfiguration = .disallow
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = limits.connectionsPerHost
        // Trying again is decided by whoever knows what was asked.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        loop = group.next()
        // A client of many loops that is told which one to use opens a connection for each request.
        client = HTTPClient(eventLoopGroupProvider: .shared(loop), configuration: configuration)
        self.limits = limits
        self.time = time
    }

    deinit {
        // A client that is dropped without this traps; one that was shut down only reports that it was.
        client.shutdown { _ in }
    }

    /// Ends every connection; nothing may be sent afterwards.
    public func shutdown() async {
        try? await client.shutdown()  // nothing is left to do when it was shut down before
    }

    /// Sends once and reads the whole answer; `timeout` only shortens the request time-out.
    ///
    /// Throws when there was no whole answer; a status other than 200 is an answer.
    ///
    /// Where there is a body, `lastLook` is asked on the connection's loop when the connection is there and nothing of
    /// the body is written. If it says no, nothing of it is, and the error is `withheld`. The request's line and its
    /// headers may have left by then: they promise a body that never comes, so no server ever has a whole request; and
    /// the client closes that connection, so nothing later can be taken for the rest of it.
    public func send(
        _ method: String, _ url: String, headers: [(String, String)] = [], body: [UInt8]? = nil,
        timeout: Duration? = nil, lastLook: LastLook = .none
    ) async throws(VenueError) -> VenueResponse {
        let bound = min(timeout ?? limits.requestTimeout, limits.requestTimeout)
        guard bound > .zero else { throw VenueError(.timeout, message: "no time was left to send it") }
        let response: VenueResponse
        do {
            var request = try request(method, url)
            request.headers.add(name: "Accept", value: "application/json")
            request.headers.add(name: "User-Agent", value: "linesman")
            for (name, value) in headers { request.headers.add(name: name, value: value) }
            if let body {
                request.headers.add(name: "Content-Type", value: "application/json")
                request.body = withholding(ByteBuffer(bytes: body), lastLook)
            }
            let answer = try await execute(request, within: bound)
            response = VenueResponse(
                status: Int(answer.status.code), body: answer.body.map { Array($0.readableBytesView) } ?? [],
                venueTime: Self.venueTime(answer.headers), date: Self.date(answer.headers),
                retryAfter: answer.headers.first(name: "Retry-After").flatMap { text in
                    RetryAfter.read(text, date: answer.headers.first(name: "Date"), now: time.now)
                })
        } catch {
            throw Self.classify(error)
        }
        if let shown = response.venueTime { time.observe(shown) }
        return response
    }

    /// A body that is asked for when the connection is there.
    private func withholding(_ bytes: ByteBuffer, _ lastLook: LastLook) -> HTTPClient.Body {
        .stream(contentLength: Int64(bytes.readableBytes)) { [loop] writer in
            if let reason = lastLook.refusal() {
                return loop.makeFailedFuture(
                    VenueError(
                        .withheld, detail: reason, message: "nothing of it was written", provesNonAcceptance: true))
            }
            return writer.write(.byteBuffer(bytes))
        }
    }

    private func request(_ method: String, _ url: String) throws -> HTTPClient.Request {
        if method == "POST", let kept = addresses.withLockedValue({ $0[url] }) { return kept }
        let request = try HTTPClient.Request(url: url, method: HTTPMethod(rawValue: method))
        if method == "POST" {
            addresses.withLockedValue { addresses in
                if addresses.count >= Self.keptAddresses { addresses.removeAll() }
                addresses[url] = request
            }
        }
        return request
    }

    /// The time-out covers the whole of it, and is kept by the connection's loop: no timer of our own is set and taken
    /// back for each request.
    private func execute(_ request: HTTPClient.Request, within bound: Duration) async throws -> HTTPClient.Response {
        let exchange = Exchange()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                loop.execute { [client, loop, limits] in
                    guard !exchange.isCancelled else { return continuation.resume(throwing: CancellationError()) }
                    let task = client.execute(
                        request: request,
                        delegate: ResponseAccumulator(request: request, maxBodySize: limits.bodyBytes),
                        eventLoop: .delegate(on: loop), deadline: .now() + TimeAmount(bound))
                    exchange.began(task)
                    task.futureResult.whenComplete { continuation.resume(with: $0) }
                }
            }
        } onCancel: {
            exchange.cancel()
        }
    }

    private static func venueTime(_ headers: HTTPHeaders) -> VenueInstant? {
        guard let text = headers.first(name: "X-Venue-Time"), let microseconds = Int64(text) else { return nil }
        return try? VenueInstant(microseconds: microseconds)  // a header that makes no sense is none
    }

    private static func date(_ headers: HTTPHeaders) -> Int64? {
        guard headers.first(name: "Age") == nil else { return nil }
        return headers.first(name: "Date").flatMap(HTTPDate.seconds)
    }

    static func classify(_ error: any Error) -> VenueError {
        switch error {
        case let error as VenueError: return error
        case is DeadlineExceeded: return VenueError(.timeout, message: "no whole answer in time")
        case is CancellationError: return VenueError(.cancelled)
        case is ResponseAccumulator.ResponseTooBigError: return VenueError(.bodyTooLarge)
        case let error as HTTPClientError:
            switch error {
            case .deadlineExceeded, .readTimeout, .writeTimeout, .getConnectionFromPoolTimeout:
                return VenueError(.timeout, message: error.shortDescription)
            case .connectTimeout, .tlsHandshakeTimeout, .socksHandshakeTimeout, .httpProxyHandshakeTimeout:
                return VenueError(.connectionFailed, message: error.shortDescription)
            case .cancelled: return VenueError(.cancelled)
            default: return VenueError(.connectionReset, message: error.shortDescription)
            }
        case is NIOConnectionError, is ChannelError, is NIOSSLError:
            return VenueError(.connectionFailed, message: "\(error)")
        case let error as IOError:
            return VenueError(
                error.errnoCode == ECONNREFUSED ? .connectionFailed : .connectionReset, message: "\(error)")
        default:
            return VenueError(.connectionReset, message: "\(error)")
        }
    }
}

/// A request that may be cancelled, also before it has begun.
private final class Exchange: Sendable {
    private struct State {
        var isCancelled = false
        var task: HTTPClient.Task<HTTPClient.Response>?
    }

    private let state = NIOLockedValueBox(State())

    var isCancelled: Bool { state.withLockedValue { $0.isCancelled } }

    func began(_ task: HTTPClient.Task<HTTPClient.Response>) {
        let isCancelled = state.withLockedValue { state in
            state.task = task
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    func cancel() {
        let task = state.withLockedValue { state in
            state.isCancelled = true
            return state.task
        }
        task?.cancel()
    }
}

extension TimeAmount {
    init(_ duration: Duration) { self = .nanoseconds(duration.wholeNanoseconds) }
}
