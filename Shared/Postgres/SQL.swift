/// One statement with its values apart: `"SELECT x FROM t WHERE id = \(id)"` is sent as `… = $1`, never pasted in.
///
/// `\(raw:)` pastes trusted text; `\(fragment)` with another `SQL` joins both with their values.
public struct SQL: Hashable, Sendable, ExpressibleByStringInterpolation, CustomStringConvertible {
    /// The values, and the text that stands before each.
    let bound: [Bound]
    /// The text after the last value.
    let tail: String

    struct Bound: Hashable, Sendable {
        let before: String
        let value: PostgresValue
    }

    /// The text with `$1`, `$2`, … where the values go.
    ///
    /// Put together when it is asked for: a statement that is prepared is known by its pieces, which are literals.
    public var text: String {
        var text = ""
        for (index, bound) in bound.enumerated() { text += "\(bound.before)$\(index + 1)" }
        return text + tail
    }

    public var values: [PostgresValue] { bound.map(\.value) }

    public init(stringLiteral value: String) {
        bound = []
        tail = value
    }

    public init(stringInterpolation: StringInterpolation) {
        bound = stringInterpolation.bound
        tail = stringInterpolation.tail
    }

    /// Trusted text without values.
    public init(raw text: String) { self.init(stringLiteral: text) }

    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var bound: [Bound] = []
        fileprivate var tail = ""

        public init(literalCapacity: Int, interpolationCount: Int) { bound.reserveCapacity(interpolationCount) }

        public mutating func appendLiteral(_ literal: String) {
            if tail.isEmpty { tail = literal } else { tail += literal }
        }

        public mutating func appendInterpolation(_ value: some PostgresEncodable) { append(value.postgresValue) }

        // What most statements are made of, without a generic's detour.
        public mutating func appendInterpolation(_ value: Int64) { append(value.postgresValue) }
        public mutating func appendInterpolation(_ value: Int) { append(value.postgresValue) }
        public mutating func appendInterpolation(_ value: Int32) { append(value.postgresValue) }
        public mutating func appendInterpolation(_ value: String) { append(value.postgresValue) }

        /// Nil is sent as NULL.
        public mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value?) {
            append(value.postgresValue)
        }

        /// Another statement's text and values.
        public mutating func appendInterpolation(_ fragment: SQL) {
            for bound in fragment.bound {
                appendLiteral(bound.before)
                append(bound.value)
            }
            appendLiteral(fragment.tail)
        }

        /// Trusted text, pasted as it is; never from outside.
        public mutating func appendInterpolation(raw text: String) { appendLiteral(text) }

        private mutating func append(_ value: PostgresValue) {
            var before = ""
            swap(&before, &tail)
            bound.append(Bound(before: before, value: value))
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
