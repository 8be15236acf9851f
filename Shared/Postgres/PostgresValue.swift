/// A value bound to `$n`, or put into an array or a COPY.
public struct PostgresValue: Hashable, Sendable {
    enum Content: Hashable, Sendable {
        case null
        case integer(Int64)
        case real(Double)
        case bool(Bool)
        /// Microseconds since 1970.
        case timestamp(Int64)
        case text(String)
        /// The type's own binary form.
        case binary([UInt8])
        /// It cannot be sent; the statement fails with this message before anything is sent.
        case unusable(String)
    }

    let content: Content
    /// The type's object identifier; `inferred` lets the server infer it from where the value stands.
    let type: UInt32

    init(_ content: Content, type: UInt32) {
        self.content = content
        self.type = type
    }
}

/// Object identifiers of the built-in types.
enum ObjectID {
    static let inferred: UInt32 = 0
    static let bool: UInt32 = 16
    static let bytea: UInt32 = 17
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let text: UInt32 = 25
    static let json: UInt32 = 114
    static let float4: UInt32 = 700
    static let float8: UInt32 = 701
    static let varchar: UInt32 = 1043
    static let timestamp: UInt32 = 1114
    static let timestamptz: UInt32 = 1184
    static let uuid: UInt32 = 2950
    static let jsonb: UInt32 = 3802

    /// The array type of an element's type.
    static let arrays: [UInt32: UInt32] = [
        bool: 1000, bytea: 1001, int2: 1005, int4: 1007, text: 1009, int8: 1016, float8: 1022, timestamptz: 1185,
        jsonb: 3807,
    ]

    /// The name that SQL gives a type; `type 4711` when it is none of the usual.
    static func name(_ type: UInt32) -> String {
        if let name = names[type] { return name }
        if let (element, _) = arrays.first(where: { $0.value == type }) { return "\(name(element))[]" }
        return "type \(type)"
    }

    private static let names: [UInt32: String] = [
        bool: "boolean", bytea: "bytea", int8: "bigint", int2: "smallint", int4: "integer", text: "text",
        json: "json", float4: "real", float8: "double precision", 1042: "char", varchar: "varchar", 1082: "date",
        1083: "time", timestamp: "timestamp", timestamptz: "timestamptz", 1186: "interval", 1700: "numeric",
        uuid: "uuid", jsonb: "jsonb", 2278: "void",
    ]
}

extension PostgresValue {
    /// An array of one dimension in the server's binary form.
    static func array(_ elements: some Sequence<PostgresValue>, of type: UInt32) -> PostgresValue {
        let element = type == ObjectID.inferred ? ObjectID.text : type
        guard let array = ObjectID.arrays[element] else {
            return PostgresValue(.unusable("arrays of \(ObjectID.name(element)) are not supported"), type: type)
        }
        var bytes: [UInt8] = []
        var count: Int32 = 0
        var hasNull = false
        for (index, value) in elements.enumerated() {
            if case .unusable(let problem) = value.content {
                return PostgresValue(.unusable("element \(index + 1): \(problem)"), type: array)
            }
            if case .null = value.content { hasNull = true }
            value.append(to: &bytes, as: element)
            count += 1
        }
        var header: [UInt8] = []
        header.reserveCapacity(20 + bytes.count)
        header.append(bigEndian: Int32(count == 0 ? 0 : 1))
        header.append(bigEndian: Int32(hasNull ? 1 : 0))
        header.append(bigEndian: Int32(bitPattern: element))
        if count > 0 {
            header.append(bigEndian: count)
            header.append(bigEndian: Int32(1))
        }
        return PostgresValue(.binary(header + bytes), type: array)
    }

    /// Appends length and bytes in the binary form of `type`; what is unusable must have been refused before.
    func append(to bytes: inout [UInt8], as type: UInt32) {
        switch content {
        case .null, .unusable: return bytes.append(bigEndian: Int32(-1))
        case .integer(let number):
            switch type {
            case ObjectID.int2: bytes.append(length: 2, Int16(truncatingIfNeeded: number))
            case ObjectID.int4: bytes.append(length: 4, Int32(truncatingIfNeeded: number))
            default: bytes.append(length: 8, number)
            }
        case .real(let number): bytes.append(length: 8, number.bitPattern)
        case .bool(let value): bytes.append(length: 1, UInt8(value ? 1 : 0))
        case .timestamp(let micros): bytes.append(length: 8, micros &- Timestamp.epoch)
        case .text(let text):
            let isJSONB = type == ObjectID.jsonb
            bytes.append(bigEndian: Int32(text.utf8.count + (isJSONB ? 1 : 0)))
            if isJSONB { bytes.append(1) }
            bytes.append(contentsOf: text.utf8)
        case .binary(let value):
            bytes.append(bigEndian: Int32(value.count))
            bytes.append(contentsOf: value)
        }
    }
}

extension [UInt8] {
    mutating func append(bigEndian number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
    }

    mutating func append(length: Int32, _ number: some FixedWidthInteger) {
        append(bigEndian: length)
        append(bigEndian: number)
    }
}
