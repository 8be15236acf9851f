import CryptoExtras
import Domain
import Foundation
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Testing

@testable import Venues

@Suite struct ClockOffsetTests {
    private let midnight: Int64 = 1_787_356_800

    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777 as Int64?), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Sat, 29 Feb 2020 23:59:60 GMT", 1_583_020_800), ("Tue, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ("Sunday, 06-Nov-94 08:49:37 GMT", nil), ("Sun, 6 Nov 1994 08:49:37 GMT", nil),
        ("Sun, 06 Nov 1994 08:49:37 CET", nil), ("Sun, 06 Nov 1994 24:49:37 GMT", nil), ("", nil),
        ("Sun, 06 Nov 1994 08:49:+7 GMT", nil), ("soon", nil),
    ])
    func `a date is read in the one form that is sent`(text: String, seconds: Int64?) {
        #expect(HTTPDate.seconds(text) == seconds)
    }

    @Test func `one answer bounds the offset by a second and the round trip`() {
        var offset = ClockOffset()
        #expect(offset.least == nil)
        // Ours is 10.3 s when sending and 10.5 s when receiving; the venue says 12.
        offset.observe(date: 12, sent: 10_300_000, received: 10_500_000, at: .origin)
        #expect(offset.range == 1_500_000...2_700_000)
        #expect(offset.least == 1_500_000)
        // Later in the venue's second: only the upper bound is better.
        offset.observe(date: 13, sent: 11_900_000, received: 11_950_000, at: .origin.advanced(by: .seconds(2)))
        #expect(offset.range == 1_498_500...2_100_000)
        #expect(offset.steps == 0)
    }

    @Test func `equal clocks have no offset, however the answers fall`() {
        var random = SeededGenerator(seed: 8)
        for _ in 0..<200 {
            var offset = ClockOffset()
            var now = midnight * 1_000_000
            for step in 0..<50 {
                now += Int64.random(in: 1...5_000_000, using: &random)
                let trip = Int64.random(in: 0...400_000, using: &random)
                let date = (now + Int64.random(in: 0...trip, using: &random)) / 1_000_000
                offset.observe(
                    date: date, sent: now, received: now + trip, at: .origin.advanced(by: .seconds(step)))
                now += trip
            }
            #expect(offset.least == 0 && offset.steps == 0)
        }
    }

    @Test func `an offset of a minute either way is found to the round trip, and a clock that is set is noticed`() {
        var random = SeededGenerator(seed: 9)
        for truth: Int64 in [60_000_000, -60_000_000] {
            var offset = ClockOffset()
            var now = midnight * 1_000_000
            for _ in 0..<400 {
                now += Int64.random(in: 1...3_000_000, using: &random)
                offset.observe(
                    date: (now + truth + 10_000) / 1_000_000, sent: now, received: now + 20_000, at: .origin)
            }
            let range = offset.range ?? 0...0
            #expect(range.contains(truth))
            #expect(range.upperBound - range.lowerBound < 500_000)
            #expect(offset.steps == 0)
            offset.observe(date: now / 1_000_000, sent: now, received: now + 20_000, at: .origin)
            #expect(offset.steps == 1 && abs(offset.least ?? .max) < 1_000_000)
        }
    }

    @Test func `a wall clock that went back, and a date that is none, measure nothing`() {
        var offset = ClockOffset()
        offset.observe(date: 12, sent: 10, received: 9, at: .origin)
        offset.observe(date: .max, sent: 9, received: 10, at: .origin)
        offset.observe(date: -1, sent: 9, received: 10, at: .origin)
        #expect(offset.range == nil)
    }

    // A machine whose clock is off by a minute.
    @Test(arguments: [60 as Int64, -60, 0])
    func `an order is held back while the clocks are apart or unread, a read is not, and a signature is moved`(
        by seconds: Int64
    ) async throws {
        let ours = midnight * 1_000_000 + 500_000
        let date = Self.text(midnight + seconds)
        let server = try await ScriptedServer { request, _ in
            .reply(
                status: 200, body: request.method == "GET" ? #"{"balance":1}"# : Self.receipt, headers: ["Date": date])
        }
        let (http, heard) = (Fixture.http(), NIOLockedValueBox<[Int64]>([]))
        let watch = VenueClockWatch(wall: .fixed(ours), clock: .real, bound: .seconds(2)) { offset in
            heard.withLockedValue { $0.append(offset) }
        }
        let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        let rest = Fixture.rest(
            server, http,
            signer: try KalshiSigner(
                keyID: Secret("k"), privateKeyPEM: Secret(key.pemRepresentation), wall: watch.corrected),
            watch: watch)
        let order = try Fixture.order()
        func send() async -> VenueError? {
            do throws(VenueError) {
                _ = try await rest.createOrder(order)
                return nil
            } catch {
                return error
            }
        }
        let unread = await send()
        #expect(unread?.code == .clockOffset && unread?.provesNonAcceptance == true)
        _ = try await rest.balance()
        _ = try await rest.balance()
        let timestamp = server.requests.last?.headers["kalshi-access-timestamp"].flatMap { Int64($0) }
        #expect(abs((timestamp ?? 0) - (midnight + seconds) * 1_000) <= 1_000)
        let refusal = await send()
        #expect(refusal?.code == (seconds == 0 ? nil : .clockOffset))
        if let refusal { #expect(refusal.message.contains(seconds > 0 ? "behind" : "ahead")) }
        #expect(server.requests.map(\.method) == (seconds == 0 ? ["GET", "GET", "POST"] : ["GET", "GET"]))
        #expect(heard.withLockedValue { $0.last } == watch.measured.least)
        await http.shutdown()
        await server.stop()
    }

    @Test func `an answer out of a cache measures nothing`() async throws {
        let date = Self.text(midnight)
        let server = try await ScriptedServer { _, _ in
            .reply(status: 200, body: #"{"balance":1}"#, headers: ["Date": date, "Age": "7"])
        }
        let http = Fixture.http()
        let watch = VenueClockWatch(wall: .real, clock: .real, bound: .seconds(2))
        _ = try await Fixture.rest(server, http, watch: watch).balance()
        #expect(watch.measured.range == nil)
        await http.shutdown()
        await server.stop()
    }

    private static let receipt = """
        {"order_id":"V-1","client_order_id":"order-1","fill_count":"10.00","remaining_count":"0.00",
        "average_fill_price":"0.5200","average_fee_paid":"0.0175","ts_ms":1787356800500}
        """

    /// As Foundation writes it.
    static func text(_ seconds: Int64) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "GMT")
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return formatter.string(from: Date(timeIntervalSince1970: Double(seconds)))
    }
}
