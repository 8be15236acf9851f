import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Runtime

/// A place that alerts are sent to beside the file.
struct AlertSink: Hashable, Sendable {
    enum Shape: Sendable {
        case slack
        case plain
    }

    let name: String
    let address: Secret
    let shape: Shape

    func body(_ message: AlertMessage) throws -> Data {
        switch shape {
        case .slack: try AlertJSON.encoder.encode(SlackBody(message))
        case .plain: try WebhookBody.bytes(message)
        }
    }
}

/// What an HTTP answer means; pure, so that every row of the table in docs/ALERTS.md is a test.
enum AnswerTable {
    /// What `sink` means by a status, its Retry-After header as it came, and the beginning of its body.
    static func judge(status: UInt, retryAfter: String?, body: String, from sink: AlertSink) -> SinkAnswer {
        let said = reason(body)
        let isPage = body.drop { $0.isWhitespace }.hasPrefix("<")
        let asked = retryAfter.flatMap { Double($0.filter { !$0.isWhitespace }) }
            .flatMap { $0.isFinite && $0 >= 0 ? Duration.milliseconds(Int64(min($0, 86_400) * 1_000)) : nil }
        func error(_ code: AlertError.Code, _ more: String = "") -> AlertError {
            AlertError(code, "\(sink.name) answered \(status)\(said.map { " \($0)" } ?? "")\(more)")
        }
        switch status {
        case 429: return .later(error(.throttled), after: asked ?? .seconds(1))
        case 408, 425, 500...: return .later(error(.unavailable), after: asked)
        case _ where isPage: return .later(error(.foreign, " with a page that is not its own"), after: nil)
        case 200..<300 where sink.shape == .slack && said != "ok":
            return .later(error(.foreign, " but not \"ok\""), after: nil)
        case 200..<300: return .delivered
        case 300..<400: return .refused(error(.sinkRefused, ": it has moved"))
        case 401, 403, 404, 405, 410: return .refused(error(.sinkRefused))
        default: return .refused(error(.messageRefused))
        }
    }

    /// Slack says why in one word, such as `no_service`; anything else is not repeated, it could hold the address.
    private static func reason(_ body: String) -> String? {
        let word = body.trimmingCharacters(in: .whitespacesAndNewlines)
        let isWord = word.utf8.allSatisfy { $0 == 0x5F || (0x61...0x7A).contains($0) }
        return isWord && !word.isEmpty && word.utf8.count <= 64 ? word : nil
    }
}

/// Sends to webhooks: bounded in time, every failure classified, no address in any message.
final class AlertHTTP: Sendable {
    private let client: HTTPClient
    private let clock: MachineClock

    init(clock: MachineClock) {
        var configuration = HTTPClient.Configuration()
        configuration.timeout.connect = .seconds(2)
        configuration.redirectConfiguration = .disallow
        // Trying again is the engine's decision.
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        client = HTTPClient(
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton), configuration: configuration)
        self.clock = clock
    }

    deinit {
        // A client that is dropped without this traps.
        client.shutdown { _ in }
    }

    func send(_ message: AlertMessage, to sink: AlertSink, timeout: Duration) async -> SinkAnswer {
        let body: Data
        do {
            body = try sink.body(message)
        } catch {
            return .refused(AlertError(.messageRefused, "the message for \(sink.name) cannot be encoded"))
        }
        var request = HTTPClientRequest(url: sink.address.value)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json; charset=utf-8")
        request.headers.add(name: "User-Agent", value: "linesman")
        request.headers.add(name: "Idempotency-Key", value: message.id)
        request.body = .bytes(ByteBuffer(bytes: body))
        do {
            let (status, retryAfter, text) = try await exchange(request, within: timeout)
            return AnswerTable.judge(status: status, retryAfter: retryAfter, body: text, from: sink)
        } catch {
            return .later(Self.classify(error, sink.name), after: nil)
        }
    }

    /// Calls an address and says what went wrong; nil when it answered with 2xx.
    func call(_ address: Secret, name: String, timeout: Duration) async -> AlertError? {
        var request = HTTPClientRequest(url: address.value)
        request.method = .GET
        request.headers.add(name: "User-Agent", value: "linesman")
        do {
            let (status, _, _) = try await exchange(request, within: timeout)
            return (200..<300).contains(status) ? nil : AlertError(.unavailable, "\(name) answered \(status)")
        } catch {
            return Self.classify(error, name)
        }
    }

    /// The status, what the sink asks for, and the beginning of what it says.
    private func exchange(
        _ request: HTTPClientRequest, within timeout: Duration
    ) async throws -> (status: UInt, retryAfter: String?, text: String) {
        try await withDeadline(timeout, clock: clock) { [client] in
            let answer = try await client.execute(request, timeout: .nanoseconds(timeout.wholeNanoseconds))
            var text = ""
            for try await part in answer.body {
                text += String(buffer: part)
                if text.utf8.count >= 1_024 { break }
            }
            return (answer.status.code, answer.headers.first(name: "Retry-After"), text)
        }
    }

    /// Errors of the HTTP client are not repeated: they may name the address.
    private static func classify(_ error: any Error, _ name: String) -> AlertError {
        switch error {
        case is DeadlineExceeded: AlertError(.timeout, "\(name) does not answer in time")
        case let error as HTTPClientError where error == .deadlineExceeded || error == .readTimeout:
            AlertError(.timeout, "\(name) does not answer in time")
        case let error as HTTPClientError where error == .invalidURL || error == .emptyHost:
            AlertError(.unreachable, "the address of \(name) is not one")
        default: AlertError(.unreachable, "\(name) cannot be reached")
        }
    }
}
