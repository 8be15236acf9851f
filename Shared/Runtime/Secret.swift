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

    /// Whether somebody knows it, in a time that tells nothing but the length of what was offered.
    public func matches(_ offered: String) -> Bool {
        let own = Array(value.utf8)
        let other = Array(offered.utf8)
        guard !own.isEmpty else { return false }
        var difference = own.count ^ other.count
        for index in other.indices { difference |= Int(own[index % own.count] ^ other[index]) }
        return difference == 0
    }
}
