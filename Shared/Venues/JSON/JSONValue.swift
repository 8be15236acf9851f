/// A whole JSON text as a tree; numbers keep their text, so that no decimal passes through floating point.
///
/// For bodies that are read rarely; the frames of the market data stream are scanned in place instead.
public enum JSONValue: Hashable, Sendable {
    case object([String: JSONValue])
    case array([JSONValue])
    case string(String)
    case number(String)
    case boolean(Bool)
    case null

    /// - Throws: the first fault; white space around the value is allowed, anything else behind it is not.
    public init(_ bytes: UnsafeRawBufferPointer, depthBound: Int = 64) throws(JSONScanError) {
        var scanner = JSONScanner(bytes, depthBound: depthBound)
        self = try scanner.value()
        try scanner.finish()
    }

    public init(_ bytes: [UInt8], depthBound: Int = 64) throws(JSONScanError) {
        let result = bytes.withUnsafeBytes { raw in
            Result { () throws(JSONScanError) in try JSONValue(raw, depthBound: depthBound) }
        }
        self = try result.get()
    }

    public subscript(_ key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members[key]
    }

    public var isNull: Bool { self == .null }

    public var elements: [JSONValue]? {
        guard case .array(let elements) = self else { return nil }
        return elements
    }

    public var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }
}

extension JSONScanner {
    /// The value at the cursor as a tree; of a key that stands twice the last value counts.
    ///
    /// Recursive, and therefore bounded by the scanner's depth.
    mutating func value() throws(JSONScanError) -> JSONValue {
        switch try kind() {
        case .string: return .string(try text(try string()))
        case .number:
            let slice = try number()
            return .number(try text(slice))
        case .boolean: return .boolean(try boolean())
        case .null:
            try null()
            return .null
        case .array:
            var elements: [JSONValue] = []
            var isFirst = true
            try beginArray()
            while try nextElement(&isFirst) { elements.append(try value()) }
            return .array(elements)
        case .object:
            var members: [String: JSONValue] = [:]
            var isFirst = true
            try beginObject()
            while let key = try nextKey(&isFirst) {
                let name = try text(key)
                members[name] = try value()
            }
            return .object(members)
        }
    }
}
