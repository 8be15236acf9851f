import Crypto
import Domain
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Resilience
import Runtime
import TestKit
import Testing

@testable import Venues

/// The feed over a real socket, against a server that misbehaves on request.
@Suite struct KalshiMarketFeedTests {
    private static let reconnection = Reconnection(
        backoff: Backoff(base: .milliseconds(5), cap: .milliseconds(20)),
        breaker: CircuitBreaker(failureThreshold: 1_000, cooldown: .milliseconds(50)))

    private static func limits() -> WebSocketLimits {
        var limits = WebSocketLimits()
        limits.connectTimeout = .seconds(30)
        limits.handshakeTimeout = .seconds(30)
        limits.pingInterval = .milliseconds(20)
        limits.pongTimeout = .seconds(60)
        limits.frameBytes = 16 << 10
        return limits
    }

    /// What a feed told so far.
    private final class Told: Sendable {
        private let events = NIOLockedValueBox<[MarketEvent]>([])

        var all: [MarketEvent] { events.withLockedValue { $0 } }

        func add(_ batch: [MarketEvent]) { events.withLockedValue { $0 += batch } }

        func book(_ market: MarketID) -> OrderBook? {
            for event in all.reversed() {
                switch event {
                case .book(market, let book, _): return book
                case .invalidated(let markets, _) where markets.contains(market): return nil
                default: continue
                }
            }
            return nil
        }

        func count(_ matches: (MarketEvent) -> Bool) -> Int { all.filter(matches).count }
    }

    private func withFeed(
        _ url: String, limits: WebSocketLimits = KalshiMarketFeedTests.limits(), shown: ShownTime = ShownTime(),
        reconnection: Reconnection = KalshiMarketFeedTests.reconnection,
        _ body: (KalshiMarketFeed, Told) async throws -> Void
    ) async throws {
        let feed = KalshiMarketFeed(
            url: try #require(WebSocketURL(url)), limits: limits, reconnection: reconnection, notices: [],
            signer: nil, time: shown.time, clock: .real, random: .seeded(1), log: Fixture.log)
        let told = Told()
        let running = Task { try await feed.run() }
        let listening = Task { for await batch in feed.events { told.add(batch) } }
        do {
            try await body(feed, told)
        } catch {
            running.cancel()
            listening.cancel()
            throw error
        }
        running.cancel()
        listening.cancel()
        _ = await running.result
        await listening.value
    }

