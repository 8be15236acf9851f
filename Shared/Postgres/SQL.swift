/// One statement with its values apart: `"SELECT x FROM t WHERE id = \(id)"` is sent as `… = $1`, never pasted in.
///
/// `\(raw:)` pastes trusted text; `\(fragment)` with another `SQL` joins both with their values.
public struct SQL: Hashable, Sendable, ExpressibleByStringInterpolation, CustomStringConvertible {
    /// The text with `$1`, `$2`, … where the values go.
    public let text: String
    public var values: [PostgresValue] { bound.map(\.value) }
    let bound: [Bound]

    /// A value, and where in the text's bytes its `$n` begins.
    struct Bound: Hashable, Sendable {
        let value: PostgresValue
        let mark: Int
    }

    public init(stringLiteral value: String) {
        text = value
        bound = []
    }

    public init(stringInterpolation: StringInterpolation) {
        text = stringInterpolation.text
        bound = stringInterpolation.bound
    }

    /// Trusted text without values.
    public init(raw text: String) { self.init(stringLiteral: text) }

    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ""
        fileprivate var bound: [Bound] = []

        public init(literalCapacity: Int, interpolationCount: Int) {
            text.reserveCapacity(literalCapacity + interpolationCount * 3)
            bound.reserveCapacity(interpolationCount)
        }

        public mutating func appendLiteral(_ literal: String) { text += literal }

        public mutating func appendInterpolation(_ value: some PostgresEncodable) { append(value.postgresValue) }

        /// Nil is sent as NULL.
        public mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value?) {
            append(value.postgresValue)
        }

        /// Another statement's text and values.
        public mutating func appendInterpolation(_ fragment: SQL) {
            var rest = fragment.text.utf8[...]
            var passed = 0
            for (index, bound) in fragment.bound.enumerated() {
                let mark = bound.mark
                text += String(rest.prefix(mark - passed)) ?? ""
                append(bound.value)
                let width = 1 + Self.digits(index + 1)
                rest = rest.dropFirst(mark - passed + width)
                passed = mark + width
            }
            text += String(rest) ?? ""
        }

        /// Trusted text, pasted as it is; never from outside.
        public mutating func appendInterpolation(raw text: String) { self.text += text }

        private mutating func append(_ value: PostgresValue) {
            bound.append(Bound(value: value, mark: text.utf8.count))
            text += bound.count < Self.places.count ? Self.places[bound.count] : "$\(bound.count)"
        }

        private static let places = (0..<100).map { "$\($0)" }

        private static func digits(_ number: Int) -> Int {
            var (rest, count) = (number, 1)
            while rest >= 10 { (rest, count) = (rest / 10, count + 1) }
            return count
        }
    }

    public var description: String { text }

    /// The start of the text on one line, for logs and errors; holds no values.
    var summary: String {
        let line = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return line.count <= 80 ? line : line.prefix(80) + "…"
    }

    /// Whether it only reads, judged by its first word: a SELECT of a function that writes belongs in a transaction.
    var onlyReads: Bool {
        let first = text.drop { $0.isWhitespace || $0 == "(" }.prefix { $0.isLetter }.uppercased()
        return first == "SELECT" || first == "SHOW" || first == "VALUES" || first == "TABLE"
    }
}
