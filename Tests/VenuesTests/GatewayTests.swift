import Domain
import NIOConcurrencyHelpers
import Resilience
import Runtime
import TestKit
import Testing

@testable import Venues

/// A venue with one book and one market that the test changes.
private final class StubVenue: MarketSource {
    struct State {
        var book: Result<OrderBook, VenueError> = .success(.empty)
        var market = VenueMarket(market: "M-1", status: .active, yesValue: nil, closeAt: nil)
        var reads = 0
    }

    let state = NIOLockedValueBox(State())

    func orderBook(_ market: MarketID) async throws(VenueError) -> (book: OrderBook, at: VenueInstant) {
        let book = state.withLockedValue { state in
            state.reads += 1
            return state.book
        }
        return (try book.get(), ShownTime.start)
    }

    func venueMarket(_ market: MarketID) async throws(VenueError) -> VenueMarket {
        state.withLockedValue { $0.market }
    }
}

/// Paper trades the live book with the venue's own fees, in full, in part or not at all (CHECKLIST R90, R91).
@Suite struct PaperGatewayTests {
    private func venue() throws -> StubVenue {
        let venue = StubVenue()
        let book = try OrderBook(
            yesBids: [Fixture.level(40, 10)], noBids: [Fixture.level(50, 20), Fixture.level(55, 4)])
        venue.state.withLockedValue { $0.book = .success(book) }
        return venue
    }

    private func gateway(_ venue: StubVenue) -> PaperGateway { PaperGateway(source: venue, clock: .real) }

    // DESIGN rule 14.
    @Test func `an order that the last look forbids is not filled, and it looks when the book was read`() async throws {
        let venue = try venue()
        let paper = gateway(venue)
        let order = try Fixture.order(.buy, .yes, at: 50, 10)
        let look = LastLook { venue.state.withLockedValue { $0.reads == 1 ? "kill_switch_file" : nil } }
        guard case .refused(let error) = await paper.submit(order, deadline: .seconds(60), lastLook: look) else {
            Issue.record("not refused")
            return
        }
        #expect(error.code == .withheld && error.detail == "kill_switch_file" && error.provesNonAcceptance)
        #expect(try await paper.positions().isEmpty)
    }

    @Test func `an order is filled from the live book with exact fills`() async throws {
        let paper = gateway(try venue())
        let order = try Fixture.order(.buy, .yes, at: 50, 10)
        guard case .accepted(let receipt) = await paper.submit(order, deadline: .seconds(60)) else {
            Issue.record("not accepted")
            return
        }
        #expect(receipt.filled == .contracts(10) && receipt.averagePrice == .cents(48))
        let fills = try await paper.fills(of: order, venueOrder: receipt.venueOrder)
        #expect(fills.map(\.price) == [.cents(45), .cents(50)])
        #expect(fills.map(\.id) == ["order-1-1", "order-1-2"])
        #expect(fills.map(\.fee).reduce(.zero, +) == receipt.fees)
        let paid = fills.map { $0.price * $0.quantity + $0.fee }.reduce(.zero, +)
        #expect(try await paper.balance() == .dollars(1_000) - paid)
        #expect(try await paper.positions() == [VenuePosition(market: "M-1", netHundredths: 1_000)])
    }

    @Test func `the same key again changes nothing`() async throws {
        let paper = gateway(try venue())
        let order = try Fixture.order(.buy, .yes, at: 50, 10)
        let outcomes = await withTaskGroup(of: SubmitOutcome.self) { group in
            for _ in 0..<20 { group.addTask { await paper.submit(order, deadline: .seconds(60)) } }
            return await group.reduce(into: Set<SubmitOutcome>()) { $0.insert($1) }
        }
        #expect(outcomes.count == 1)
        #expect(try await paper.positions() == [VenuePosition(market: "M-1", netHundredths: 1_000)])
        let other = try Fixture.order(.buy, .yes, at: 50, 1)
        guard case .unknown(let error) = await paper.submit(other, deadline: .seconds(60)) else {
            Issue.record("another order under the same key")
            return
        }
        #expect(error.code == .duplicateOrder)
    }

