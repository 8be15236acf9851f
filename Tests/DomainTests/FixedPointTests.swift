import Domain
import Testing

@Suite struct FixedPointTests {
    @Test(arguments: [
        ("0.5300", 4, 5_300), ("0.53", 4, 5_300), ("1", 4, 10_000), ("-0.10", 2, -10), ("5.52", 2, 552),
        ("0.054600", 6, 54_600), ("0.120000", 2, 12), ("1406474.86", 2, 140_647_486), ("007.5", 2, 750),
    ])
    func `decimal text becomes exact units`(text: String, scale: Int, expected: Int64) throws {
        #expect(try FixedPoint.parse(text, scale: scale, field: "x") == expected)
    }

    @Test(arguments: [
        ("", DomainError.Code.malformed), (".", .malformed), ("1.", .malformed), (".5", .malformed),
        ("--1", .malformed),
        ("1e3", .malformed), ("NaN", .malformed), ("inf", .malformed), (" 1", .malformed), ("1,5", .malformed),
        ("1.2.3", .malformed), ("0.0000001", .malformed), ("0.53001", .offStep), ("9999999999999", .overflow),
        ("１", .malformed), ("-", .malformed), ("+1", .malformed),
    ])
    func `anything else is refused with the field's name`(text: String, code: DomainError.Code) {
        let error = #expect(throws: DomainError.self) { try FixedPoint.parse(text, scale: 4, field: "price_dollars") }
        #expect(error?.code == code)
        #expect(error?.field == "price_dollars")
    }

    @Test func `formatting and parsing are inverse for every scale`() throws {
        for scale in 0...6 {
            for units: Int64 in [0, 1, -1, 9, 10, 99, 12_345_678, -12_345_678, 999_999_999_999] {
                let text = FixedPoint.format(units, scale: scale)
                #expect(try FixedPoint.parse(text, scale: scale, field: "x") == units, "\(text) at scale \(scale)")
            }
        }
    }
}

@Suite struct ValueTests {
    @Test func `prices lie between nothing and a dollar`() throws {
        #expect(throws: DomainError.self) { try Price(tenThousandths: -1) }
        #expect(throws: DomainError.self) { try Price(tenThousandths: 10_001) }
        #expect(throws: DomainError.self) { try Price(dollars: "1.01") }
        #expect(try Price(dollars: "0.5300").complement == Price(dollars: "0.47"))
        #expect(!Price.zero.isTradable && !Price.one.isTradable && Price.cents(1).isTradable)
    }

    @Test func `price times quantity is exact`() throws {
        let amount = try Price(dollars: "0.1234") * Quantity(contracts: "5.67")
        #expect(amount.description == "0.699678")
    }

    @Test(arguments: [
        (PriceStep.linearCent, "0.5300", true), (.linearCent, "0.5310", false), (.taperedDeciCent, "0.0990", true),
        (.taperedDeciCent, "0.5010", false), (.taperedDeciCent, "0.9010", true), (.deciCent, "0.5010", true),
        (.deciCent, "0.5001", false), (.linearCent, "1.0000", false),
    ])
    func `a price step permits its multiples only`(step: PriceStep, price: String, permitted: Bool) throws {
        #expect(try step.permits(Price(dollars: price)) == permitted)
    }

    @Test func `quantities, probabilities and names refuse what cannot be`() {
        #expect(throws: DomainError.self) { try Quantity(contracts: "-1") }
        #expect(throws: DomainError.self) { try Quantity(hundredths: 10_000_000_001) }
        #expect(throws: DomainError.self) { try Probability(.nan) }
        #expect(throws: DomainError.self) { try Probability(1.000001) }
        #expect(Probability(clamping: .nan).value == 0.5)
        for name in ["", "two words", "line\nbreak", "quote\"", "back\\slash", String(repeating: "x", count: 129)] {
            #expect(throws: DomainError.self, "\(name)") { try GameID(name) }
        }
        #expect(throws: DomainError.self) { try Epoch(0) }
    }

    @Test func `people read money in cents, rounded half away from zero`() throws {
        #expect(try Money(microdollars: 12_345_000).rounded == "12.35")
        #expect(try Money(microdollars: -12_345_000).rounded == "-12.35")
        #expect(try Money(microdollars: -4_999).rounded == "0.00")
    }
}

@Suite struct VenueInstantTests {
    @Test(arguments: [
        ("2025-12-08T00:30Z", "2025-12-08T00:30:00.000000Z"),
        ("2026-04-20 23:13:19", "2026-04-20T23:13:19.000000Z"),
        ("2026-08-27T13:56:23.996443Z", "2026-08-27T13:56:23.996443Z"),
        ("2026-04-05 15:10:00+00", "2026-04-05T15:10:00.000000Z"),
        ("2024-02-29T23:59:59Z", "2024-02-29T23:59:59.000000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
    ])
    func `the venues' spellings of UTC are read`(text: String, canonical: String) throws {
        let instant = try VenueInstant(rfc3339: text)
        #expect(instant.description == canonical)
        #expect(try VenueInstant(rfc3339: instant.description) == instant)
    }

    @Test(arguments: [
        "2025-02-29T00:00Z", "2025-13-01T00:00Z", "2025-12-08", "2025-12-08T24:00Z", "2025-12-08T00:30-05:00", "",
        "yesterday", "2025-12-08T00:61Z",
    ])
    func `other times are refused`(text: String) {
        #expect(throws: DomainError.self) { try VenueInstant(rfc3339: text) }
    }

    @Test func `moving by a duration and back is exact to the microsecond`() throws {
        let start = try VenueInstant(rfc3339: "2026-04-20T23:13:19Z")
        let later = start.advanced(by: .milliseconds(1_500))
        #expect(start.duration(to: later) == .milliseconds(1_500))
        #expect(later.advanced(by: .milliseconds(-1_500)) == start)
        #expect(VenueInstant.epoch.advanced(by: .seconds(-1)) == .epoch)
    }
}
