import AsyncHTTPClient
import Foundation
import NIOCore
import Runtime

/// Asks the suite's own servers on this host.
struct LocalHTTP: Sendable {
    /// What a server answered that it should not have.
    struct Refused: Error, CustomStringConvertible {
        let url: String
        let status: UInt
        let body: String
        var description: String { "\(url) answered \(status): \(body.prefix(200))" }
    }

    private let client = HTTPClient.shared

    func get<T: Decodable>(_ url: String, as type: T.Type = T.self) async throws -> T {
        try JSONDecoder().decode(T.self, from: Data(try await text(url).utf8))
    }

    func text(_ url: String) async throws -> String { try await send(url, .get, body: nil) }

    @discardableResult
    func post(
        _ url: String, json: String = "{}", bearer: Secret? = nil, timeout: TimeAmount = .seconds(3)
    ) async throws -> String {
        try await send(url, .post, body: json, bearer, timeout)
    }

    func delete(_ url: String) async throws { _ = try await send(url, .delete, body: nil) }

    private func send(
        _ url: String, _ method: HTTPMethod, body: String?, _ bearer: Secret? = nil, _ timeout: TimeAmount = .seconds(3)
    ) async throws -> String {
        var request = HTTPClientRequest(url: url)
        request.method = .init(rawValue: method.rawValue)
        if let bearer { request.headers.add(name: "authorization", value: "Bearer \(bearer.value)") }
        if let body {
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(string: body))
        }
        let response = try await client.execute(request, timeout: timeout)
        let answer = String(buffer: try await response.body.collect(upTo: 8 << 20))
        guard (200..<300).contains(response.status.code) else {
            throw Refused(url: url, status: response.status.code, body: answer)
        }
        return answer
    }

    private enum HTTPMethod: String {
        case get = "GET"
        case post = "POST"
        case delete = "DELETE"
    }
}
