import NIOCore
import Testing

@testable import Redis

@Suite struct RESPReaderTests {
    private func read(_ text: String, pieces: Int = 1, limit: Int = 1 << 20) throws -> [RESPValue] {
        let reader = try #require(RESPReader(maximumReplyBytes: limit))
        var values: [RESPValue] = []
        let bytes = Array(text.utf8)
        let size = max(1, (bytes.count + pieces - 1) / pieces)
        for start in stride(from: 0, to: bytes.count, by: size) {
            var buffer = ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)])
            try reader.read(&buffer) { values.append($0) }
        }
        return values
    }

    private let text =
        "+OK\r\n:42\r\n$3\r\nabc\r\n$-1\r\n*-1\r\n*0\r\n*3\r\n*1\r\n:1\r\n*0\r\n$0\r\n\r\n-NOAUTH please\r\n"

    @Test(arguments: [1, 2, 3, 7, 1000])
    func `replies are the same however the bytes are cut`(pieces: Int) throws {
        let values = try read(text, pieces: pieces)
        #expect(
            values == [
                .simple("OK"), .integer(42), .bulk(Array("abc".utf8)), .null, .null, .array([]),
                .array([.array([.integer(1)]), .array([]), .bulk([])]),
                .error(RedisError(.authenticationRequired, "NOAUTH please")),
            ])
    }

    @Test func `a reply larger than one feed arrives whole`() throws {
        let length = 300_000
        let values = try read("$\(length)\r\n" + String(repeating: "x", count: length) + "\r\n:1\r\n")
        #expect(values.count == 2)
        #expect(values[0].bytes?.count == length)
    }

    @Test func `garbage is a protocol violation`() {
        #expect(throws: RedisError.self) { try read("HTTP/1.1 400 Bad Request\r\n") }
        #expect(throws: RedisError.self) { try read(">3\r\n") }
    }

    @Test func `arrays nest to depth 7 and no deeper`() throws {
        let seven = String(repeating: "*1\r\n", count: 7) + ":1\r\n"
        #expect(try read(seven).count == 1)
        #expect(throws: RedisError.self) { try read(String(repeating: "*1\r\n", count: 9) + ":1\r\n") }
    }

    @Test func `a reply beyond the bound is refused before it is complete`() {
        let endless = "$1000000\r\n" + String(repeating: "x", count: 200_000)
        #expect(throws: RedisError.self) { try read(endless, limit: 100_000) }
    }

    @Test(arguments: [
        ("WRONGPASS invalid", RedisError.Code.wrongPassword), ("LOADING Redis is loading", .loading),
        ("READONLY You can't", .readOnly), ("MISCONF Redis is", .misconfigured), ("OOM command", .outOfMemory),
        ("NOSCRIPT No matching", .noScript), ("ERR max number of clients reached", .maximumClients),
        ("ERR DB index is out of range", .databaseOutOfRange), ("ERR unknown command", .server),
    ])
    func `error replies become codes`(reply: String, code: RedisError.Code) {
        #expect(RedisError(reply: reply).code == code)
    }
}
