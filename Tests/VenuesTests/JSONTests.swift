import Domain
import Foundation
import Resilience
import TestKit
import Testing

@testable import Venues

@Suite struct JSONTests {
    private func parse(_ text: String) throws(JSONScanError) -> JSONValue { try JSONValue(Array(text.utf8)) }

    private func code(_ text: String) -> JSONScanError.Code? {
        do {
            _ = try parse(text)
            return nil
        } catch {
            return error.code
        }
    }

    @Test func `values keep their text`() throws {
        let value = try parse(#" {"a":[1,-2.50,1e3,true,false,null,"x"],"b":{}} "#)
        #expect(
            value
                == .object([
                    "a": .array([
                        .number("1"), .number("-2.50"), .number("1e3"), .boolean(true), .boolean(false), .null,
                        .string("x"),
                    ]),
                    "b": .object([:]),
                ]))
    }

    @Test func `escapes are resolved`() throws {
        #expect(try parse(#""a\"\\\/\b\f\n\r\té\u20AC😀""#) == .string("a\"\\/\u{8}\u{C}\n\r\té€😀"))
    }

    @Test(arguments: [
        ("", JSONScanError.Code.truncated), ("{", .truncated), ("[1", .truncated), (#""abc"#, .truncated),
        ("[1,]", .unexpectedByte), ("{,}", .unexpectedByte), (#"{"a" 1}"#, .unexpectedByte), ("tru", .unexpectedByte),
        ("01", .badNumber), ("-", .badNumber), ("1.", .badNumber), ("1e", .badNumber), (#""\x""#, .badEscape),
        (#""\ud800""#, .badEscape), (#""\udc00x""#, .badEscape), (#""\u12""#, .truncated), (#""\u12zz""#, .badEscape),
        ("\"\u{1}\"", .unexpectedByte),
        ("1 2", .trailingBytes), ("[1]]", .trailingBytes),
    ])
    func `a fault is named`(_ text: String, _ expected: JSONScanError.Code) {
        #expect(code(text) == expected)
    }

    @Test func `bytes that are no UTF-8 are refused`() {
        #expect(throws: JSONScanError.self) { try JSONValue([0x22, 0xFF, 0x22]) }
        #expect(throws: JSONScanError.self) { try JSONValue([0x22, 0xC3, 0x22]) }
    }

    @Test func `depth is bounded, skipped or not`() throws {
        let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        let deeper = "[" + deep + "]"
        #expect(code(deep) == nil)
        #expect(code(deeper) == .tooDeep)
        let bytes = Array((String(repeating: "{\"a\":", count: 100_000)).utf8)
        let skipped = bytes.withUnsafeBytes { raw in
            var scanner = JSONScanner(raw)
            return Result { () throws(JSONScanError) in try scanner.skip() }
        }
        #expect(throws: JSONScanError.self) { try skipped.get() }
    }

    @Test func `what is written is read back`() throws {
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("text", "a\"b\\c\nd\u{1}é")
            writer.field("number", -12)
            writer.field("flag", true)
            writer.field("list", ["x", "y"])
            writer.key("inner")
            writer.object { $0.field("last", 1) }
        }
        #expect(
            try JSONValue(writer.bytes)
                == .object([
                    "text": .string("a\"b\\c\nd\u{1}é"), "number": .number("-12"), "flag": .boolean(true),
                    "list": .array([.string("x"), .string("y")]), "inner": .object(["last": .number("1")]),
                ]))
    }

    @Test func `decimals agree with the fixed point of the domain`() {
        var random = SeededGenerator(seed: 11)
        let letters = Array("0123456789.-+e 00.".utf8)
        var accepted = 0
        for _ in 0..<200_000 {
            let length = Int.random(in: 0...12, using: &random)
            let bytes = (0..<length).map { _ in letters[Int.random(in: 0..<letters.count, using: &random)] }
            let text = String(decoding: bytes, as: UTF8.self)
            for scale in [0, 2, 4, 6] {
                let fast = bytes.withUnsafeBytes { DecimalBytes.units($0, scale: scale) }
                let slow = try? FixedPoint.parse(text, scale: scale, field: "x")
                if slow != nil { accepted += 1 }
                if fast != slow { Issue.record("\"\(text)\" at scale \(scale): \(fast as Any) and \(slow as Any)") }
            }
        }
        #expect(accepted > 1_000)
    }
}

/// Our scanner against Foundation, on what was really recorded and on what is left of it after random damage.
@Suite struct JSONDifferentialTests {
    /// A tree as Foundation sees it.
    private func foundation(_ bytes: [UInt8]) -> JSONValue? {
        guard let object = try? JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed]) else {
            return nil
        }
        return convert(object)
    }