    @Test func `what we took is gone until the venue shows something else`() async throws {
        let venue = try venue()
        let paper = gateway(venue)
        func filled(_ id: OrderID) async throws -> Quantity? {
            let order = try Fixture.order(.buy, .yes, at: 45, 3, id: id)
            guard case .accepted(let receipt) = await paper.submit(order, deadline: .seconds(60)) else { return nil }
            return receipt.filled
        }
        #expect(try await filled("a") == .contracts(3))
        #expect(try await filled("b") == .contracts(1))
        #expect(try await filled("c") == .zero)
        let changed = try OrderBook(yesBids: [], noBids: [Fixture.level(55, 7)])
        venue.state.withLockedValue { $0.book = .success(changed) }
        #expect(try await filled("d") == .contracts(3))
    }

    @Test func `without a book nothing is accepted`() async throws {
        let venue = try venue()
        venue.state.withLockedValue { $0.book = .failure(VenueError(.timeout)) }
        let order = try Fixture.order()
        guard case .refused(let error) = await gateway(venue).submit(order, deadline: .seconds(60)) else {
            Issue.record("expected a refusal")
            return
        }
        #expect(error.code == .noBook && error.detail == "timeout" && error.provesNonAcceptance)
        let resting = try Fixture.order(.buy, .yes, at: 45, 1, .goodTillCancelled)
        guard case .refused = await gateway(try self.venue()).submit(resting, deadline: .seconds(60)) else {
            Issue.record("a resting order on paper")
            return
        }
    }

    @Test func `an order is found by its key, and a settled market pays`() async throws {
        let venue = try venue()
        let paper = gateway(venue)
        #expect(await paper.find("order-1", market: "M-1") == .absent)
        let order = try Fixture.order(.buy, .no, at: 60, 10)
        _ = await paper.submit(order, deadline: .seconds(60))
        guard case .found(let found) = await paper.find("order-1", market: "M-1") else {
            Issue.record("not found")
            return
        }
        #expect(found.state == .done && found.filled == .contracts(10))
        let before = try await paper.balance()
        let settled = VenueMarket(market: "M-1", status: .settled, yesValue: .zero, closeAt: nil)
        venue.state.withLockedValue { $0.market = settled }
        _ = try await paper.market("M-1")
        _ = try await paper.market("M-1")
        #expect(try await paper.balance() == before + .dollars(10))
        #expect(try await paper.positions().isEmpty)
    }
}

@Suite struct KalshiGatewayTests {
    private static let fills = """
        {"cursor":"","fills":[
        {"trade_id":"t-2","order_id":"V-1","ticker":"M-1","yes_price_dollars":"0.5300","count_fp":"6.00","is_taker"
        :true,"fee_cost":"0.104700","created_time":"2026-04-20T23:14:00.5Z"},
        {"trade_id":"t-1","order_id":"V-1","ticker":"M-1","yes_price_dollars":"0.5200","count_fp":"4.00","is_taker"
        :true,"fee_cost":"0.069900","created_time":"2026-04-20T23:14:00Z"},
        {"trade_id":"t-9","order_id":"V-9","ticker":"M-1","yes_price_dollars":"0.5200","count_fp":"4.00",
        "created_time":"2026-04-20T23:14:00Z"}]}
        """

