import Foundation
import Hummingbird
import Logging
import NIOConcurrencyHelpers
import NIOCore
import Resilience
import Runtime

@testable import Alerting

/// A local server with the manners of Slack's incoming webhooks: refuses bad blocks, texts that are too long, and more
/// than one message a second; and misbehaves as the test says.
final class FakeSlack: Sendable {
    struct Arrival: Sendable {
        let path: String
        let at: MachineInstant
        let body: Data
        /// What it was answered.
        let status: Int

        var json: [String: Any] {
            (try? JSONSerialization.jsonObject(with: body) as? [String: Any]) ?? [:]
        }
        /// Everything that a person would read.
        var text: String {
            ([json["text"] as? String].compactMap(\.self) + SlackRules.texts(of: json)).joined(separator: "\n")
        }
    }

    enum Manner: Sendable {
        case slack
        /// Takes any JSON at any rate.
        case webhook
        case status(Int, String, retryAfter: String? = nil)
        /// Takes the request and never answers.
        case hang
    }

    private struct State {
        var arrivals: [Arrival] = []
        var manner: @Sendable (Int) -> Manner
        var lastAccepted: MachineInstant?
    }

    private let state: NIOLockedValueBox<State>
    let port: Int

    /// Everything that came, in order.
    var arrivals: [Arrival] { state.withLockedValue { $0.arrivals } }
    var accepted: [Arrival] { arrivals.filter { $0.status == 200 } }

    func behave(_ manner: @escaping @Sendable (Int) -> Manner) { state.withLockedValue { $0.manner = manner } }

    private init(state: NIOLockedValueBox<State>, port: Int) {
        self.state = state
        self.port = port
    }

    /// Serves while `body` runs; `manner` is asked for each request by its number, from 0.
    static func serve<R: Sendable>(
        _ manner: @escaping @Sendable (Int) -> Manner, _ body: @escaping @Sendable (FakeSlack) async throws -> R
    ) async throws -> R {
        let state = NIOLockedValueBox(State(manner: manner))
        let started = Promise<Int>()
        let responder = CallbackResponder { (request: Request, _: BasicRequestContext) in
            var buffer = try await request.body.collect(upTo: 4 << 20)
            let data = Data(buffer.readBytes(length: buffer.readableBytes) ?? [])
            return try await answer(request.uri.path, data, state)
        }
        let application = Application(
            responder: responder, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in started.fulfil(channel.localAddress?.port ?? 0) },
            logger: Logger(label: "fake-slack") { _ in SwiftLogNoOpLogHandler() })
        return try await withThrowingTaskGroup(of: R?.self) { tasks in
            tasks.addTask {
                try await application.run()
                return nil
            }
            tasks.addTask { try await body(FakeSlack(state: state, port: await started.value())) }
            defer { tasks.cancelAll() }
            while let result = try await tasks.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    private static func answer(
        _ path: String, _ body: Data, _ state: NIOLockedValueBox<State>
    ) async throws -> Response {
        let now = MachineClock.real.now
        let (status, text, retryAfter): (Int, String, String?) = state.withLockedValue { state in
            let manner = state.manner(state.arrivals.count)
            let verdict = judge(manner, body, now, &state)
            state.arrivals.append(Arrival(path: path, at: now, body: body, status: verdict.0))
            return verdict
        }
        // A client that gives up cancels this.
        if status == 0 { try await MachineClock.real.sleep(for: .seconds(60)) }
        var headers = HTTPFields()
        if let retryAfter { headers[.retryAfter] = retryAfter }
        return Response(
            status: .init(code: status), headers: headers, body: .init(byteBuffer: ByteBuffer(string: text)))
    }

    private static func judge(
        _ manner: Manner, _ body: Data, _ now: MachineInstant, _ state: inout State
    ) -> (Int, String, String?) {
        switch manner {
        case .status(let status, let text, let retryAfter): return (status, text, retryAfter)
        case .hang: return (0, "", nil)
        case .webhook: return (200, "taken", nil)
        case .slack:
            guard let json = try? JSONSerialization.jsonObject(with: body) as? [String: Any] else {
                return (400, "invalid_payload", nil)
            }
            if let problem = SlackRules.problem(of: json) { return (400, problem, nil) }
            if let last = state.lastAccepted, last.duration(to: now) < .seconds(1) {
                return (429, "rate_limited", "1")
            }
            state.lastAccepted = now
            return (200, "ok", nil)
        }
    }
}
