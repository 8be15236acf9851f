import Domain
import ExecutionServiceEngine
import Logging
import NIOConcurrencyHelpers
import Resilience
import Runtime
import Testing
import Venues

@testable import ExecutionService

/// A gateway that refuses every read as one too many while it is told to, and counts what it is asked.
private final class RefusingGateway: OrderGateway {
    private struct State {
        var refusal: VenueError?
        var reads = 0
        var cancels = 0
    }

    private let state = NIOLockedValueBox(State())

    var reads: Int { state.withLockedValue { $0.reads } }
    var cancels: Int { state.withLockedValue { $0.cancels } }

    func refuse(_ retryAfter: Duration?) {
        state.withLockedValue { $0.refusal = VenueError(.rateLimited, status: 429, retryAfter: retryAfter) }
    }

    func answer() { state.withLockedValue { $0.refusal = nil } }

    private func read() -> VenueError? {
        state.withLockedValue { state in
            state.reads += 1
            return state.refusal
        }
    }

    func submit(_ order: OrderRequest, deadline: Duration, lastLook: LastLook) async -> SubmitOutcome {
        guard let reason = lastLook.refusal() else { return .unknown(VenueError(.timeout)) }
        return .refused(VenueError(.withheld, detail: reason, provesNonAcceptance: true))
    }

    func cancel(_ order: VenueOrderID, deadline: Duration) async -> CancelOutcome {
        state.withLockedValue { $0.cancels += 1 }
        return .gone
    }

    func find(_ order: OrderID, market: MarketID) async -> FindOutcome { read().map { .unknown($0) } ?? .absent }

    func fills(of order: OrderRequest, venueOrder: VenueOrderID) async throws(VenueError) -> [Fill] {
        if let refusal = read() { throw refusal }
        return []
    }

    func account(since: VenueInstant?) async throws(VenueError) -> VenueAccount { throw read() ?? VenueError(.timeout) }
    func positions() async throws(VenueError) -> [VenuePosition] { throw read() ?? VenueError(.timeout) }

    func settlements(since: VenueInstant) async throws(VenueError) -> AccountSettlements {
        throw read() ?? VenueError(.timeout)
    }

    func balance() async throws(VenueError) -> Money {
        if let refusal = read() { throw refusal }
        return .dollars(150)
    }

    func market(_ market: MarketID) async throws(VenueError) -> VenueMarket { throw read() ?? VenueError(.timeout) }
}

/// A venue that has been read too often is left alone for as long as it says (decision 0046).
@Suite struct VenueReadsTests {
    private let market: MarketID = "game-1-HOME"

    private func order() throws -> OrderRecord {
        OrderRecord(
            request: try OrderRequest(
                id: "order-1", market: market, outcome: .yes, action: .buy, limit: .cents(50),
                quantity: .contracts(10), timeInForce: .immediateOrCancel),
            intent: "intent-1", attempt: 1)
    }

    @Test func `a read refused as one too many delays all reads for as long as the venue says, and no cancel`()
        async throws
    {
        let (time, gateway, metrics) = (ManualTime(), RefusingGateway(), MetricsRegistry())
        let clock = MachineClock.manual(time)
        let venueTime = VenueTime(now: { tipOff }, observe: { _ in })
        let http = VenueHTTP(limits: VenueHTTPLimits(), time: venueTime)
        let rest = KalshiREST(
            baseURL: "http://127.0.0.1:1", http: http, signer: nil, time: venueTime, clock: clock, random: .seeded(1))
        let log = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let venue = GatewayVenue(
            gateway: gateway, rest: rest, keepsPositions: true, keepsBalance: true, clock: clock,
            reads: VenueReads(clock: clock, metrics: metrics, log: log))
        let order = try order()
        let soon = clock.now.advanced(by: .seconds(1))
        let withheld = await venue.submit(
            order.request, deadline: soon, lastLook: LastLook { "kill_switch_file" })
        #expect(withheld == .refused(reason: "kill_switch_file"))
        let sent = await venue.submit(order.request, deadline: soon, lastLook: .none)
        #expect(sent == .unanswered(reason: "timeout"))

        gateway.refuse(.seconds(30))
        await #expect(throws: VenueError.self) { _ = try await venue.find(order) }
        #expect(gateway.reads == 1)
        #expect(metrics.counter("venue_rate_limited_total").value == 1)
        gateway.answer()
        time.advance(by: .milliseconds(29_999))
        let questions: [@Sendable () async throws -> Void] = [
            { _ = try await venue.find(order) }, { _ = try await venue.balance() },
            { _ = try await venue.outcome(of: market) }, { _ = try await venue.snapshot(since: nil) },
            { _ = try await venue.book(of: market) }, { try await venue.ping() },
        ]
        for question in questions {
            let error = await #expect(throws: VenueError.self) { try await question() }
            #expect(error?.code == .rateLimited && error?.retryAfter == .milliseconds(1))
        }
        #expect(gateway.reads == 1, "asked all the same")
        #expect(metrics.counter("venue_reads_held_back_total").value == questions.count)
        #expect(await venue.cancel("V-1", deadline: clock.now.advanced(by: .seconds(1))))
        #expect(gateway.cancels == 1)

        time.advance(by: .milliseconds(1))
        #expect(try await venue.balance() == .dollars(150))
        #expect(try await venue.find(order) == nil)
        #expect(gateway.reads == 3)
        await http.shutdown()
    }
}