    @Test func `the receipt and the fills speak of the outcome that was ordered`() async throws {
        let server = try await ScriptedServer { request, _ in
            request.method == "POST"
                ? .json(
                    #"{"order_id":"V-1","client_order_id":"order-1","fill_count":"10.00","remaining_count":"0.00","#
                        + #""average_fill_price":"0.5260","average_fee_paid":"0.0175","ts_ms":1781821370267}"#,
                    status: 201)
                : .json(Self.fills)
        }
        let http = Fixture.http()
        let gateway = KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time)
        let order = try Fixture.order(.buy, .no, at: 50, 10)
        guard case .accepted(let receipt) = await gateway.submit(order, deadline: .seconds(60)) else {
            Issue.record("not accepted")
            return
        }
        #expect(server.requests[0].body.contains(#""side":"ask","count":"10.00","price":"0.5000""#))
        #expect(receipt.averagePrice == (try Price(dollars: "0.4740")))
        #expect(receipt.fees == (try Money(dollars: "0.175")))
        let fills = try await gateway.fills(of: order, venueOrder: receipt.venueOrder)
        #expect(fills.map(\.id) == ["t-1", "t-2"])
        #expect(fills.map(\.price) == [.cents(48), .cents(47)])
        #expect(fills.map(\.fee) == [try Money(dollars: "0.0699"), try Money(dollars: "0.1047")])
        #expect(server.requests[1].path.contains("order_id=V-1"))
        await http.shutdown()
        await server.stop()
    }

    @Test func `absent is said only when everything was read`() async throws {
        let asked = NIOLockedValueBox(-1)
        let server = try await ScriptedServer { request, _ in
            if request.path.contains("/portfolio/fills") { return .json(#"{"fills":[],"cursor":""}"#) }
            let number = asked.withLockedValue { asked in
                asked += 1
                return asked
            }
            let uncounted = #""order_id":"V-2","client_order_id":"other","ticker":"M-1","status":"resting""#
            switch number {
            case 0: return .json(#"{"orders":[{\#(uncounted),"fill_count_fp":"0.00"}],"cursor":""}"#)
            case 1: return .json(#"{"orders":[{"order_id":"V-3"}],"cursor":""}"#)
            case 2: return .json(#"{"orders":[{\#(uncounted)}],"cursor":""}"#)
            case 3:
                return .json(
                    #"{"orders":[{"order_id":"V-1","client_order_id":"order-1","ticker":"M-1","#
                        + #""status":"canceled","fill_count_fp":"2.00"}],"cursor":""}"#
                )
            default: return .json(#"{"error":"x"}"#, status: 400)
            }
        }
        let http = Fixture.http()
        let gateway = KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time)
        #expect(await gateway.find("order-1", market: "M-1") == .absent)
        for _ in 1...2 {
            guard case .unknown = await gateway.find("order-1", market: "M-1") else {
                Issue.record("an unread order may be the one")
                return
            }
        }
        guard case .found(let order) = await gateway.find("order-1", market: "M-1") else {
            Issue.record("not found")
            return
        }
        #expect(order.state == .done && order.filled == .contracts(2) && order.venueOrder == "V-1")
        guard case .unknown = await gateway.find("order-1", market: "M-1") else {
            Issue.record("a failed read proves nothing")
            return
        }
        await http.shutdown()
        await server.stop()
    }

    @Test func `a cancel tells what was still open, gone, or unknown`() async throws {
        let server = try await ScriptedServer { _, number in
            switch number {
            case 0: .json(#"{"order_id":"V-1","client_order_id":"c","reduced_by":"1.50","ts_ms":1781821373405}"#)
            case 1: .json(#"{"error":{"code":"not_found","message":"gone"}}"#, status: 404)
            default: .reply(status: 502, body: "<html></html>")
            }
        }
        let http = Fixture.http()
        let gateway = KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time)
        let first = await gateway.cancel("V-1", deadline: .seconds(60))
        #expect(first == .cancelled(stillOpen: try Quantity(contracts: "1.50")))
        #expect(await gateway.cancel("V-1", deadline: .seconds(60)) == .gone)
        guard case .unknown = await gateway.cancel("V-1", deadline: .seconds(60)) else {
            Issue.record("a bad gateway proves nothing")
            return
        }
        #expect(server.requests[0].method == "DELETE")
        #expect(server.requests[0].path == "/trade-api/v2/portfolio/events/orders/V-1")
        await http.shutdown()
        await server.stop()
    }

    @Test func `a market's end is read from the venue`() async throws {
        let server = try await ScriptedServer { _, number in
            let end = [
                #""status":"active","result":"""#, #""status":"finalized","result":"no""#,
                #""status":"finalized","result":"scalar","settlement_value_dollars":"0.5000""#,
                #""status":"finalized","result":"""#, #""status":"finalized","result":"scalar""#,
                #""status":"finalized","result":"void""#,
            ][number]
            return .json(#"{"market":{"ticker":"M-1","event_ticker":"M",\#(end)}}"#)
        }
        let http = Fixture.http()
        let gateway = KalshiGateway(rest: Fixture.rest(server, http), time: ShownTime().time)
        var seen: [VenueMarket] = []
        for _ in 0..<6 { seen.append(try await gateway.market("M-1")) }
        // A result that is not there yet is no void: what is paid back is paid back for good.
        #expect(seen.map(\.status) == [.active, .settled, .settled, .closed, .closed, .voided])
        #expect(seen.map(\.yesValue) == [nil, .zero, .cents(50), nil, nil, nil])
        await http.shutdown()
        await server.stop()
    }
}
