/// A value that no log, description or mirror shows (DESIGN section 7).
public struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The one way to read it.
    public let value: String

    public init(_ value: String) {
        self.value = value
    }

    public static let redacted = "<redacted>"

    public var description: String { Secret.redacted }
    public var debugDescription: String { Secret.redacted }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
