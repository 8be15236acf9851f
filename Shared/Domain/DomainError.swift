/// Why a value was refused by a constructor of `Domain`.
///
/// Every type of this module checks what it is given; there is no other way to make one, so a value that exists
/// is valid.
public struct DomainError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A bounded set, safe as a metric label.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        case malformed
        case outOfRange
        case empty
        case offStep
        case inconsistent
        case overflow
    }

    public let code: Code
    /// The field that was refused, as it is named where it came from.
    public let field: String
    /// The refused value, shortened to 64 characters.
    public let value: String
    /// What a valid value looks like.
    public let expected: String

    public init(_ code: Code, field: String, value: String, expected: String) {
        self.code = code
        self.field = field
        self.value = String(value.prefix(64))
        self.expected = expected
    }

    public var description: String { "\(field): \(code.rawValue) \"\(value)\", expected \(expected)" }
}
