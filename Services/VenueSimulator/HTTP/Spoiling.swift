import Hummingbird
import NIOConcurrencyHelpers
import NIOCore

/// Puts another value under a key of an answer in JSON, and leaves the rest as it is.
enum Spoiling {
    static func spoil(_ response: Response, _ field: String, _ value: String) async throws -> Response {
        let body = NIOLockedValueBox(ByteBuffer())
        try await response.body.write(Collector(body: body))
        let text = String(buffer: body.withLockedValue { $0 })
        let spoilt = ByteBuffer(string: spoil(text, field, value))
        var headers = response.headers
        headers[.contentLength] = "\(spoilt.readableBytes)"
        return Response(status: response.status, headers: headers, body: ResponseBody(byteBuffer: spoilt))
    }

    /// Every value of the key becomes a text; our own encoder escapes nothing in what is replaced here.
    static func spoil(_ json: String, _ field: String, _ value: String) -> String {
        let key = "\"\(field)\":"
        var parts = json.split(separator: key, omittingEmptySubsequences: false).map(String.init)
        for index in parts.indices.dropFirst() {
            let rest = parts[index]
            let end =
                if rest.first == "\"" {
                    rest.dropFirst().firstIndex(of: "\"").map { rest.index(after: $0) }
                } else {
                    rest.firstIndex { ",]}".contains($0) }
                }
            parts[index] = "\"\(value)\"" + rest[(end ?? rest.endIndex)...]
        }
        return parts.joined(separator: key)
    }

    private struct Collector: ResponseBodyWriter {
        let body: NIOLockedValueBox<ByteBuffer>

        mutating func write(_ buffer: ByteBuffer) async throws {
            body.withLockedValue { _ = $0.writeImmutableBuffer(buffer) }
        }

        consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
    }
}
