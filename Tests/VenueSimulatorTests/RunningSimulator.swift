import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Recording
import Runtime
import Testing

@testable import VenueSimulator

/// A simulator on free loopback ports, for the length of one test.
struct RunningSimulator: Sendable {
    let simulator: Simulator
    let http: Int
    let webSocket: Int

    struct NotListening: Error {}

    static func with<Value: Sendable>(
        _ settings: [String: String] = [:], recording: Recording? = nil,
        _ body: @escaping @Sendable (RunningSimulator) async throws -> Value
    ) async throws -> Value {
        var log = Logger(label: "simulator")
        log.logLevel = .error
        let simulator = Simulator(
            recording: try recording ?? Fixture.recording(), settings: Fixture.settings(settings), clock: .real,
            log: log)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await simulator.serveHTTP() }
            group.addTask { try await simulator.serveWebSocket() }
            group.addTask { try await simulator.play() }
            group.addTask { try await simulator.ping() }
            defer { group.cancelAll() }
            try await eventually { simulator.httpPort != nil && simulator.webSocketPort != nil }
            guard let http = simulator.httpPort, let webSocket = simulator.webSocketPort else { throw NotListening() }
            return try await body(RunningSimulator(simulator: simulator, http: http, webSocket: webSocket))
        }
    }

    struct Answer: Sendable {
        let status: Int
        let text: String
        let venueTime: Int64?

        var json: JSONObject { JSONObject(text) }
    }

    func get(_ path: String, reader: String? = nil, handled: Int64? = nil) async throws -> Answer {
        var headers = reader.map { ["X-Replay-Reader": $0] } ?? [:]
        if let handled { headers["X-Replay-Handled"] = "\(handled)" }
        return try await send(.GET, path, headers: headers)
    }

    func post(_ path: String, _ body: String = "") async throws -> Answer { try await send(.POST, path, body: body) }

    func delete(_ path: String) async throws -> Answer { try await send(.DELETE, path) }

    private func send(
        _ method: HTTPMethod, _ path: String, headers: [String: String] = [:], body: String? = nil
    ) async throws -> Answer {
        var request = HTTPClientRequest(url: "http://127.0.0.1:\(http)\(path)")
        request.method = method
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        let text = String(buffer: try await response.body.collect(upTo: 1 << 22))
        return Answer(
            status: Int(response.status.code), text: text,
            venueTime: response.headers.first(name: "X-Venue-Time").flatMap { Int64($0) })
    }

    func order(
        _ side: String, _ price: String, _ count: String, id: String, force: String = "immediate_or_cancel",
        ticker: String = Fixture.home.rawValue
    ) async throws -> Answer {
        try await post(
            "/trade-api/v2/portfolio/events/orders",
            #"{"ticker":"\#(ticker)","client_order_id":"\#(id)","side":"\#(side)","#
                + #""count":"\#(count)","price":"\#(price)","#
                + #""time_in_force":"\#(force)","self_trade_prevention_type":"taker_at_cross"}"#)
    }

    func untilFinished() async throws {
        try await eventually(.seconds(30)) { simulator.state.withLockedValue { $0.isFinished } }
    }
}

struct NeverTrue: Error {}

/// Waits for a condition, looked at every 2 ms, at most until the deadline.
func eventually(_ limit: Duration = .seconds(90), _ condition: () async throws -> Bool) async throws {
    let clock = MachineClock.real
    let deadline = clock.now.advanced(by: limit)
    while try await !condition() {
        if clock.now >= deadline { throw NeverTrue() }
        try await clock.sleep(for: .milliseconds(2))
    }
}