    private func convert(_ object: Any) -> JSONValue {
        switch object {
        case let text as String: .string(text)
        case let list as [Any]: .array(list.map(convert))
        case let members as [String: Any]: .object(members.mapValues(convert))
        case let number as NSNumber:
            CFBooleanLike.isBoolean(number) ? .boolean(number.boolValue) : .number("\(number.doubleValue)")
        default: .null
        }
    }

    private enum CFBooleanLike {
        static func isBoolean(_ number: NSNumber) -> Bool {
            String(cString: number.objCType) == "c" || number === NSNumber(value: true)
                || number === NSNumber(value: false)
        }
    }

    /// Numbers as doubles, so that the two can be compared.
    private func comparable(_ value: JSONValue) -> JSONValue {
        switch value {
        case .number(let text): .number("\(Double(text) ?? .nan)")
        case .array(let list): .array(list.map(comparable))
        case .object(let members): .object(members.mapValues(comparable))
        default: value
        }
    }

    @Test(.enabled(if: SharedData.isThere, "\(SharedData.reason)"))
    func `recorded frames and bodies read as Foundation reads them`() throws {
        var inputs = try Recorded.frames()
        inputs += try Recorded.files(in: "kalshi/rest_golden", suffix: ".json").map { try SharedData.read($0) }
        inputs += try ["vcr_kalshi_order_lifecycle", "markets_KXFEDMENTION_202603"].map {
            try SharedData.read("kalshi/\($0).json")
        }
        #expect(inputs.count > 2_000)
        for input in inputs {
            let ours = try JSONValue(input)
            if comparable(ours) != foundation(input) {
                Issue.record("differs: \(String(decoding: input.prefix(200), as: UTF8.self))")
            }
        }
    }

    @Test(.enabled(if: SharedData.isThere, "\(SharedData.reason)"), arguments: [UInt64(1), 2, 3])
    func `damaged frames are judged as Foundation judges them`(_ seed: UInt64) throws {
        let frames = try Recorded.frames()
        var random = SeededGenerator(seed: seed)
        var decoder = KalshiFrameDecoder()
        var accepted = 0
        for round in 0..<2_500 {
            let original = frames[Int.random(in: 0..<frames.count, using: &random)]
            let damaged = damage(original, &random)
            _ = try? decoder.decode(damaged)  // must not trap
            let ours = try? JSONValue(damaged)
            let theirs = foundation(damaged)
            if ours != nil { accepted += 1 }
            // A text that begins with zero bytes is taken for UTF-16 or 32 over there.
            if damaged.prefix(4).contains(0) { continue }
            // Over there a comma may end an object, and a number must fit a double.
            let text = String(decoding: damaged, as: UTF8.self).filter { !$0.isWhitespace }
            if ours == nil, text.contains(",}") || text.contains(",]") { continue }
            if let ours, theirs == nil, holdsHugeNumber(ours) { continue }
            guard let ours, let theirs else {
                if (ours == nil) != (theirs == nil) {
                    Issue.record(
                        """
                        seed \(seed) round \(round): ours \(ours == nil ? "refused" : "accepted"): \
                        \(String(decoding: damaged.prefix(300), as: UTF8.self))
                        """)
                }
                continue
            }
            if comparable(ours) != theirs { Issue.record("seed \(seed) round \(round): values differ") }
        }
        #expect(accepted > 100)
    }

    private func holdsHugeNumber(_ value: JSONValue) -> Bool {
        switch value {
        case .number(let text): Double(text).map { !$0.isFinite } ?? true
        case .array(let list): list.contains(where: holdsHugeNumber)
        case .object(let members): members.values.contains(where: holdsHugeNumber)
        default: false
        }
    }

    private func damage(_ frame: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = frame
        let marks = Array("{}[]\",:\\0123456789.-eutn \u{1}é".utf8) + [0xFF, 0x80, 0xC3]
        for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes.remove(at: index)
            case 1: bytes[index] = marks[Int.random(in: 0..<marks.count, using: &random)]
            case 2: bytes.insert(marks[Int.random(in: 0..<marks.count, using: &random)], at: index)
            case 3: bytes.removeSubrange(index..<min(bytes.count, index + Int.random(in: 1...8, using: &random)))
            default: bytes[index] = UInt8.random(in: 0...255, using: &random)
            }
        }
        return bytes
    }
}
