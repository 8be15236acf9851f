/// Why a recording was refused: where in the file, which field, and what was expected there.
public struct RecordingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A bounded set, safe as a metric label.
    public enum Code: String, Hashable, Sendable, CaseIterable {
        /// The file is not a recording, or ends too early or too late.
        case structure
        /// The file is of a version that this reader does not know.
        case version
        /// A field is not what its place calls for.
        case malformed
        /// A field has the right form and an impossible value.
        case outOfRange
        /// An entry lies before the one above it, or before the start.
        case order
        /// Two parts of the recording contradict each other.
        case inconsistent
        /// The line says something valid in another spelling than the writer's.
        case spelling
    }

    public let code: Code
    /// 1-based; of the recording, or of the file that is imported.
    public let line: Int
    public let field: String
    public let message: String

    public init(_ code: Code, line: Int, field: String, _ message: String) {
        self.code = code
        self.line = line
        self.field = field
        self.message = message
    }

    public var description: String { "line \(line), \(field): \(code.rawValue), \(message)" }
}
