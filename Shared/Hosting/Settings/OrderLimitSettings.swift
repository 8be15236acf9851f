import Domain
import Foundation
import Runtime

extension SettingsReader {
    /// An amount in dollars; fractions are allowed.
    public func dollars(_ key: String, default standard: Money, in range: ClosedRange<Double>, _ help: String) -> Money
    {
        let dollars = number(key, default: standard.approximateDollars, in: range, help)
        // A setting within its range is far from the bounds of money; the default is right if it were not.
        return (try? Money(microdollars: Int64((dollars * 1_000_000).rounded()))) ?? standard
    }

    /// A price in dollars, 0 to 1.
    public func price(_ key: String, default standard: Price, in range: ClosedRange<Double>, _ help: String) -> Price {
        let dollars = number(key, default: standard.probability, in: range, help)
        return (try? Price(tenThousandths: Int64((dollars * 10_000).rounded()))) ?? standard
    }
}

/// The limits of one order and the account it is paid from: checked by the signal-processor and again by the
/// execution-service, and therefore read here for both.
public struct OrderLimitSettings: Sendable {
    public let orderValue: Money
    public let orderContracts: Int
    public let minimumPrice: Price
    public let maximumPrice: Price
    public let initialBankroll: Money
    /// The name of a time zone, as PostgreSQL and the system know it.
    public let tradingDayTimeZone: String

    public init(_ reader: SettingsReader) {
        orderValue = reader.dollars(
            "MAX_ORDER_SIZE", default: .dollars(100), in: 1...1_000_000, "Most dollars in one order.")
        orderContracts = reader.integer(
            "MAX_ORDER_CONTRACTS", default: 100, in: 1...1_000_000, "Most contracts in one order.")
        minimumPrice = reader.price(
            "MIN_SAFE_PRICE", default: .cents(5), in: 0.0001...0.9999, "No order below this price, in dollars.")
        maximumPrice = reader.price(
            "MAX_SAFE_PRICE", default: .cents(95), in: 0.0001...0.9999, "No order above this price, in dollars.")
        reader.require(
            minimumPrice < maximumPrice, ["MIN_SAFE_PRICE", "MAX_SAFE_PRICE"], "the lower price must be below the upper"
        )
        initialBankroll = reader.dollars(
            "INITIAL_BANKROLL", default: .dollars(1_000), in: 1...100_000_000,
            "Dollars in a new account; of no effect once the account exists.")
        tradingDayTimeZone = reader.text(
            "TRADING_DAY_TIMEZONE", default: "America/New_York", "Where a trading day begins at midnight.")
        reader.require(
            TimeZone(identifier: tradingDayTimeZone) != nil, ["TRADING_DAY_TIMEZONE"], "is not the name of a time zone")
    }
}
