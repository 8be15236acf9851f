/// One statement with its values apart: `"SELECT x FROM t WHERE id = \(id)"` is sent as `… = $1`, never pasted in.
///
/// `\(raw:)` pastes trusted text; `\(fragment)` with another `SQL` joins both with their values.
public struct SQL: Hashable, Sendable, ExpressibleByStringInterpolation, CustomStringConvertible {
    /// The text around the values; one more than `values`.
    private var parts: [String]
    public private(set) var values: [PostgresValue]
    /// The text with `$1`, `$2`, … where the values go.
    public let text: String

    public init(stringLiteral value: String) {
        parts = [value]
        values = []
        text = value
    }

    public init(stringInterpolation: StringInterpolation) {
        parts = stringInterpolation.parts
        values = stringInterpolation.values
        var text = parts[0]
        for index in values.indices { text += "$\(index + 1)\(parts[index + 1])" }
        self.text = text
    }

    /// Trusted text without values.
    public init(raw text: String) { self.init(stringLiteral: text) }

    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var parts = [""]
        fileprivate var values: [PostgresValue] = []

        public init(literalCapacity: Int, interpolationCount: Int) {
            parts.reserveCapacity(interpolationCount + 1)
            values.reserveCapacity(interpolationCount)
        }

        public mutating func appendLiteral(_ literal: String) { parts[parts.count - 1] += literal }

        public mutating func appendInterpolation(_ value: some PostgresEncodable) {
            values.append(value.postgresValue)
            parts.append("")
        }

        /// Nil is sent as NULL.
        public mutating func appendInterpolation<Value: PostgresEncodable>(_ value: Value?) {
            values.append(value.postgresValue)
            parts.append("")
        }

        /// Another statement's text and values.
        public mutating func appendInterpolation(_ fragment: SQL) {
            parts[parts.count - 1] += fragment.parts[0]
            parts.append(contentsOf: fragment.parts.dropFirst())
            values.append(contentsOf: fragment.values)
        }

        /// Trusted text, pasted as it is; never from outside.
        public mutating func appendInterpolation(raw text: String) { parts[parts.count - 1] += text }
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