    /// Subscribes as the venue does: `subscribed`, then a snapshot for each market asked for.
    private static func serve(_ peer: SocketServer.Peer, _ text: String, sid: Int) {
        guard text.contains(#""cmd":"subscribe""#), let id = JSONText.integer("id", in: text) else { return }
        peer.send(#"{"type":"subscribed","id":\#(id),"msg":{"channel":"orderbook_delta","sid":\#(sid)}}"#)
        for (index, market) in JSONText.list("market_tickers", in: text).enumerated() {
            peer.send(snapshot(market, sid: sid, sequence: index + 1, yes: "0.4000"))
        }
    }

    private static func snapshot(_ market: String, sid: Int, sequence: Int, yes: String) -> String {
        #"{"type":"orderbook_snapshot","sid":\#(sid),"seq":\#(sequence),"msg":{"market_ticker":"\#(market)","#
            + #""market_id":"","yes_dollars_fp":[["\#(yes)","10.00"]],"no_dollars_fp":[["0.5500","4.00"]]}}"#
    }

    private static func delta(_ market: String, sid: Int, sequence: Int, _ count: String) -> String {
        #"{"type":"orderbook_delta","sid":\#(sid),"seq":\#(sequence),"msg":{"market_ticker":"\#(market)","#
            + #""price_dollars":"0.4000","delta_fp":"\#(count)","side":"yes","ts_ms":1787838983996}}"#
    }

    @Test func `books arrive, change, and are confirmed`() async throws {
        var behaviour = SocketServer.Behaviour()
        behaviour.onText = { peer, text in
            Self.serve(peer, text, sid: 1)
            if text.contains("subscribe") { peer.send(Self.delta("M-1", sid: 1, sequence: 2, "2.50")) }
        }
        let server = try await SocketServer(behaviour)
        let shown = ShownTime()
        try await withFeed(server.url, shown: shown) { feed, told in
            feed.setMarkets(["M-1"])
            try await eventually(within: .seconds(60), "the changed book") {
                told.book("M-1")?.bestBid(.yes)?.quantity.hundredths == 1_250
            }
            try await eventually(within: .seconds(60), "a confirmation") {
                told.count { if case .confirmed = $0 { true } else { false } } > 0
            }
            #expect(told.all.first == .connected)
            #expect(shown.latest.microseconds == 1_787_838_983_996_000)
            #expect(feed.status.isConnected && feed.status.books == 1 && feed.status.frames >= 3)
            try await eventually("a ping of ours") { server.pings > 0 }
        }
        await server.stop()
    }

    @Test func `a venue that serves and skips frames again and again is not left alone for long`() async throws {
        var behaviour = SocketServer.Behaviour()
        let streams = NIOLockedValueBox(0)
        behaviour.onText = { peer, text in
            guard text.contains(#""cmd":"subscribe""#) else { return }
            let sid = streams.withLockedValue { streams in
                streams += 1
                return streams
            }
            Self.serve(peer, text, sid: sid)
            // Number 2 is missing, on the first connection each time.
            if peer.number == 0 { peer.send(Self.delta("M-1", sid: sid, sequence: 3, "2.50")) }
        }
        let server = try await SocketServer(behaviour)
        // A connection that failed would be tried again tomorrow.
        let patient = Reconnection(
            backoff: Backoff(base: .seconds(86_400), cap: .seconds(86_400)),
            breaker: CircuitBreaker(failureThreshold: 1, cooldown: .seconds(86_400)))
        try await withFeed(server.url, reconnection: patient) { feed, told in
            feed.setMarkets(["M-1"])
            try await eventually(within: .seconds(60), "the book of another connection") {
                server.connections == 2 && told.book("M-1") != nil
            }
            #expect(feed.status.errors["resync_storm"] == 1 && feed.status.failures == 0)
        }
        await server.stop()
    }

    @Test func `a probe tells when everything sent before it has arrived`() async throws {
        var behaviour = SocketServer.Behaviour()
        behaviour.onText = { peer, text in Self.serve(peer, text, sid: 1) }
        let server = try await SocketServer(behaviour)
        let shown = ShownTime()
        try await withFeed(server.url, shown: shown) { feed, told in
            feed.setMarkets(["M-1"])
            try await eventually(within: .seconds(60), "a book") { told.book("M-1") != nil }
            let before = told.count { if case .arrived = $0 { true } else { false } }
            // The second waits for the first one's answer, and is not forgotten.
            #expect(feed.probe())
            #expect(feed.probe())
            try await eventually(within: .seconds(60), "two answers") {
                told.count { if case .arrived = $0 { true } else { false } } >= before + 2
            }
        }
        await server.stop()
    }

    @Test func `a gap invalidates and a new subscription mends it`() async throws {
        let sids = NIOLockedValueBox(0)
        var behaviour = SocketServer.Behaviour()
        behaviour.onText = { peer, text in
            guard text.contains(#""cmd":"subscribe""#) else { return }
            let sid = sids.withLockedValue { sids in
                sids += 1
                return sids
            }
            Self.serve(peer, text, sid: sid)
            if sid == 1 { peer.send(Self.delta("M-1", sid: 1, sequence: 5, "1.00")) }
        }
        let server = try await SocketServer(behaviour)
        try await withFeed(server.url) { feed, told in
            feed.setMarkets(["M-1", "M-2"])
            try await eventually(within: .seconds(60), "the second subscription's books") {
                sids.withLockedValue { $0 } == 2 && told.book("M-1") != nil && told.book("M-2") != nil
            }
            #expect(server.connections == 1)
            #expect(server.texts.contains { $0.contains("unsubscribe") })
            #expect(feed.status.errors["gap"] == 1)
        }
        await server.stop()
    }

    @Test func `a lost connection invalidates and is made again`() async throws {
        var behaviour = SocketServer.Behaviour()
        behaviour.onText = { peer, text in Self.serve(peer, text, sid: 1) }
        let server = try await SocketServer(behaviour)
        try await withFeed(server.url) { feed, told in
            feed.setMarkets(["M-1"])
            try await eventually(within: .seconds(60), "the first book") { told.book("M-1") != nil }
            server.peers[0].close()
            try await eventually(within: .seconds(60), "the invalidation") {
                told.all.contains(.invalidated(["M-1"], .disconnected))
            }
            try await eventually(within: .seconds(60), "the book again") {
                server.connections >= 2 && told.book("M-1") != nil
            }
            #expect(feed.status.reconnects >= 1)
            #expect(told.count { if case .disconnected = $0 { true } else { false } } >= 1)
        }
        await server.stop()
    }

    @Test func `markets come and go while connected`() async throws {
        var behaviour = SocketServer.Behaviour()
        behaviour.onText = { peer, text in
            Self.serve(peer, text, sid: 1)
            guard text.contains("update_subscription"), let id = JSONText.integer("id", in: text) else { return }
            let markets = JSONText.list("market_tickers", in: text)
            let sequence = text.contains("add_markets") ? 2 : 4
            peer.send(#"{"type":"ok","id":\#(id),"sid":1,"seq":\#(sequence),"msg":{"market_tickers":[]}}"#)
            if sequence == 2 { peer.send(Self.snapshot(markets[0], sid: 1, sequence: 3, yes: "0.3000")) }
        }
        let server = try await SocketServer(behaviour)
        try await withFeed(server.url) { feed, told in
            feed.setMarkets(["M-1"])
            try await eventually(within: .seconds(60), "the first book") { told.book("M-1") != nil }
            feed.setMarkets(["M-1", "M-2"])
            try await eventually(within: .seconds(60), "the second book") {
                told.book("M-2")?.bestBid(.yes)?.price == .cents(30)
            }
            feed.setMarkets(["M-2"])
            try await eventually(within: .seconds(60), "the deletion") {
                server.texts.contains { $0.contains("delete_markets") }
            }
            try await eventually(within: .seconds(60), "one book") { feed.status.books == 1 }
            #expect(server.connections == 1)
        }
        await server.stop()
    }

    @Test func `frames that make no sense cost the books, not the process`() async throws {
        let sent = NIOLockedValueBox(0)
        var behaviour = SocketServer.Behaviour()
        behaviour.onText = { peer, text in
            guard text.contains(#""cmd":"subscribe""#) else { return }
            let round = sent.withLockedValue { sent in
                sent += 1
                return sent
            }
            Self.serve(peer, text, sid: round)
            if round == 1 { peer.send("{\"type\":\"orderbook_delta\",\"sid\":") }
            if round == 2 { peer.send("\u{0}\u{1} nonsense") }
        }
        let server = try await SocketServer(behaviour)
        try await withFeed(server.url) { feed, told in
            feed.setMarkets(["M-1"])
            try await eventually(within: .seconds(60), "the third subscription's book") {
                sent.withLockedValue { $0 } == 3 && told.book("M-1") != nil
            }
            #expect(feed.status.errors["frame_malformed_json"] == 2)
            #expect(server.connections == 1)
        }
        await server.stop()
    }

    @Test func `a silent peer is found by its missing pong`() async throws {
        var behaviour = SocketServer.Behaviour()
        behaviour.answersPings = false
        behaviour.onText = { peer, text in Self.serve(peer, text, sid: 1) }
        let server = try await SocketServer(behaviour)
        var limits = Self.limits()
        limits.pongTimeout = .milliseconds(100)
        try await withFeed(server.url, limits: limits) { feed, told in
            feed.setMarkets(["M-1"])
            try await eventually(within: .seconds(60), "a second connection") { server.connections >= 2 }
            #expect(told.all.contains(.disconnected(.pongTimeout)))
        }
        await server.stop()
    }

    @Test func `the venue's pings are answered and confirm nothing before a book stands`() async throws {
        let server = try await SocketServer(SocketServer.Behaviour())
        try await withFeed(server.url) { _, told in
            try await eventually(within: .seconds(60), "the connection") { server.peers.count == 1 }
            server.peers[0].send(.ping, ByteBuffer(string: "heartbeat"))
            try await eventually(within: .seconds(60), "the pong") { server.pongs == 1 }
            #expect(told.count { if case .confirmed = $0 { true } else { false } } == 0)
        }
        await server.stop()
    }

    @Test func `a frame in the packet of the upgrade is not lost`() async throws {
        let server = try await ScriptedServer { request, _ in
            let key = (request.headers["sec-websocket-key"] ?? "") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            let accept = Data(Insecure.SHA1.hash(data: Data(key.utf8))).base64EncodedString()
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: \(accept)\r\n\r\n"
            return .bytes(Array(head.utf8) + [0x89, 0x04] + Array("beat".utf8))
        }
        let pings = NIOLockedValueBox(0)
        let connection = try await WebSocketConnection.connect(
            to: try #require(WebSocketURL("ws://127.0.0.1:\(server.port)/")), headers: [], limits: Self.limits(),
            group: MultiThreadedEventLoopGroup.singleton, stamp: { 0 },
            receive: { inputs in
                for case .pinged in inputs { pings.withLockedValue { $0 += 1 } }
            })
        try await eventually(within: .seconds(60), "the ping") { pings.withLockedValue { $0 } == 1 }
        connection.close()
        await server.stop()
    }

    @Test func `an oversized frame ends the connection`() async throws {
        var behaviour = SocketServer.Behaviour()
        behaviour.onText = { peer, _ in peer.send(String(repeating: "x", count: 20_000)) }
        let server = try await SocketServer(behaviour)
        try await withFeed(server.url) { feed, told in
            feed.setMarkets(["M-1"])
            try await eventually(within: .seconds(60), "the failure") {
                told.all.contains(.disconnected(.frameTooLarge))
            }
        }
        await server.stop()
    }

    @Test func `a message in parts is put together`() async throws {
        var behaviour = SocketServer.Behaviour()
        behaviour.onText = { peer, text in
            guard let id = JSONText.integer("id", in: text) else { return }
            peer.send(#"{"type":"subscribed","id":\#(id),"msg":{"channel":"orderbook_delta","sid":1}}"#)
            let whole = ByteBuffer(string: Self.snapshot("M-1", sid: 1, sequence: 1, yes: "0.4000"))
            let half = whole.readableBytes / 2
            peer.send(.text, whole.getSlice(at: 0, length: half) ?? ByteBuffer(), fin: false)
            peer.send(.ping, ByteBuffer())
            peer.send(.continuation, whole.getSlice(at: half, length: whole.readableBytes - half) ?? ByteBuffer())
        }
        let server = try await SocketServer(behaviour)
        try await withFeed(server.url) { feed, told in
            feed.setMarkets(["M-1"])
            try await eventually(within: .seconds(60), "the book") { told.book("M-1") != nil }
        }
        await server.stop()
    }

    @Test func `a refused upgrade is told apart from a hanging one`() async throws {
        var refusing = SocketServer.Behaviour()
        refusing.refusal = (401, #"{"code":"authentication_error","details":"NOT_FOUND"}"#)
        let first = try await SocketServer(refusing)
        try await withFeed(first.url) { _, told in
            try await eventually(within: .seconds(60), "the refusal") {
                told.all.contains(.disconnected(.authentication))
            }
        }
        await first.stop()

        var hanging = SocketServer.Behaviour()
        hanging.hangs = true
        let second = try await SocketServer(hanging)
        var impatient = Self.limits()
        impatient.handshakeTimeout = .milliseconds(200)
        try await withFeed(second.url, limits: impatient) { _, told in
            try await eventually(within: .seconds(60), "the time-out") {
                told.all.contains(.disconnected(.handshakeTimeout))
            }
        }
        await second.stop()

        try await withFeed("ws://127.0.0.1:\(second.port)/") { _, told in
            try await eventually(within: .seconds(60), "nobody") { told.all.contains(.disconnected(.connectFailed)) }
        }
        // A plain server does not speak TLS.
        let plain = try await SocketServer(SocketServer.Behaviour())
        try await withFeed("wss://127.0.0.1:\(plain.port)/") { _, told in
            try await eventually(within: .seconds(60), "no tls") {
                told.count { if case .disconnected = $0 { true } else { false } } > 0
            }
        }
        await plain.stop()
    }

    @Test func `the breaker opens after failures in a row`() async throws {
        var behaviour = SocketServer.Behaviour()
        behaviour.refusal = (503, "busy")
        let server = try await SocketServer(behaviour)
        let feed = KalshiMarketFeed(
            url: try #require(WebSocketURL(server.url)), limits: Self.limits(),
            reconnection: Reconnection(
                backoff: Backoff(base: .milliseconds(1), cap: .milliseconds(2)),
                breaker: CircuitBreaker(failureThreshold: 3, cooldown: .seconds(300))),
            signer: nil, time: ShownTime().time, clock: .real, random: .seeded(1), log: Fixture.log)
        let running = Task { try await feed.run() }
        try await eventually(within: .seconds(60), "the breaker") { feed.status.breakerState == "open" }
        #expect(server.connections == 3)
        #expect(feed.status.lastFailure == .handshakeRefused)
        running.cancel()
        _ = await running.result
        await server.stop()
    }
}

/// Reads the few members that these tests need out of a command.
enum JSONText {
    static func integer(_ key: String, in text: String) -> Int? {
        guard case .number(let digits)?? = (try? JSONValue(Array(text.utf8))).map({ $0[key] }) else { return nil }
        return Int(digits)
    }

    static func list(_ key: String, in text: String) -> [String] {
        let params = (try? JSONValue(Array(text.utf8)))?["params"]
        return params?[key]?.elements?.compactMap(\.text) ?? []
    }
}
