import Domain
import Foundation

/// The body of a new order (WIRE 1.6), checked field by field as the venue does.
struct OrderBody: Decodable {
    var ticker: String?
    var clientOrderId: String?
    var side: String?
    var count: String?
    var price: String?
    var timeInForce: String?
    var selfTradePreventionType: String?
    var postOnly: Bool?
    var reduceOnly: Bool?
    /// Seconds since 1970.
    var expirationTime: Int64?

    static func decode(_ bytes: [UInt8]) -> Result<PlaceOrder, OrderRefusal> {
        guard let body = try? JSONDecoder.venue.decode(OrderBody.self, from: Data(bytes)) else {
            return .failure(OrderRefusal(.invalidOrder, "the body is not an order; count and price are strings"))
        }
        do throws(OrderRefusal) { return .success(try body.checked()) } catch { return .failure(error) }
    }

    private func checked() throws(OrderRefusal) -> PlaceOrder {
        guard let ticker, let market = try? MarketID(ticker) else {
            throw OrderRefusal(.invalidOrder, "ticker is required")
        }
        guard let client = clientOrderId, !client.isEmpty, client.utf8.count <= 128 else {
            throw OrderRefusal(.invalidOrder, "client_order_id is required, 1 to 128 bytes")
        }
        guard let side = side.flatMap(BookSide.init) else {
            throw OrderRefusal(.invalidOrder, "side must be bid or ask")
        }
        guard let count, let quantity = try? Quantity(contracts: count), !quantity.isZero else {
            throw OrderRefusal(.invalidOrder, "count must be more than 0, with at most two decimals")
        }
        guard let text = price, let price = try? Price(dollars: text), price.isTradable else {
            throw OrderRefusal(.invalidPrice, "price must be between 0 and 1 dollar")
        }
        guard let force = timeInForce.flatMap(TimeInForce.init) else {
            throw OrderRefusal(
                .invalidOrder, "time_in_force must be good_till_canceled, immediate_or_cancel or fill_or_kill")
        }
        guard let prevention = selfTradePreventionType, ["taker_at_cross", "maker"].contains(prevention) else {
            throw OrderRefusal(.invalidOrder, "self_trade_prevention_type must be taker_at_cross or maker")
        }
        var expiresAt: VenueInstant?
        if let seconds = expirationTime {
            guard (0..<253_402_300_799).contains(seconds),
                let instant = try? VenueInstant(microseconds: seconds * 1_000_000)
            else { throw OrderRefusal(.invalidOrder, "expiration_time is in seconds") }
            expiresAt = instant
        }
        return PlaceOrder(
            market: market, clientOrderID: client, side: side, price: price, quantity: quantity, timeInForce: force,
            postOnly: self.postOnly ?? false, reduceOnly: self.reduceOnly ?? false, expiresAt: expiresAt)
    }
}

extension JSONDecoder {
    /// For bodies whose keys are in the venue's spelling, with underscores.
    static var venue: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return decoder
    }
}
