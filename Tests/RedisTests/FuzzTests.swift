import NIOConcurrencyHelpers
import Redis
import RedisTestKit
import Resilience
import Runtime
import TestKit
import Testing

/// Whatever a server sends ends in a typed error and a new connection: never a crash, a hang or memory without bound.
@Suite(.timeLimit(.minutes(4))) struct FuzzTests {
    /// Bytes no server should send, by what is wrong with them.
    enum Bad: String, CaseIterable, Sendable {
        case noise = "\u{0}\u{1}SSH-2.0-garbage\r\n"
        case unknownType = "%1\r\n+a\r\n+b\r\n"
        case negativeBulk = "$-2\r\n"
        case hugeNegativeBulk = "$-9223372036854775808\r\n"
        case lengthOverflow = "$99999999999999999999999\r\n"
        case lengthText = "$abc\r\nabc\r\n"
        case bulkWithoutEnd = "$3\r\nabcXY+OK\r\n"
        case negativeArray = "*-2\r\n"
        case arrayOf2To31 = "*2147483648\r\n"
        case arrayOf2To32 = "*4294967296\r\n"
        case arrayOverflow = "*99999999999999999999999\r\n"
        case integerText = ":12a\r\n"
        case integerOverflow = ":99999999999999999999999\r\n"
        case emptyLine = "\r\n"
        case lineFeedOnly = "\n\n\n\n"
        case depthNine = "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n+deep\r\n"
        case unaskedReply = "+OK\r\n+OK\r\n+OK\r\n:1\r\n"
    }

    @Test(arguments: Bad.allCases)
    func `bytes that are not RESP2 end the connection and nothing else`(bad: Bad) async throws {
        try await expectReconnects(after: Array(bad.rawValue.utf8), "\(bad)")
    }

    /// The bad bytes come once the client is ready, on each connection, for the first two times; then all is well.
    private func expectReconnects(after bytes: [UInt8], _ what: String) async throws {
        let sent = NIOLockedValueBox<[Int: Int]>([:])
        let times = NIOLockedValueBox(0)
        let fake = try await FakeRedis.start { command in
            guard command.words.first == "PING" else { return nil }
            let number = sent.withLockedValue { counts in
                counts[command.link, default: 0] += 1
                return counts[command.link, default: 0]
            }
            // The first PING of a link belongs to the login.
            guard number == 2,
                times.withLockedValue({
                    $0 += 1
                    return $0 <= 4
                })
            else { return nil }
            return .bytes(bytes)
        }
        let settings = fastSettings(
            fake.url,
            [
                "REDIS_PING_INTERVAL_MS": "10", "REDIS_PONG_TIMEOUT_MS": "400", "REDIS_MAX_REPLY_BYTES": "65536",
                "REDIS_ROLE_CHECK_PINGS": "1000000", "REDIS_RECONNECT_MAX_DELAY_MS": "20",
            ])
        try await withClient(settings) { client in
            try await eventually(within: .seconds(60), "lost and found after \(what)") {
                let status = client.status
                let reconnects = status.commands.reconnects + status.subscriptions.reconnects
                return reconnects >= 4 && status.isReady
            }
        }
    }

    @Test func `a reply that never ends is cut off at the bound, however it is announced`() async throws {
        for head in ["$536870912\r\n", "*1000000000\r\n", "+", "-ERR "] {
            let piece = head.hasPrefix("*") ? ":1\r\n" : "x"
            let flood = Array(head.utf8) + Array(String(repeating: piece, count: (200 << 10) / piece.utf8.count).utf8)
            let fake = try await FakeRedis.start { command in
                command.words.first == "GET" ? .bytes(flood) : nil
            }
            let settings = patientSettings(fake.url, ["REDIS_MAX_REPLY_BYTES": "65536"])
            try await withClient(settings) { client in
                let error = await #expect(throws: RedisError.self) { try await client.get("k") }
                #expect(error?.code == .protocolViolation, "\(head.debugDescription): \(String(describing: error))")
                try await eventually(within: .seconds(20), "found again") { client.status.isReady }
            }
        }
    }

    @Test func `a header alone is waited for no longer than a PONG`() async throws {
        for head in ["$536870912\r\nabc", "*3\r\n$7\r\nmess", "*2147483647\r\n", ":1", "+OK\r"] {
            try await expectReconnects(after: Array(head.utf8), head.debugDescription)
        }
    }

    @Test func `random bytes and mutilated replies are survived, and the next connection works`() async throws {
        let seed: UInt64 = 20_261
        let generator = NIOLockedValueBox(SeededGenerator(seed: seed))
        let isOver = NIOLockedValueBox(false)
        let valid = Array("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n:5\r\n$-1\r\n*0\r\n+OK\r\n-ERR x\r\n".utf8)
        let fake = try await FakeRedis.start { _ in
            if isOver.withLockedValue({ $0 }) { return nil }
            return generator.withLockedValue { random in
                var bytes =
                    Bool.random(using: &random)
                    ? valid : (0..<64).map { _ in UInt8.random(in: 0...255, using: &random) }
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
                return Bool.random(using: &random) ? .bytes(bytes) : .last(bytes)
            }
        }
        let settings = fastSettings(
            fake.url,
            [
                "REDIS_CONNECT_TIMEOUT_MS": "50", "REDIS_RECONNECT_BASE_DELAY_MS": "1",
                "REDIS_RECONNECT_MAX_DELAY_MS": "1", "REDIS_RECONNECT_MAX_FAILURES": "100000",
                "REDIS_MAX_REPLY_BYTES": "65536",
            ])
        try await withClient(settings, awaitsConnection: false) { client in
            try await eventually(within: .seconds(120), "three hundred bad logins, seed \(seed)") {
                fake.accepted >= 300
            }
            isOver.withLockedValue { $0 = true }
            try await eventually(within: .seconds(60), "a good one") {
                client.status.isReady
            }
            #expect(fake.open <= 4, "no socket is left behind")
        }
    }
}
